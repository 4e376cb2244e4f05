"""Identifiers: UUIDs on the wire, minted at the edge and passed inward."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

NewId = Callable[[], UUID]

new_id: NewId = uuid4
