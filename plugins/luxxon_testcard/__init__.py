"""Cameras that need no camera: a moving test card, and a video file played as if it were live."""

from __future__ import annotations

from luxxon_core.plugins import Register, hookimpl


@hookimpl
def luxxon_register_sources(register: Register) -> None:
    from luxxon_testcard.file import FileType
    from luxxon_testcard.testcard import TestcardType

    register(TestcardType())
    register(FileType())
