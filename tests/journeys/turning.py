"""A plugin for the journeys: a test card that turns, and writes down in a file how it was moved."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxxon_testcard.testcard import TestcardConfig, TestcardSource

from luxxon_core.plugins import Register, hookimpl
from luxxon_core.source import DiscoveredDevice, MediaProfile, PtzVector
from luxxon_core.testing.fake import FakeConfig, FakeSource, FakeSourceType

if TYPE_CHECKING:
    from av import VideoFrame

PRESETS = {"a": ("gate", PtzVector(-0.5)), "b": ("tram stop", PtzVector(0.5, 0.2))}


class TurningConfig(FakeConfig):
    moves: Path
    """Where each move is written as a line of JSON: its name and arguments."""


@dataclass
class Turning(FakeSource):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.presets = dict(PRESETS)

    def _told(self, name: str, *arguments: Any) -> None:
        super()._told(name, *arguments)
        assert isinstance(self.config, TurningConfig)
        with self.config.moves.open("a", encoding="utf-8") as file:
            file.write(json.dumps([name, *arguments], default=repr) + "\n")

    async def frames(
        self, profile: MediaProfile, max_width: int | None = None, max_fps: float | None = None
    ) -> AsyncGenerator[VideoFrame, None]:
        size = TestcardConfig(width=self.config.width, height=self.config.height, fps=self.config.fps)
        card = TestcardSource(size)
        async with aclosing(card.frames(card.media_profiles()[0], max_width, max_fps)) as frames:
            with self._meter.reading():
                async for frame in frames:
                    self._meter.tick()
                    yield frame


class TurningType(FakeSourceType):
    """Is configured, never found."""

    async def discover(self, timeout: float) -> AsyncGenerator[DiscoveredDevice, None]:
        return
        yield


@hookimpl
def luxxon_register_sources(register: Register) -> None:
    register(TurningType(key="turning", title="Turning test card", Config=TurningConfig, camera=Turning))
