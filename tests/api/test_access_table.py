"""Every operation and every caller: each cell of ``access_table.txt`` is a call (api-contract §4)."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from access_table import CALLERS, MEANING, TABLE, Cast, Row, assemble
from api_wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cast(wire: Wire) -> Cast:
    return await assemble(wire)


def shape(path: str) -> str:
    """A path without the names of its parameters."""
    return re.sub(r"\{\w+\}|:\w+", "{}", path)


async def test_the_table_has_one_row_for_each_operation(wire: Wire) -> None:
    served = set()
    for route in wire.server.deployment.app.router.routes():
        canonical = route.resource.canonical if route.resource is not None else ""
        found = re.fullmatch(r"/api/v1(?!/api/v1)(/.*)", canonical)
        if found and route.method != "HEAD":
            served.add((route.method, shape(found[1])))
    assert {(row.method, shape(row.path)) for row in TABLE} == served
    assert len(TABLE) == len(served)


async def test_the_table_has_every_row_of_the_contract() -> None:
    numbers = [int(row.number) for row in TABLE if row.number != "-"]
    assert numbers == list(range(1, 38))


async def test_the_table_can_be_read() -> None:
    assert {cell for row in TABLE for cell in row.cells.values()} <= {*MEANING, "+", "."}
    for row in TABLE:
        assert (row.cells["fpa"] == ".") is not row.names_workspace, row
        assert (row.cells["fbo"] == ".") is not row.may_have_body, row


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_each_caller_is_answered_as_the_table_says(wire: Wire, cast: Cast, row: Row) -> None:
    wanted = {caller: row.expected(caller) for caller in CALLERS}
    asked = [caller for caller in CALLERS if wanted[caller] is not None]
    found = {caller: await cast.call(wire, row, caller) for caller in asked}
    wrong = {caller: (found[caller], wanted[caller]) for caller in asked if found[caller] != wanted[caller]}
    assert wrong == {}, "found, and what the table says"


async def test_members_come_in_by_head_as_by_get(wire: Wire, cast: Cast) -> None:
    """What is GET is HEAD too, by the same row."""
    for row in TABLE:
        if row.method == "GET" and row.let_in[0] == 200:
            for caller in ("no", "rev", "-r", "out", "VIE"):
                wanted = row.expected(caller)
                assert wanted is not None
                query = {"workspaceId": cast.owner.workspace_id} if caller == "out" else {}
                path = row.at(cast.owner.workspace_id)
                response = await wire("HEAD", path, auth=cast.credentials[caller], params=query)
                assert (response.status_code, response.content) == (wanted[0], b""), (row, caller)
