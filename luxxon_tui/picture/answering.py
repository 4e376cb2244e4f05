"""Textual's driver for Unix terminals, asking what kind of terminal it is and hearing the answers.

Private names of Textual stand here, in ``terminal.py`` and in ``strip.py``. Checked against Textual 8.2.8.
"""

from __future__ import annotations

import os
import selectors
from codecs import getincrementaldecoder
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from luxxon_tui.picture import probe
from luxxon_tui.picture.answers import AnswerFilter, Answers

if TYPE_CHECKING:
    from textual.app import App

POLL_SECONDS = 0.1
HELD_SECONDS = 0.05
"""How long the beginning of what may be an answer waits for the rest."""


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

    def stop_application_mode(self) -> None:
        for _, leaving in list(self._listeners):
            leaving()
        super().stop_application_mode()

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

    def run_input_thread(self) -> None:
        """Wait for input and dispatch it, until the driver stops."""
        parser, answers = XTermParser(self._debug), AnswerFilter()
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.DefaultSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                ready = selector.select(HELD_SECONDS if answers.holding else POLL_SECONDS)
                if ready:
                    text = decode(os.read(self.fileno, 4096))
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
