"""Network cameras: video by RTSP, published as it comes; pan, tilt and zoom by ONVIF."""

from __future__ import annotations

from luxxon_core.plugins import Register, hookimpl


@hookimpl
def luxxon_register_sources(register: Register) -> None:
    from luxxon_rtsp_ptz.source_type import RtspType

    register(RtspType())
