"""``luxxon settlements`` as an operator runs it, on the database of a server."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from uuid import UUID, uuid4

from settlement_rows import NOW, STORE, pending, submitted

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.settlement import PgSettlementStore
from luxxon_core.settlement.domain import Wait
from tests.journeys import conftest
from tests.journeys.conftest import Run

luxxon = conftest.luxxon


async def said(run: Run, dsn: str, *arguments: str) -> tuple[int | None, str, str]:
    process = await run("settlements", *arguments, LUXXON_DATABASE_URL=dsn)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert b"Traceback" not in err, err
    return process.returncode, out.decode(), err.decode()


async def test_what_was_parked_is_listed_shown_and_tried_again(
    luxxon: Run, database: Database, dsn: str
) -> None:
    parked, sent = await pending(database, dsn), await pending(database, dsn)
    session_id = str(parked.payload.session_id)
    why = "The settlement contract reverts: InvalidAddress"
    async with database.begin() as tx:
        await STORE.save(tx, [replace(parked, waits_for=Wait.OPERATOR, attempts=1, last_error=why)])
        sent = await submitted(tx, sent, 3)
    code, out, _ = await said(luxxon, dsn, "list")
    assert code == 0 and len(out.splitlines()) == 2
    code, out, err = await said(luxxon, dsn, "list", "--parked")
    assert re.fullmatch(rf"{session_id} .*PENDING \(OPERATOR\) .* {why}\n", out) and "1 not confirmed" in err
    code, out, _ = await said(luxxon, dsn, "show", "--json", str(sent.payload.session_id))
    shown = json.loads(out)
    assert (shown["state"], shown["nonce"], shown["broadcastHashes"]) == ("SUBMITTED", 3, [sent.tx_hash])
    assert "raw" not in out
    code, out, _ = await said(luxxon, dsn, "retry", session_id)
    assert code == 0 and session_id in out
    async with database.begin() as tx:
        row = await PgSettlementStore().get(tx, UUID(session_id))
    assert row is not None and (row.waits_for, row.attempts) == (None, 0) and row.next_attempt_at > NOW


async def test_a_session_that_owes_nothing_is_one_line(luxxon: Run, dsn: str) -> None:
    code, out, err = await said(luxxon, dsn, "show", str(uuid4()))
    assert (code, out) == (2, "") and err.count("\n") == 1
