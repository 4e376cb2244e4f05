"""``luxxon operate --dry-run``: opens the cameras and says what would be; the marketplace is not told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from luxxon_core.client import ConnectionFailed, Luxxon
from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import LuxxonError, NotAuthenticated
from luxxon_core.kernel.money import format_usdc
from luxxon_core.operator.camera import Camera, opened, workspace_of
from luxxon_core.operator.rules import Rules
from luxxon_core.source import AudioSource, PoseSource, PtzControl, Source

POSE_SECONDS = 5.0
PICTURE_SECONDS = 10.0


async def rehearse(cameras: Sequence[Camera], clock: Clock) -> list[dict[str, Any]]:
    """What each camera offers, and what would be accepted from it; ``error`` where it cannot be opened."""
    return list(await asyncio.gather(*(_one(camera, clock) for camera in cameras)))


async def _one(camera: Camera, clock: Clock) -> dict[str, Any]:
    table = camera.table
    told: dict[str, Any] = {"camera": camera.name, "type": camera.source_type.key}
    try:
        async with await opened(camera.source_type, camera.config) as source:
            told |= await _offered(source)
            camera.check(source)
            if table.privacy is not None:
                told["policy"] = table.privacy.privacy(source).policy()
        told["location"] = "follows the camera" if table.location is None else _place(camera)
        told["radiusMeters"] = table.radius_meters
        told["accepts"] = accepted(table.accept.rules())
        told["open"] = table.accept.rules().open_at(clock())
        async with camera.connect() as api:
            told["marketplace"] = await _known(api)
    except LuxxonError as error:
        told["error"] = error.message
    except Exception as error:  # noqa: BLE001 - a plugin's; its text may be a URL with a password
        told["error"] = f"the camera's plugin failed ({type(error).__name__})"
    return told


async def _known(api: Luxxon) -> str:
    try:
        return f"workspace {workspace_of(await api.with_retry(False).me.get())}"
    except ConnectionFailed as error:
        return error.message
    except NotAuthenticated:
        return "no API key that it knows: --setup makes one"


def _place(camera: Camera) -> Mapping[str, float]:
    location = camera.table.location
    assert location is not None
    return {"lat": location.lat, "lng": location.lng, "accuracyMeters": location.accuracy_meters}


async def _offered(source: Source) -> dict[str, Any]:
    profiles = source.media_profiles()
    capabilities = {"ptz": PtzControl, "pose": PoseSource, "sound": AudioSource}
    told: dict[str, Any] = {
        "profiles": [f"{one.codec} {one.width}x{one.height} {one.frame_rate:g} fps" for one in profiles],
        "capabilities": [name for name, kind in capabilities.items() if isinstance(source, kind)],
        "picture": await _picture(source),
    }
    if isinstance(source, PtzControl):
        position = (await source.get_status()).position
        if position is not None:
            told["looksAt"] = {"pan": position.pan, "tilt": position.tilt, "zoom": position.zoom}
    return told | {"warnings": list(source.health().warnings)}


async def _picture(source: Source) -> str:
    """The size of a picture that was really there."""
    frames = source.frames(source.media_profiles()[0], None, None)
    try:
        async with asyncio.timeout(PICTURE_SECONDS):
            frame = await anext(frames)
        return f"{frame.width}x{frame.height}"
    except (StopAsyncIteration, TimeoutError):
        return "none"
    finally:
        await frames.aclose()


def accepted(rules: Rules) -> str:
    """The rules in words."""
    said = []
    if rules.max_distance_meters is not None:
        said.append(f"up to {rules.max_distance_meters:g} m away")
    if rules.min_rate_micro_usdc is not None:
        said.append(f"from {format_usdc(rules.min_rate_micro_usdc)} USDC a second")
    if rules.max_seconds is not None:
        said.append(f"up to {rules.max_seconds} s long")
    if (hours := rules.hours) is not None:
        said.append(f"{hours.begin:%H:%M} to {hours.end:%H:%M} {hours.zone}")
    return ", ".join(said) or "everything inside the circle"
