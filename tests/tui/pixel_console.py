"""A console with one live picture, for a terminal of the tests to run: its keys do what the tests ask for.

With ``LUXXON_TEST_DRAWN``, a file, it shows numbered noise and writes down the number of each picture drawn.

``t`` a toast, ``u`` takes it away; ``m`` a card, ``o`` another screen, ``h`` hide, ``n`` no more frames, and
each again back; ``q`` leave, ``!`` fail. Every other key is written below the picture.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scenes import picture
from textual.app import App, ComposeResult
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.widgets import Label

from luxxon_tui.context import ConsoleContext
from luxxon_tui.picture.answering import driver_for
from luxxon_tui.themes import textual_themes
from luxxon_tui.widgets.picture import Picture


class Covering(ModalScreen[None]):
    CSS = "Covering { align: center middle; } Covering Label { width: 20; background: red; }"

    def compose(self) -> ComposeResult:
        yield Label("a card in front")


class Elsewhere(Screen[None]):
    def compose(self) -> ComposeResult:
        yield Label("another screen")


class PixelConsole(App[None]):
    CSS = "Picture { height: 1fr; } Label { height: 1; }"

    def __init__(self) -> None:
        super().__init__(driver_class=driver_for(LinuxDriver))
        self.facts = ConsoleContext(preview=sys.argv[1] if len(sys.argv) > 1 else "auto")
        for theme in textual_themes():
            self.register_theme(theme)
        self.theme = "luxxon-dark"
        self.playing = True
        self.typed = ""

    def compose(self) -> ComposeResult:
        yield Picture()
        yield Label("typed:", id="typed")

    def on_ready(self) -> None:
        self.run_worker(self.play())

    async def play_numbered(self, drawn: Path) -> None:
        shown, random = self.query_one(Picture), np.random.default_rng(1)
        with drawn.open("ab", buffering=0) as told:
            for number in range(1, 1024):
                pixels = random.integers(0, 256, (180, 320, 3), np.uint8)
                pixels[:, :10] = (number % 32 << 3, 252, number // 32 << 3)
                if shown.show(Image.fromarray(pixels)):
                    told.write(b"%d\n" % number)
                await asyncio.sleep(1 / 30)

    async def play(self) -> None:
        if "LUXXON_TEST_DRAWN" in os.environ:
            await self.play_numbered(Path(os.environ["LUXXON_TEST_DRAWN"]))
        still = np.asarray(picture(320, 180))
        shown, number = self.query_one(Picture), 0
        while True:
            if self.playing:
                number += 1
                shown.show(Image.fromarray(np.roll(still, 8 * number, axis=1)))
            await asyncio.sleep(0.25)

    async def on_key(self, event: Key) -> None:
        match event.key:
            case "t":
                self.notify("a toast in front", timeout=60)
            case "u":
                self.clear_notifications()
            case "m" if isinstance(self.screen, Covering):
                self.pop_screen()
            case "m":
                self.push_screen(Covering())
            case "o" if isinstance(self.screen, Elsewhere):
                self.pop_screen()
            case "o":
                self.push_screen(Elsewhere())
            case "h":
                shown = self.query_one(Picture)
                shown.visible = not shown.visible
            case "n":
                self.playing = not self.playing
            case "q":
                self.exit()
            case "exclamation_mark":
                raise RuntimeError("a fault of the console")
            case key:
                self.typed += f" {key}"
                self.query_one("#typed", Label).update(f"typed:{self.typed}")


if __name__ == "__main__":
    PixelConsole().run()
