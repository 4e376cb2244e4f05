"""Sessions with an operator, and links to them."""

from __future__ import annotations

from typing import Any

from access_table import bearer
from api_wire import Place, Tenant, Wire


async def link(wire: Wire, session: str, auth: Any, **body: Any) -> dict[str, str]:
    """The credential of a fresh link."""
    made = await wire.data("POST", f"/sessions/{session}/link", auth=auth, json=body)
    return bearer(made["url"].rpartition("/")[2])


async def assigned(wire: Wire, consumer: Tenant, place: Place, **fields: Any) -> tuple[Tenant, str]:
    supplier = await wire.supplier_at(place)
    session = await wire.create(consumer, place, **fields)
    await wire.data("POST", f"/sessions/{session['id']}/dispatch", auth=consumer)
    return supplier, str(session["id"])
