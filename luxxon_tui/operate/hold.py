"""A key that is held down as a camera's movement.

A terminal tells presses and repeats, never that a key is let go. Each press therefore moves for a short time
that its repeats renew: once they cease, the camera's own time-out stops it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luxxon_core.controls.schemas import Order

MOVE_SECONDS = 0.4
"""How long a press moves the camera: longer than a keyboard takes between repeats, short as a tap."""
SPEED = 0.5
DEGREES = 3.0
"""A step of a gimbal, which takes angles and not velocities."""
DIRECTIONS: dict[str, tuple[float, float, float]] = {
    "left": (-1, 0, 0),
    "right": (1, 0, 0),
    "up": (0, 1, 0),
    "down": (0, -1, 0),
    "in": (0, 0, 1),
    "out": (0, 0, -1),
}
WORDS = {
    "left": "moving left",
    "right": "moving right",
    "up": "moving up",
    "down": "moving down",
    "in": "zooming in",
    "out": "zooming out",
}


@dataclass
class Hold:
    """Which key is held, as far as that can be told.

    Attributes:
        every: seconds between two commands of one movement.
        seconds: that a command moves the camera for.
    """

    every: float = 0.15
    seconds: float = MOVE_SECONDS
    direction: str = ""
    until: float = 0.0
    """When it will rest; monotonic seconds."""
    _sent: float = 0.0

    def press(self, direction: str, now: float) -> bool:
        """Note a press or a repeat; whether the camera is to be told."""
        fresh = direction != self.direction or now >= self.until
        self.direction, self.until = direction, now + self.seconds
        if not fresh and now - self._sent < self.every:
            return False
        self._sent = now
        return True

    def held(self, now: float) -> str:
        """The direction it moves in; empty at rest."""
        return self.direction if now < self.until else ""


def order_of(
    direction: str, controls: frozenset[str], aim: tuple[float, float], seconds: float = MOVE_SECONDS
) -> tuple[Order | None, tuple[float, float]]:
    """What to tell a camera with these controls, and where its gimbal is then aimed; None where it cannot.

    Args:
        aim: pitch and yaw in degrees, as they were last told.
    """
    from luxxon_core.controls.schemas import ContinuousMove, SetPitchYaw, SetZoom

    pan, tilt, zoom = (each * SPEED for each in DIRECTIONS[direction])
    if zoom and "zoom" in controls and "ptz" not in controls:
        return SetZoom("CONTINUOUS", zoom, timeout=seconds), aim
    if "ptz" in controls:
        return ContinuousMove(pan, tilt, zoom, timeout=seconds), aim
    if "gimbal" in controls and not zoom:
        pitch = min(90.0, max(-90.0, aim[0] + DEGREES * DIRECTIONS[direction][1]))
        yaw = min(180.0, max(-180.0, aim[1] + DEGREES * DIRECTIONS[direction][0]))
        return SetPitchYaw(pitch, yaw), (pitch, yaw)
    return None, aim


def home_of(controls: frozenset[str]) -> Order | None:
    """Back to where the camera looks by itself."""
    from luxxon_core.controls.schemas import GotoHome, SetPitchYaw

    if "ptz" in controls:
        return GotoHome()
    return SetPitchYaw(0.0, 0.0) if "gimbal" in controls else None
