"""The stream of events by a command: followed, taken up again, left by its reader or by Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from twin_stage import Market, Shell, market_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = "8c4c0f9e-0000-4000-8000-000000000000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    async with market_in(tmp_path_factory.mktemp("events")) as opened:
        yield opened


@pytest.fixture
def shell(market: Market) -> Shell:
    return market.shell(market.consumer)


class Following:
    """``luxxon events`` while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 30)).decode()

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """The objects up to the one that is wanted."""
        found: list[dict[str, Any]] = []
        while not found or not wanted(found[-1]):
            line = await self.line()
            assert line, "it ended"
            found.append(json.loads(line))
        return found

    async def interrupted(self) -> tuple[int | None, bytes]:
        """Its exit code after Ctrl-C, and what it said on standard error."""
        self.process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(self.process.communicate(), 20)
        return self.process.returncode, err


@asynccontextmanager
async def following(shell: Shell, *arguments: str) -> AsyncIterator[Following]:
    process = await shell.start("events", *arguments)
    try:
        yield Following(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def state(name: str, session_id: str) -> Callable[[dict[str, Any]], bool]:
    def wanted(told: dict[str, Any]) -> bool:
        data = told["data"]
        return told["type"] == "session.state" and (data["session"]["id"], data["session"]["state"]) == (
            session_id,
            name,
        )

    return wanted


async def test_events_are_followed_and_taken_up_where_they_were_left(market: Market, shell: Shell) -> None:
    api = market.consumer.api
    async with following(shell, "--json") as stream:
        ready = await stream.until(lambda told: told["type"] == "ready")
        assert set(ready[-1]) == {"id", "type", "data"}
        session_id = await market.requested()
        last = (await stream.until(state("REQUESTED", session_id)))[-1]
        assert (last["data"]["sessionId"], int(last["id"]) > 0) == (session_id, True)
        code, err = await stream.interrupted()
        assert (code, err.strip()) == (130, b"")
    await api.sessions.cancel(session_id)
    async with following(shell, "--json", "--after", last["id"]) as stream:
        missed = await stream.until(lambda told: told["type"] == "ready")
    states = [one["data"]["session"]["state"] for one in missed if one["type"] == "session.state"]
    assert states == ["CANCELLED"], "none is lost, none is told twice"


async def test_a_session_is_followed_until_it_is_over(market: Market, shell: Shell) -> None:
    session_id = await market.requested()
    async with following(shell, "--session", session_id) as stream:
        at, _, name, session, words = (await stream.line()).split()
        assert (name, session, words) == ("session.state", session_id, "REQUESTED")
        assert at.endswith("Z")
        await market.consumer.api.sessions.cancel(session_id)
        out, err = await asyncio.wait_for(stream.process.communicate(), 20)
    lines = out.decode().splitlines()
    assert [line.split()[2:] for line in lines] == [
        ["session.state", session_id, "CANCELLED"],
        ["end", session_id],
    ]
    assert (stream.process.returncode, err) == (0, b"following\n")


async def test_only_the_wanted_events_are_told(market: Market, shell: Shell) -> None:
    async with market.live() as session_id:
        async with following(
            shell, "--session", session_id, "--json", "--event", "session.meter", "--event", "end"
        ) as stream:
            (told,) = await stream.until(lambda told: told["type"] == "session.meter")
            assert told["id"] is None
            assert told["data"]["chargedMicroUsdc"].isdecimal()
        async with following(shell, "--session", session_id, "--event", "session.meter") as stream:
            assert "s clean, 0." in await stream.line()


async def test_it_ends_when_nobody_reads_any_more(shell: Shell) -> None:
    """Although nothing happens that it could fail to tell."""
    ours, theirs = os.pipe()
    process = await shell.start("events", "--json", out=theirs)
    os.close(theirs)
    try:
        assert b"ready" in await asyncio.wait_for(asyncio.to_thread(os.read, ours, 65_536), 30)
    finally:
        os.close(ours)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, err) == (0, b"")


async def test_a_reader_who_has_gone_before_is_no_fault(shell: Shell) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    buffered = shell.having(PYTHONUNBUFFERED="")  # then something is left to be written when Python ends
    process = await buffered.start("wallet", "ledger", "--csv", out=theirs)
    os.close(theirs)
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--session", "no-id"), "no-id"),
        (("--session", NOBODY), "Session not found"),
        (("--after", "yesterday"), "yesterday"),
        (("--after", "-1"), "-1"),
        (("--after", "1" * 19), "1" * 19),
        (("--event", "session.stare"), "session.stare"),
    ],
)
async def test_what_cannot_be_followed_is_one_line(
    shell: Shell, arguments: tuple[str, ...], words: str
) -> None:
    assert words in await shell.refused("events", *arguments)


async def test_without_a_key_or_with_a_wrong_one_it_says_so(shell: Shell) -> None:
    assert "LUXXON_API_KEY" in await shell.having(LUXXON_API_KEY=None).refused("events")
    await shell.having(LUXXON_API_KEY="lxxn_test_wrong").refused("events")


async def test_a_server_that_is_not_there_is_not_waited_for(shell: Shell) -> None:
    told = await shell.having(LUXXON_URL="http://127.0.0.1:1").refused("events", "--json")
    assert "no answer from 127.0.0.1" in told
