"""The examples, as their pages say to run them, beside one marketplace."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from examples_place import EXAMPLES, PLACE, Inspector, Market, clean, imported, market_in, pi_in, run
from ledger_consumer import consuming
from mcp.types import CallToolResult, TextContent
from operating import Operator
from PIL import Image

from luxxon_core.client import Luxxon

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    async with market_in(tmp_path_factory.mktemp("examples")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pi(market: Market, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    async with pi_in(tmp_path_factory.mktemp("checkout"), market) as operator:
        yield operator


async def test_a_raspberry_pi_offers_its_camera(market: Market, pi: Operator) -> None:
    etc = market.installed("etc/luxxon")
    modes = {
        name: (etc / name).stat().st_mode & 0o777 for name in ("luxxon.toml", "operate.env", "wallet.json")
    }
    assert modes == {"luxxon.toml": 0o644, "operate.env": 0o600, "wallet.json": 0o600}
    assert "systemctl restart luxxon-operate" in market.log.read_text()
    assert [f"{one.lat:g}" for one in await market.consumer.api.coverage.list()] == [PLACE[0]]
    state = market.installed("var/lib/private/luxxon")
    health = (sys.executable, str(market.installed("opt/luxxon/bin/luxxon-health")))
    code, printed = await run(*health, cwd=etc, environment=clean(LUXXON_DATA_DIR=str(state)))
    assert (code, printed.startswith("window: ONLINE")) == (0, True), printed
    code, printed = await run(*health, cwd=etc, environment=clean(LUXXON_DATA_DIR=str(etc)))
    assert (code, "no keys" in printed) == (1, True), printed


@pytest_asyncio.fixture(loop_scope="module")
async def inspector(market: Market, pi: Operator, tmp_path: Path) -> Inspector:
    return Inspector(market, tmp_path)


async def test_the_inspectors_own_rule_waits_until_nothing_moves() -> None:
    steady = imported(EXAMPLES / "inspector" / "inspect_place.py").Steady()

    def jpeg(*box: int) -> bytes:
        picture, file = Image.new("L", (320, 180), 100), io.BytesIO()
        picture.paste(255, box or None)
        picture.save(file, "jpeg")
        return file.getvalue()

    moving = [jpeg(0, 0, 80, 80), jpeg(160, 60, 240, 140)]
    assert not (await steady.decide("?", moving[:1])).done, "one picture says nothing of what moves"
    assert not (await steady.decide("?", moving)).done
    found = await steady.decide("?", [*moving, moving[-1]])
    assert found.done
    assert found.words.endswith("changed by 0.0")


async def test_an_inspector_stops_when_its_model_has_seen_enough(inspector: Inspector) -> None:
    """The model is the one that the page shows, and what it asks is an answer from nowhere."""
    page = (EXAMPLES / "inspector" / "README.md").read_text()
    (shown,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    asked = """
async def ask_your_model(words: str, images: Sequence[bytes]) -> str:
    return "It is quiet." if len(images) == 2 else "WAIT, a tram comes."
