"""Textual's driver for Unix terminals: asks what kind of terminal it is, hears the answers, leaves when it
goes away and never waits for it.

Private names of Textual stand here, in ``terminal.py`` and in ``strip.py``. Checked against Textual 8.2.8.
"""

from __future__ import annotations

import os
import selectors
from codecs import getincrementaldecoder
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from luxxon_tui.picture import probe
from luxxon_tui.picture.answers import AnswerFilter, Answers
from luxxon_tui.picture.outlet import Outlet

if TYPE_CHECKING:
    from textual.app import App

POLL_SECONDS = 0.1
HELD_SECONDS = 0.05
"""How long the beginning of what may be an answer waits for the rest."""
CATCH_UP_SECONDS = 0.05
HUNG_UP = 130
"""Exit code of a console whose terminal has gone, as after SIGHUP."""
MOST_WAITING = 24
"""Writes that wait for the terminal; what comes on top is left out, and painted when it has caught up."""


class AnsweringDriver(LinuxDriver):
    """Reads input like its parent, less what the terminal answers."""

    def __init__(
        self,
        app: App[object],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        assert self._file is not None, "a program without standard error has no terminal"
        self._outlet = Outlet(self._file.fileno(), self._hung_up)
        self._file = self._outlet  # type: ignore[assignment]  # as much of a file as the writer thread uses
        self._left_out, self._all_of_it = False, True
        self.graphics = probe.Graphics()
        """How to draw, as far as is known now."""
        self._around = probe.surroundings(os.environ)
        self._asked = False
        self._listeners: list[tuple[Callable[[], None], Callable[[], None]]] = []

    def listen(self, changed: Callable[[], None], leaving: Callable[[], None]) -> None:
        """Call back, in the event loop, whenever ``graphics`` has become another; and before the terminal is
        given back, to take away what the alternate screen does not take with it.
        """
        self._listeners.append((changed, leaving))

    def forget(self, changed: Callable[[], None]) -> None:
        """Call back no more."""
        self._listeners = [each for each in self._listeners if each[0] != changed]

    def start_application_mode(self) -> None:
        self._outlet = self._outlet.again()
        self._file = self._outlet  # type: ignore[assignment]  # as above
        self._all_of_it = True
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._all_of_it = False
        if self._writer_thread is not None:
            self._writer_thread._queue.maxsize = 0  # full, it would hold up the event loop

    def write(self, data: str | bytes) -> None:
        """Write when the terminal is ready for it; never waits. A picture is bytes already."""
        thread = self._writer_thread
        assert thread is not None, "the terminal was not taken"
        waiting = thread._queue.qsize()
        if waiting >= MOST_WAITING and not self._all_of_it:
            if not self._left_out:
                self._left_out = True
                self._loop.call_soon_threadsafe(self._paint_all)
            return
        thread.write(data)  # type: ignore[arg-type]  # on its way to the outlet, which takes both

    def _paint_all(self) -> None:
        """Paint what was left out, once the terminal has caught up; nothing else may ever be written."""
        thread = self._writer_thread
        if not self._app._running or thread is None:
            return
        if thread._queue.qsize() < 2:
            self._left_out = False
            self._app.screen.refresh()
        else:
            self._loop.call_later(CATCH_UP_SECONDS, self._paint_all)

    def close(self) -> None:
        writer = self._writer_thread
        if writer is not None:
            writer._queue.put(None)
            self._outlet.give_up(writer)

    def stop_application_mode(self) -> None:
        self._all_of_it = True
        for _, leaving in list(self._listeners):
            leaving()
        super().stop_application_mode()

    def _hung_up(self) -> None:
        """In a thread of the driver: there is no terminal any more, so the program leaves as after ``q``."""
        with suppress(RuntimeError):  # it has left already
            self._loop.call_soon_threadsafe(partial(self._app.exit, return_code=HUNG_UP))

    async def ask(self) -> None:
        """Ask the terminal, once, without waiting for an answer."""
        if self._asked or not self.input_tty:
            return
        self._asked = True
        around = self._around
        if around.name:
            found = probe.recall(probe.memory(), around.name)
            if found is not None:
                self._found(replace(found, far=around.far))
        passes = around.in_tmux and await probe.tmux_passes()
        query = probe.question(around, passes=passes)
        if query:
            self.write(query)

    def _found(self, graphics: probe.Graphics) -> None:
        if graphics == self.graphics:
            return
        self.graphics = graphics
        for changed, _ in list(self._listeners):
            changed()

    def _heard(self, known: Answers) -> None:
        """In the input's thread: decide once the terminal has answered the last question, or later ones."""
        if known.sixel is None:
            return
        found = probe.decide(known, self._around, self._get_terminal_size())
        if self._around.name:
            probe.remember(probe.memory(), self._around.name, found)
        self._loop.call_soon_threadsafe(self._found, found)

    def _read(self) -> bytes:
        """What was typed; nothing once there will be no more, for which a terminal that went away is left."""
        try:
            typed = os.read(self.fileno, 4096)
        except OSError:  # EIO: Linux says so of a terminal that was closed
            typed = b""
        if not typed and self.input_tty:
            self._hung_up()
        return typed

    def run_input_thread(self) -> None:
        """Wait for input and dispatch it, until the driver stops or the input ends."""
        parser, answers = XTermParser(self._debug), AnswerFilter()
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.DefaultSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                ready = selector.select(HELD_SECONDS if answers.holding else POLL_SECONDS)
                if ready:
                    data = self._read()
                    if not data:
                        return
                    text = decode(data)
                    before = answers.known
                    typed = answers.feed(text)
                    if answers.known is not before:
                        self._heard(answers.known)
                else:
                    typed = answers.give_up()
                if typed:
                    for message in parser.feed(typed):
                        self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)


def driver_for(usual: type) -> type:
    """The driver to use in the place of ``usual``: that of a browser, of tests or of Windows stays."""
    return AnsweringDriver if usual is LinuxDriver else usual
