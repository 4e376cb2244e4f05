"""A session's camera, its picture, its URL and the ledger that it leaves, by commands."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from twin_stage import GHENT, Market, Shell, market_in

from luxxon_core.demo.stage import SUPPLIER_SCOPES, party
from luxxon_tui.screens.wallet_export import HEADS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    async with market_in(tmp_path_factory.mktemp("looking")) as opened:
        yield opened


@pytest.fixture
def shell(market: Market) -> Shell:
    return market.shell(market.consumer)


async def test_the_camera_of_a_live_session_is_moved(market: Market, shell: Shell) -> None:
    operator = market.shell(market.supplier)
    async with market.live() as session_id:
        ptz = "sessions", "ptz", session_id
        out = await shell.says(*ptz, "continuous_move", "--pan", "-0.5", "--timeout", "0.2")
        assert out.startswith("continuous_move: done in ")
        moved = market.camera.commands[-1]
        assert (moved.name, moved.arguments[0].pan, moved.arguments[1]) == ("continuous_move", -0.5, 0.2)
        answer = await shell.told(*ptz, "absolute_move", "--pan", "0.25", "--tilt", "0")
        assert (answer["accepted"], answer["executed"]) == (True, True)
        status = dict(line.split() for line in (await shell.says(*ptz, "get_status")).splitlines())
        assert (status["moves"], status["pan"]) == ("no", "0.25")
        token = (await operator.says(*ptz, "set_preset", "--name", "the door")).strip()
        head, preset = (await shell.says(*ptz, "get_presets")).splitlines()
        assert (head.split(), preset.split(None, 1)) == (["TOKEN", "NAME"], [token, "the door"])
        assert (await shell.told(*ptz, "goto_preset", "--token", token))["executed"] is True
        for refused, words in (
            (("set_preset", "--name", "mine"), "Not authorized"),
            (("goto_preset", "--token", "nowhere"), "The camera refuses"),
            (("set_pitch_yaw", "--pitch", "0", "--yaw", "0"), "does not allow"),
        ):
            assert words in await shell.refused(*ptz, *refused)
        commands = len(market.camera.commands)
        for wrong, words in (
            (("stop", "--pan", "1"), "--pan does not go with stop"),
            (("continuous_move", "--pan", "1.5"), "pan"),
            (("continuous_move", "--pan", "nan"), "nan"),
            (("continuous_move", "--timeout", "6"), "timeout"),
            (("absolute_move", "--pan", "1"), "tilt"),
            (("goto_preset",), "token"),
            (("fly",), "fly"),
        ):
            assert words in await shell.refused(*ptz, *wrong)
        assert len(market.camera.commands) == commands
    assert "ENDED" in (await shell("sessions", "list"))[1]
    await shell.refused(*ptz, "stop")


async def test_a_picture_and_the_url_of_a_live_session(market: Market, shell: Shell) -> None:
    async with market.live() as session_id:
        async with asyncio.timeout(30):
            while (await shell("sessions", "frame", session_id, "--out", "one.jpg"))[0] == 1:
                pass
        with Image.open(io.BytesIO((shell.folder / "one.jpg").read_bytes())) as picture:
            assert picture.width == 320
        told = await shell.told("sessions", "frame", session_id, "--out", "two.jpg", "--width", "160")
        assert (told["sessionId"], told["frame"]) == (session_id, "two.jpg")
        assert datetime.fromisoformat(told["capturedAt"]).tzinfo is not None
        with Image.open(io.BytesIO((shell.folder / "two.jpg").read_bytes())) as picture:
            assert picture.width == 160
        assert "nowhere" in await shell.refused(
            "sessions", "frame", session_id, "--out", str(Path("nowhere") / "one.jpg")
        )
        url = (await shell.says("sessions", "url", session_id)).strip()
        assert (await shell.told("sessions", "url", session_id))["whepUrl"] == url
        assert url.startswith("http")
    await shell.refused("sessions", "url", session_id)


async def test_where_there_is_no_picture_it_was_in_vain(market: Market, shell: Shell) -> None:
    session_id = await market.requested()
    code, out, err = await shell("sessions", "frame", session_id, "--out", "none.jpg")
    assert (code, out, len(err.splitlines())) == (1, "", 1), err
    assert not (shell.folder / "none.jpg").exists()
    await market.consumer.api.sessions.cancel(session_id)


async def test_stuck_assignments_are_given_back_together(market: Market) -> None:
    async with party(market.server.api_url, "asleep", "SUPPLIER", SUPPLIER_SCOPES) as asleep:
        await asleep.api.workspaces.set_availability(
            asleep.workspace_id, "ONLINE", lat=GHENT.lat, lng=GHENT.lng, radius_meters=300
        )
        session_id = await market.requested(GHENT)
        await market.consumer.api.sessions.dispatch(session_id)
        shell = market.shell(asleep)
        assert await shell.says("sessions", "cancel-all-assignments") == f"{session_id}\n"
        assert await shell.told("sessions", "cancel-all-assignments") == {"count": 0, "cancelled": []}
        assert (await market.consumer.api.sessions.get(session_id)).state != "ASSIGNED"
    await market.shell(market.consumer).refused("sessions", "cancel-all-assignments")


async def test_demand_needs_no_key(market: Market, shell: Shell) -> None:
    await market.requested()
    anybody = shell.having(LUXXON_API_KEY=None)
    cells = await anybody.told("demand")
    assert {"lat", "lng", "requests", "unmet"} <= set(cells[0])
    head, *lines = (await anybody.says("demand")).splitlines()
    assert (head.split(), len(lines)) == (["LAT", "LNG", "REQUESTS", "UNMET"], len(cells))


async def test_the_ledger_of_what_was_paid(market: Market, shell: Shell) -> None:
    api = market.consumer.api
    async with market.live() as session_id:
        async with asyncio.timeout(30), api.sessions.events(session_id) as stream:
            async for event in stream:
                if event.name == "session.meter" and event.data.clean_seconds:  # type: ignore[union-attr]
                    break
        held = next(one for one in await lines(shell) if one["session"] == session_id)
        assert (held["what"], held["state"], held["balance_usdc"]) == ("held", "open", "")
    paid = await settled(shell, session_id)
    session = await api.sessions.get(session_id)
    pool = int((await api.wallet.get()).tracked_balance)
    assert float(paid["amount_usdc"]) == -int(session.charged_micro_usdc) / 10**6
    assert float(paid["balance_usdc"]) == pool / 10**6
    assert paid["for"] == f"50.8466, 4.3528, {session.clean_seconds} s"
    events = await shell.told("wallet", "ledger")
    assert [one["id"] for one in events] == [one.id async for one in api.wallet.iterate()]
    final = [one for one in await lines(shell) if one["state"] == "final"]
    assert [one["transaction"] for one in final] == [one["txHash"] for one in events]
    oldest = next(one for one in reversed(final) if one["what"] == "top up")
    assert oldest["amount_usdc"] == oldest["balance_usdc"], "before it there was nothing in the pool"

    head, *rows = (await shell.says("wallet", "ledger")).splitlines()
    assert head.split("  ")[0] == "TIME (UTC)"
    assert [row for row in rows if session_id in row and "paid" in row and "final" in row]
    earned = [
        one for one in await lines(market.wallet_shell(market.supplier.wallet)) if one["state"] == "final"
    ]
    assert [(one["what"], one["session"]) for one in earned if one["session"] == session_id] == [
        ("earned", session_id)
    ]


async def test_a_key_that_may_see_no_sessions_sees_what_was_settled(market: Market, shell: Shell) -> None:
    minted = await shell.told("keys", "mint", "books", "--scope", "wallet:read")
    books = shell.having(LUXXON_API_KEY=minted["plaintext"])
    found = await lines(books)
    assert {one["what"] for one in found} <= {"top up", "approved", "settled"}
    assert json.loads(await books.says("wallet", "ledger", "--json")) == await shell.told("wallet", "ledger")
    blind = (await shell.told("keys", "mint", "blind", "--scope", "pricing:read"))["plaintext"]
    assert "scope" in await shell.having(LUXXON_API_KEY=blind).refused("wallet", "ledger")


async def test_a_ledger_has_one_form_and_one_workspace(shell: Shell) -> None:
    assert "not both" in await shell.refused("wallet", "ledger", "--csv", "--json")
    assert "--workspace" in await shell.refused("wallet", "ledger", "--workspace", "another")


async def lines(shell: Shell) -> list[dict[str, str]]:
    """The ledger's file."""
    process = await shell.start("wallet", "ledger", "--csv")
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, err) == (0, b"")
    assert out.count(b"\r\n") == out.count(b"\n")
    rows = csv.DictReader(io.StringIO(out.decode(), newline=""))
    assert tuple(rows.fieldnames or ()) == HEADS
    return list(rows)


async def settled(shell: Shell, session_id: str) -> dict[str, str]:
    """Its line when the chain has it."""
    async with asyncio.timeout(60):
        while True:
            found = [one for one in await lines(shell) if one["session"] == session_id]
            if found and found[0]["state"] == "final":
                (only,) = found
                return only
            assert {one["what"] for one in found} <= {"paid", "held"}
