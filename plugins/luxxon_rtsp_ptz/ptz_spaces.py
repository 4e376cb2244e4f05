"""Coordinate spaces of a PTZ node (ONVIF PTZ §5.8): our generic ones to those the camera counts in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from luxxon_core.source import PtzVector

GENERIC = (-1.0, 1.0)
GENERIC_ZOOM = (0.0, 1.0)
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Space:
    x: Range
    y: Range
    uri: str = ""
    """Named in a command only where it is not the camera's default: some refuse even their own names."""

    def attribute(self) -> dict[str, str]:
        return {"space": self.uri} if self.uri else {}

    def of(self, pan: float, tilt: float, absolute: bool) -> tuple[float, float]:
        """-1..1 in the camera's numbers: a position along the range, a speed or step to each side of 0."""
        place = _along if absolute else _aside
        return place(pan, self.x), place(tilt, self.y)

    def of_zoom(self, zoom: float, absolute: bool) -> float:
        """A position 0..1, or a speed or step -1..1."""
        return _along(2 * zoom - 1, self.x) if absolute else _aside(zoom, self.x)


@dataclass(frozen=True, slots=True)
class Spaces:
    """Pan and tilt, and zoom; None where the camera has it not."""

    velocity: tuple[Space | None, Space | None]
    translation: tuple[Space | None, Space | None]
    position: tuple[Space | None, Space | None]

    @classmethod
    def unknown(cls) -> Self:
        """What every PTZ camera has by the standard."""
        both = Space(GENERIC, GENERIC), Space(GENERIC, GENERIC)
        return cls(both, both, (Space(GENERIC, GENERIC), Space(GENERIC_ZOOM, GENERIC_ZOOM)))

    @classmethod
    def of_node(cls, node: Any, configuration: Any) -> Self:
        """From a PTZNode's SupportedPTZSpaces and the defaults of the PTZConfiguration."""
        supported = getattr(node, "SupportedPTZSpaces", None)

        def pair(middle: str, suffix: str, zoom: Range) -> tuple[Space | None, Space | None]:
            return (
                _space(supported, configuration, f"{middle}PanTilt{suffix}Space", GENERIC),
                _space(supported, configuration, f"{middle}Zoom{suffix}Space", zoom),
            )

        return cls(
            pair("Continuous", "Velocity", GENERIC),
            pair("Relative", "Translation", GENERIC),
            pair("Absolute", "Position", GENERIC_ZOOM),
        )

    @property
    def empty(self) -> bool:
        return not (self.pans or self.zooms)

    @property
    def pans(self) -> bool:
        return any(pan_tilt is not None for pan_tilt, _ in (self.velocity, self.translation, self.position))

    @property
    def zooms(self) -> bool:
        return any(zoom is not None for _, zoom in (self.velocity, self.translation, self.position))

    def read(self, position: Any) -> PtzVector | None:
        """A Position of GetStatus in generic spaces. Raises TypeError, ValueError: no numbers in it."""
        pan_tilt, zoom = getattr(position, "PanTilt", None), getattr(position, "Zoom", None)
        if pan_tilt is None and zoom is None:
            return None
        across, along = self.position
        pan = tilt = nearer = 0.0
        if pan_tilt is not None:
            pan = _generic(float(pan_tilt.x), across.x if across else GENERIC)
            tilt = _generic(float(pan_tilt.y), across.y if across else GENERIC)
        if zoom is not None:
            nearer = (_generic(float(zoom.x), along.x if along else GENERIC_ZOOM) + 1) / 2
        return PtzVector(pan, tilt, nearer)


def _space(supported: Any, configuration: Any, name: str, generic: Range) -> Space | None:
    """The generic space of a kind, or the first: other spaces count in degrees or pixels."""
    found = list(getattr(supported, name, None) or ())
    if not found:
        return None
    chosen = next((one for one in found if "Generic" in str(getattr(one, "URI", ""))), found[0])
    uri = str(getattr(chosen, "URI", None) or "")
    defaults = {
        str(getattr(configuration, key, None) or "")
        for key in (f"Default{name}", f"Default{name.replace('PanTiltPosition', 'PantTiltPosition')}")
    }
    is_default = uri in defaults or len(found) == 1
    across = _range(getattr(chosen, "XRange", None), generic)
    return Space(across, _range(getattr(chosen, "YRange", None), across), "" if is_default else uri)


def _range(said: Any, otherwise: Range) -> Range:
    try:
        low, high = float(said.Min), float(said.Max)
    except (AttributeError, TypeError, ValueError):
        return otherwise
    return (low, high) if low < high and abs(low) < 1e9 and abs(high) < 1e9 else otherwise


def _along(value: float, bounds: Range) -> float:
    low, high = bounds
    return round(low + (max(-1.0, min(1.0, value)) + 1) / 2 * (high - low), 5)


def _aside(value: float, bounds: Range) -> float:
    value = max(-1.0, min(1.0, value))
    return round(value * (abs(bounds[1]) if value > 0 else abs(bounds[0])), 5)


def _generic(value: float, bounds: Range) -> float:
    low, high = bounds
    return max(-1.0, min(1.0, 2 * (value - low) / (high - low) - 1))
