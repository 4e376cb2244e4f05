"""What a client prefers (RFC 7240): to be answered when it is done, or at once."""

from __future__ import annotations

import re

PREFER, APPLIED = "Prefer", "Preference-Applied"
_WAIT = re.compile(r"wait\s*=\s*\"?([0-9]{1,9})\"?", re.IGNORECASE)
_ASYNC = "respond-async"


def preferred_wait(value: str | None) -> int | None:
    """Seconds that the client likes to wait for the answer; None where it does not say.

    ``respond-async`` alone means none, and the first of several ``wait`` counts. What is malformed or unknown
    is ignored, as §2 asks.
    """
    if value is None:
        return None
    told = [one.split(";", 1)[0].strip() for one in value.split(",")]
    waits = [int(found[1]) for one in told if (found := _WAIT.fullmatch(one))]
    if waits:
        return waits[0]
    return 0 if any(one.lower() == _ASYNC for one in told) else None
