"""Frames and receipts to files, next to each other and with names that sort."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from luxxon_tui import format as fmt
from luxxon_tui.views import SessionView

if TYPE_CHECKING:
    from luxxon_tui.picture.source import Source

JPEG_QUALITY = 92


def folder(wanted: Path | None) -> Path:
    """Where to save: as asked, else the current folder, else ``~/Pictures`` when that one is read-only."""
    if wanted is not None:
        return wanted
    here = Path.cwd()
    return here if os.access(here, os.W_OK) else Path.home() / "Pictures"


def save_frame(source: Source, where: Path, session: SessionView | None, at: datetime) -> Path:
    """A frame at its full size as JPEG. Blocks: call it in a thread.

    Raises:
        OSError: the file cannot be written.
    """
    from PIL.Image import Image

    image: Image = source.convert("RGB") if isinstance(source, Image) else source.to_image()  # type: ignore[no-untyped-call]
    path = _path(where, session, at, "jpg")
    image.save(path, quality=JPEG_QUALITY)
    return path


def save_receipt(session: SessionView, where: Path, at: datetime) -> Path:
    """A receipt as JSON: amounts as decimal strings of µUSDC, instants ISO 8601. Blocks.

    Raises:
        OSError: the file cannot be written.
    """
    import json

    from luxxon_core.kernel.clock import iso

    path = _path(where, session, at, "json")
    bill = {
        "sessionId": session.id,
        "state": session.state,
        "createdAt": iso(session.created_at),
        "startedAt": iso(session.started_at) if session.started_at else None,
        "endedAt": iso(session.ended_at) if session.ended_at else None,
        "elapsedMilliseconds": session.elapsed_ms,
        "lostMilliseconds": session.lost_ms,
        "cleanSeconds": session.clean_seconds,
        "windows": [
            {
                "reason": loss.reason,
                "openedMilliseconds": loss.opened_ms,
                "closedMilliseconds": loss.closed_ms,
            }
            for loss in session.losses
        ],
        "ratePerSecondMicroUsdc": str(session.rate_micro),
        "chargedMicroUsdc": str(session.charged_micro),
        "toAmountMicroUsdc": None if session.to_micro is None else str(session.to_micro),
        "feeAmountMicroUsdc": None if session.fee_micro is None else str(session.fee_micro),
        "settlement": session.settlement,
        "txHash": session.tx_hash,
    }
    path.write_text(json.dumps(bill, indent=2) + "\n")
    return path


def _path(where: Path, session: SessionView | None, at: datetime, suffix: str) -> Path:
    where.mkdir(parents=True, exist_ok=True)
    what = re.sub(r"[^0-9A-Za-z]", "", fmt.short_id(session.id)) if session else "frame"  # no path
    name = f"luxxon-{what}-{at:%Y%m%d-%H%M%S}"
    path = where / f"{name}.{suffix}"
    number = 2
    while True:
        try:
            path.touch(exist_ok=False)  # taken at once: two may be saved in one second
        except FileExistsError:
            path = where / f"{name}-{number}.{suffix}"
            number += 1
        else:
            return path
