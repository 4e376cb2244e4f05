"""Time is an argument: only adapters and entry points hold a clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

MILLISECOND = timedelta(milliseconds=1)


def utc_now() -> datetime:
    """The current UTC time, cut to milliseconds: what is stored, billed and shown is the same instant."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def iso(moment: datetime) -> str:
    """ISO-8601 UTC with milliseconds and ``Z``: ``2026-05-13T12:00:00.000Z`` (api-contract §1)."""
    if moment.tzinfo is not UTC:  # what the clock and the database give is: every answer tells some
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def milliseconds(span: timedelta) -> int:
    """A time span in whole milliseconds, exactly, rounded down."""
    return span // MILLISECOND
