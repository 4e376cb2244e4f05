"""Cameras that cannot be offered keep no other from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from luxxon_core.kernel.errors import LuxxonError, StartError

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass
class LeftOut:
    """Cameras that cannot be offered, by name, and why. The others run on."""

    errors: dict[str, LuxxonError] = field(default_factory=dict)

    def of(self, cameras: Iterable[tuple[str, Callable[[], T]]]) -> list[T]:
        """What is made of the cameras that can be made."""
        made = []
        for name, make in cameras:
            try:
                made.append(make())
            except LuxxonError as error:
                self.errors[name] = error
        return made

    def tell(self, left: int) -> None:
        """Log each, with its reason.

        Raises:
            LuxxonError: there is only that one; StartError: none of several is ``left``.
        """
        if not left and len(self.errors) == 1:
            raise next(iter(self.errors.values()))
        for name, error in self.errors.items():
            log.error("camera.left_out", camera=name, reason=error.message)
        if not left:
            raise StartError(message=f"none of the {len(self.errors)} cameras can be offered")
