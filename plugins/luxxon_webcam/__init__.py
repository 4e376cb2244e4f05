"""Cameras of this computer, through libavdevice: Video4Linux2, AVFoundation or DirectShow."""

from __future__ import annotations

from luxxon_core.plugins import Register, hookimpl


@hookimpl
def luxxon_register_sources(register: Register) -> None:
    from luxxon_webcam.webcam import WebcamType

    register(WebcamType())