"""
    (inspector.folder / "mine.py").write_text(shown + asked)
    code, printed = await inspector.run(*PLACE, "--model", "mine:Mine", "--every", "1")
    assert code == 0, printed
    assert "Ended because the model has seen enough." in inspector.report
    assert "WAIT, a tram comes." in inspector.report
    assert "It is quiet." in inspector.report
    for number in (1, 2):
        with Image.open(inspector.folder / "report" / f"{number}.jpg") as picture:
            picture.load()
            assert picture.size == (320, 180)
    await inspector.nothing_runs()


async def test_an_inspector_keeps_to_its_budget(inspector: Inspector) -> None:
    quote = await inspector.market.consumer.api.pricing.quote(lat=50.8466, lng=4.3528, duration_seconds=1)
    budget = 3 * int(quote.rate_per_second_micro_usdc)
    (inspector.folder / "never.py").write_text(
        "from inspect_place import Verdict\n\n\nclass Never:\n"
        "    async def decide(self, question, pictures):\n        return Verdict(False, question)\n"
    )
    arguments = ("--model", "never:Never", "--every", "1", "--budget", str(budget), "--question", "Any snow?")
    code, printed = await inspector.run(*PLACE, *arguments)
    assert code == 0, printed
    assert re.search("Ended because (the budget is used|the session is EXPIRED)", inspector.report)
    assert "Any snow?" in inspector.report
    paid = re.search(r"for (\d+) µUSDC", inspector.report)
    assert paid is not None and 0 <= int(paid[1]) <= budget
    await inspector.nothing_runs()
    code, printed = await inspector.run(*PLACE, "--budget", "1")
    assert (code, printed.startswith("OVER_BUDGET")) == (3, True)


async def test_an_inspector_says_what_is_refused(inspector: Inspector) -> None:
    code, printed = await inspector.run("--", "-60", "-120")
    assert (code, printed.startswith("NO_COVERAGE")) == (3, True), printed
    code, printed = await inspector.run(*PLACE, "--budget", "10000000000")
    assert (code, "INSUFFICIENT_CREDIT" in printed or "INVALID_INPUT" in printed) == (3, True), printed
    assert not (inspector.folder / "report").exists()
    await inspector.nothing_runs()


async def test_an_inspector_keeps_to_the_budget_of_its_key(inspector: Inspector) -> None:
    owner, wallet = inspector.market.consumer, inspector.market.consumer.wallet
    async with Luxxon(inspector.market.server.api_url) as api:
        challenge = await api.auth.challenge(wallet.address)
        await api.auth.login(wallet.address, challenge.nonce, wallet.sign_message(challenge.message))
        await api.auth.select_workspace(owner.workspace_id)
        scopes = ("sessions:read", "sessions:create", "pricing:read")
        key = await api.workspaces.create_api_key(
            owner.workspace_id, label="capped", scopes=scopes, session_cap_micro_usdc=5000
        )
    inspector.environment = {**inspector.environment, "LUXXON_API_KEY": key.plaintext}
    code, printed = await inspector.run(*PLACE, "--budget", "100000")
    assert (code, printed.startswith("NOT_AUTHORIZED: ")) == (3, True), printed
    assert "sessionCap" in printed
    await inspector.nothing_runs()


async def test_an_inspector_that_is_interrupted_pays_for_what_it_saw(inspector: Inspector) -> None:
    async with inspector.running(*PLACE, "--every", "60") as program:
        await program.says("brightness")
        program.process.send_signal(signal.SIGINT)
        assert await program.ends() == 130, program.printed
    assert "Ended because you stopped it." in inspector.report
    sessions = await inspector.market.consumer.api.sessions.list(state="ENDED")
    assert sessions[0].charged_micro_usdc in inspector.report
    await inspector.nothing_runs()


async def test_an_inspector_that_waits_no_longer_leaves_no_meter_running() -> None:
    """The camera goes LIVE between the answer that it is not and the request to cancel."""
    module, called = imported(EXAMPLES / "inspector" / "inspect_place.py"), []
    told: dict[str, dict[str, Any]] = {
        "get_pricing_quote": {"ratePerSecondMicroUsdc": "1000", "quoteId": "q"},
        "request_live_view": {
            "sessionId": "s",
            "state": "ASSIGNED",
            "waitOutcome": "TIMEOUT",
            "waitMessage": "not LIVE",
        },
        "cancel_session": {"code": "INVALID_STATE", "message": "session:cancel:LIVE"},
    }

    class Host:
        async def call_tool(self, tool: str, _: object) -> CallToolResult:
            called.append(tool)
            answer = told.get(tool, {})
            content = [TextContent(text=json.dumps(answer))]
            return CallToolResult(content=content, structured_content=answer, is_error="code" in answer)

    with pytest.raises(module.Refused, match="not LIVE") as refused:
        await module.Inspection(1, 2, "?", 5000).run(Host(), module.Steady(), 1)
    assert refused.value.code == "TIMEOUT"
    assert called[2:] == ["cancel_session", "end_session"]


async def test_a_ledger_is_told_by_the_marketplace_of_what_was_paid(
    market: Market, inspector: Inspector, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    webhooks = market.consumer.api.webhooks
    made = await webhooks.create(f"http://127.0.0.1:{port}/hooks", events=["settlement.state"])
    async with consuming(tmp_path, made.secret, port) as consumer:
        code, printed = await inspector.run(*PLACE, "--budget", "3000", "--every", "1")
        assert code == 0, printed
        session, *_ = await market.consumer.api.sessions.list(state=("ENDED", "EXPIRED"))
        receipt = await market.consumer.api.sessions.receipt(session.id)
        async with asyncio.timeout(30):
            while not (lines := await consumer.ledger()):
                await asyncio.sleep(0.1)
    paid = await market.consumer.api.settlements.get(session.id)
    assert lines == [f"{session.id},{receipt.clean_seconds},{receipt.charged_micro_usdc},{paid.tx_hash}"]
    await webhooks.delete(made.id)
