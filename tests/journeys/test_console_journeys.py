"""Both sides of a session, money, keys and a server that dies, through the program on terminals.

One marketplace of ``luxxon serve``, one console that requests, with a wallet, and one that operates, with an
API key and two cameras, for all of them; each test begins on a screen of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from consoles import Console, console

from luxxon_core.client import Luxxon
from luxxon_core.client.keystore import write
from luxxon_core.client.wallet import ChainClient
from luxxon_core.demo.stage import CONSUMER_SCOPES, SUPPLIER_SCOPES, Party, party
from luxxon_core.kernel.errors import NotAuthenticated

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSPHRASE = "the tests' own"
USDC, WALLET_USDC, POOL = 1_000_000, 100_000_000, 20_000_000
HALF_BLOCKS = re.compile("[▀▄▌▐▘▝▖▗▞▚]{3,}")
CAMERAS = """
[cameras.card]
type = "testcard"
width = 320
height = 180
[cameras.card.operate]
lat = 50.8466
lng = 4.3528
radius_meters = 500

[cameras.dome]
type = "turning"
moves = "{moves}"
[cameras.dome.operate]
lat = 50.8466
lng = 4.3528
"""


class Serve:
    """``luxxon serve`` on a port that stays its own through death and return."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "luxxon_core", "serve",
            "--port", str(self._port), "--data-dir", str(self._folder),
            cwd=self._folder,
            env={**clean, "LUXXON_LOG_FORMAT": "json"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 18,
        )  # fmt: skip
        async with asyncio.timeout(90):
            while "url" not in (said := json.loads(await self._line())):
                pass
        self.url = said["url"].removesuffix("/api/v1")
        self._port = int(self.url.rpartition(":")[2])
        self._reading = asyncio.create_task(self._rest())

    async def _line(self) -> bytes:
        assert self._process is not None and self._process.stderr is not None
        line = await self._process.stderr.readline()
        assert line, "it ended before it served"
        return line if line.startswith(b"{") else b"{}"

    async def _rest(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        async for _ in self._process.stderr:
            pass

    async def kill(self) -> None:
        """SIGKILL: it says good-bye to nobody."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            await self._reading
            self._process = None

    async def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            await asyncio.wait_for(self._process.wait(), 40)
            await self._reading


@dataclass
class Market:
    serve: Serve
    consumer: Party
    supplier: Party
    requests: Console
    operates: Console
    moves: Path
    revoked: str = ""
    """Plaintext of a key that was revoked."""

    def told(self) -> list[list[object]]:
        """How the camera that turns was moved."""
        lines = self.moves.read_text().splitlines() if self.moves.exists() else []
        return [json.loads(line) for line in lines]


def plugins(folder: Path) -> Path:
    """A folder for PYTHONPATH where the camera that turns looks like an installed package."""
    told = folder / "luxxon_turning-1.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: luxxon-turning\nVersion: 1\n")
    (told / "entry_points.txt").write_text("[luxxon]\nturning = turning\n")
    return folder


@asynccontextmanager
async def marketplace(folder: Path) -> AsyncIterator[Serve]:
    await asyncio.to_thread(folder.mkdir)
    serve = Serve(folder)
    await serve.start()
    try:
        yield serve
    finally:
        await serve.stop()


async def funded(serve: Serve, consumer: Party) -> None:
    async with ChainClient(await consumer.api.config.get()) as chain:
        await chain.faucet(consumer.wallet.address, 10**18, WALLET_USDC)
        await chain.top_up(consumer.wallet, POOL)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    folder = tmp_path_factory.mktemp("consoles")
    path = os.pathsep.join(map(str, [plugins(folder / "plugins"), Path(__file__).parent]))
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        serve = await enter(marketplace(folder / "market"))
        consumer = await enter(party(f"{serve.url}/api/v1", "viewer", "CONSUMER", CONSUMER_SCOPES))
        supplier = await enter(party(f"{serve.url}/api/v1", "roofs", "SUPPLIER", SUPPLIER_SCOPES))
        await funded(serve, consumer)
        write(folder / "wallet.json", consumer.wallet, PASSPHRASE)
        (folder / "console.toml").write_text(
            f'profile = "there"\n[profiles.there]\nurl = "{serve.url}"\nwallet = "{folder}/wallet.json"\n'
        )
        (folder / "roofs").mkdir()
        (folder / "roofs" / "luxxon.toml").write_text(CAMERAS.format(moves=folder / "moves.jsonl"))
        common = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_DATA_HOME": str(folder / "data")}
        theirs = {
            "LUXXON_URL": serve.url,
            "LUXXON_API_KEY": supplier.api_key,
            "LUXXON_CONSOLE_FILE": str(folder / "roofs" / "console.toml"),
            "LUXXON_DATA_DIR": str(folder / "roofs" / "data"),
            "PYTHONPATH": path,
        }
        operates = await enter(
            console(environment={**common, **theirs}, size=(120, 36), folder=folder / "roofs")
        )
        mine = {"LUXXON_CONSOLE_FILE": str(folder / "console.toml")}
        requests = await enter(console(environment={**common, **mine}, folder=folder))
        await requests.shows("Open the wallet", 60)
        requests.press(PASSPHRASE + "\r")
        await requests.shows("20.00 USDC", 60)
        await operates.shows("1 Map", 60)
        yield Market(serve, consumer, supplier, requests, operates, folder / "moves.jsonl")


async def online(operates: Console) -> None:
    """The operator shows the test card at its place."""
    operates.press("4")
    await operates.shows("dome")
    await operates.shows("320×180 30 fps")
    operates.press("\r ")
    await operates.shows("waits for an assignment")


async def test_a_request_by_map_is_accepted_published_ended_and_paid(market: Market) -> None:
    requests, operates = market.requests, market.operates
    await online(operates)
    requests.press("1")
    await requests.shows("1 covers it")
    requests.press("/")
    await requests.shows("or a link")
    requests.press("Brussels\r")  # at once, before anything is found
    await requests.shows("Brussels, Belgium")
    await requests.shows("n  camera 507 m off")
    requests.press("n")
    await requests.shows("1 covers it")
    requests.press("\r")  # before there is a price: it is asked as soon as there is
    await requests.shows("Request live view?")
    requests.press("y")
    await operates.shows("Incoming assignment")
    operates.press("a")
    await requests.shows("● LIVE")
    await requests.shows(HALF_BLOCKS)
    await requests.shows(re.compile(r"clean [2-9] s"))
    await operates.shows("keyframes asked")
    requests.press("e")
    await requests.shows("End the session?")
    requests.press("\r")
    await requests.shows("CONFIRMED", 60)
    (session,) = await market.consumer.api.sessions.list()
    receipt = await market.consumer.api.sessions.receipt(session.id)
    assert receipt.settlement.state == "CONFIRMED" and int(receipt.charged_micro_usdc) >= 1000
    await operates.shows("waits for an assignment")


async def test_a_camera_turns_by_keys(market: Market) -> None:
    operates = market.operates

    async def moved(name: str) -> list[object]:
        async with asyncio.timeout(20):
            while not (found := [move for move in market.told() if move[0] == name]):
                await asyncio.sleep(0.05)
        return found[-1]

    operates.press("\x1b")
    await operates.shows("enter open ")
    operates.press("\x1b[B")
    await operates.shows("dome  last picture")
    operates.press("\r")
    await operates.shows("tram stop")
    operates.press("\x1b[D")
    assert "pan=-0.5" in str(await moved("continuous_move"))
    await moved("stop")
    operates.press("g")
    await operates.hides("h home")
    operates.press("2")
    assert await moved("goto_preset") == ["goto_preset", "b"]
    await operates.shows("+0.50")
    operates.press("h")
    await moved("goto_home")
    operates.press("\x1b")


async def test_a_request_by_mouse(market: Market) -> None:
    requests, operates = market.requests, market.operates
    await requests.click("1 Map")
    await requests.shows("Request ─")
    requests.click_at(5, 8)
    await requests.click("n  camera")
    await requests.click("Request live view")
    await requests.shows("Request live view?")
    await requests.click(" request ")
    await operates.click_away("Accept")
    await requests.shows("● LIVE")
    await requests.click("e end")
    await requests.shows("End the session?")
    await requests.click("end now")
    await requests.shows("CONFIRMED", 60)


async def test_top_up_and_withdraw(market: Market) -> None:
    requests = market.requests
    requests.press("5")
    await requests.shows("80.000000 USDC")
    requests.press("t")
    await requests.shows("Top up 25 USDC?")
    requests.press("\r")
    await requests.shows("25 USDC are in the pool", 60)
    await requests.shows("+25.000000")
    requests.press("w")
    await requests.shows("amount  ▌")
    requests.press("12.5\r")
    await requests.shows("Withdraw 12.5 USDC?")
    requests.press("y")
    await requests.shows("−12.500000", 60)
    async with ChainClient(await market.consumer.api.config.get()) as chain:
        wallet = market.consumer.wallet.address
        assert await chain.usdc(wallet) == WALLET_USDC - POOL - 12_500_000
        asked = await market.consumer.api.sessions.list()
        receipts = [await market.consumer.api.sessions.receipt(each.id) for each in asked]
        paid = sum(int(receipt.charged_micro_usdc) for receipt in receipts)
        assert await chain.pool(wallet) == POOL + 12_500_000 - paid


async def test_a_key_is_minted_and_revoked(market: Market) -> None:
    requests = market.requests
    requests.press("7")
    await requests.shows("API keys")
    requests.press("m")
    await requests.shows("New TEST key")
    requests.press("notebook\t\r")
    await requests.shows("The key of notebook")
    requests.press("c")
    await requests.shows("✓ copied")
    plaintext = base64.b64decode(requests.cells.copied[-1]).decode()
    requests.press("\r")
    await requests.shows("notebook")
    async with Luxxon(f"{market.serve.url}/api/v1", api_key=plaintext) as program:
        assert await program.sessions.list()
        requests.press("x")
        await requests.shows("Revoke the key?")
        requests.press("\r")
        await requests.shows("works for 0:")
        market.revoked = plaintext


async def test_the_server_dies_and_comes_back(market: Market) -> None:
    requests, operates = market.requests, market.operates
    requests.press("3")
    await requests.shows("CONFIRMED")
    await market.serve.kill()
    for each in (requests, operates):
        await each.shows("▲ offline")
    assert "CONFIRMED" in requests.text, "what was read stays"
    await market.serve.start()
    for each in (requests, operates):
        await each.hides("▲ offline", 60)
    requests.press("1")
    await requests.shows("valid")


async def test_the_revoked_key_ends(market: Market) -> None:
    requests = market.requests
    requests.press("7")
    await requests.shows("notebook")
    await requests.hides("works for", 70)
    async with Luxxon(f"{market.serve.url}/api/v1", api_key=market.revoked) as program:
        with pytest.raises(NotAuthenticated):
            await program.sessions.list()
    for each in (requests, market.operates):
        each.press("q")
    assert await requests.ends() == await market.operates.ends() == 0
