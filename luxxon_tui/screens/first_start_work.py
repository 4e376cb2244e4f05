"""What the first start does: looks at a server, keeps a wallet, signs in, fills a pool. No widget is here."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from luxxon_core.kernel.errors import (
    ExternalError,
    InvalidInput,
    LuxxonError,
    NotAuthenticated,
    Unavailable,
)
from luxxon_tui.connect.signing import act_for, found, sign_in
from luxxon_tui.screens.first_start_reach import ANSWER_SECONDS, unreached
from luxxon_tui.screens.wallet_chain import facts_of, open_chain
from luxxon_tui.views import Failure
from luxxon_tui.widgets.field import too_long

if TYPE_CHECKING:
    from luxxon_core.access.schemas import WorkspaceMembership
    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import ChainClient, LocalWallet
    from luxxon_core.http.schemas import Config
    from luxxon_tui.screens.wallet_figures import ChainFacts

CAMERA_SECONDS = 60.0
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
NAME_LENGTH = 32
TEST_WEI, TEST_USDC = 10**18, 100_000_000
"""What a development chain gives away at a time."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A server that has told what it is.

    Attributes:
        url: as profiles have it, without a path.
        milliseconds: how long its answer took.
    """

    url: str
    config: Config
    milliseconds: int

    @property
    def open_to_others(self) -> bool:
        """Whether what is said to it can be read on the way."""
        return self.url.startswith("http://") and not local(urlsplit(self.url).netloc)


def local(place: str) -> bool:
    """Whether ``host:port`` is on this machine."""
    return re.sub(r":\d*$", "", place.lower()) in LOOPBACK


def origin(text: str) -> str:
    """The address of a server out of what somebody typed or pasted: a scheme is added, a path left out.

    Raises:
        InvalidInput: it is no address of a server.
    """
    words = text.strip()
    if "://" not in words:
        words = ("http://" if local(words.partition("/")[0]) else "https://") + words
    try:
        parts = urlsplit(words)
        _ = parts.port  # raises where it is none
    except ValueError:
        parts = urlsplit("")
    place = parts.netloc.lower()
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s@?#]", place):
        raise InvalidInput("server:url", "That is no address: https://market.example.org, or localhost:3010")
    return f"{parts.scheme}://{place}"


async def check(text: str) -> Checked:
    """Ask a server what it is.

    Raises:
        InvalidInput: no address; LuxxonError: nothing answers there, or something else does.
    """
    url = origin(text)
    async with await client_of(url) as api:
        from luxxon_core.client import ConnectionFailed, InvalidResponse

        begun = perf_counter()
        try:
            config = await api.config.get()
        except ConnectionFailed as error:
            raise unreached(url, error) from error
        except InvalidResponse:
            raise await _too_old(api) from None
        return Checked(url, config, round((perf_counter() - begun) * 1000))


async def _too_old(api: Luxxon) -> LuxxonError:
    """What answers there: a market of a version that this console does not speak with, or none at all."""
    try:
        version = (await api.health.get()).version
    except LuxxonError:
        return InvalidInput("server:none", "Something answers there that is no Luxxon market")
    return InvalidInput(
        "server:version", f"This console does not understand that server's version, {version}"
    )


async def whose_key(url: str, key: str) -> None:
    """Ask the server to take an API key.

    Raises:
        InvalidInput: no API key; NotAuthenticated: the server knows no such key; LuxxonError: it is lost.
    """
    if not re.fullmatch("[!-~]+", key):
        raise InvalidInput("apiKey:form", "That is no API key: it is one word, without spaces")
    async with await client_of(url, key=key) as api:
        await api.me.get()


async def client_of(url: str, path: str = "/api/v1", key: str | None = None) -> Luxxon:
    """A client that gives up soon; its import takes longer than a console may stand still.

    Raises:
        InvalidInput: no client can be made for such an address.
    """

    def made() -> Luxxon:
        import httpx

        from luxxon_core.client import Luxxon

        try:
            return Luxxon(f"{url}{path}", api_key=key, timeout=ANSWER_SECONDS, retry=False)
        except (httpx.InvalidURL, UnicodeError):
            raise InvalidInput("server:url", "That is no name of a server") from None

    return await asyncio.to_thread(made)


# -- wallets


def usual_keystore() -> Path:
    """Where ``luxxon wallet`` keeps a wallet: ``LUXXON_WALLET``, else in the user's configuration folder."""
    import platformdirs

    from luxxon_core.settings import load_client

    named = load_client().wallet
    return named or platformdirs.user_config_path("luxxon", appauthor=False) / "wallet.json"


def free_keystore(usual: Path) -> Path:
    """The usual place, or ``wallet-2.json`` and so on beside it where there is a wallet already."""
    path, number = usual, 2
    while path.exists():
        path = usual.with_stem(f"{usual.stem}-{number}")
        number += 1
    return path


async def keep_wallet(path: Path, key: str | None, passphrase: str) -> LocalWallet:
    """Write a fresh wallet, or that of a private key, into a new keystore; a second's work, by intent.

    Raises:
        InvalidInput: no private key, no passphrase, or the file cannot be written; Conflict: there is one.
    """

    def made() -> LocalWallet:
        from luxxon_core.client import keystore
        from luxxon_core.client.wallet import LocalWallet

        wallet = LocalWallet.create() if key is None else LocalWallet.from_key(key)
        keystore.write(path, wallet, passphrase)
        return wallet

    return await asyncio.to_thread(made)


async def open_wallet(path: Path, passphrase: str) -> LocalWallet:
    """The wallet in a keystore.

    Raises:
        InvalidInput: there is none, or the passphrase does not open it.
    """

    def opened() -> LocalWallet:
        from luxxon_core.client import keystore

        return keystore.read(path, passphrase)

    return await asyncio.to_thread(opened)


# -- the market


async def memberships(api: Luxxon, wallet: LocalWallet) -> list[WorkspaceMembership]:
    """Sign in; the wallet's workspaces.

    Raises:
        LuxxonError: the server refused, or is lost.
    """
    return await sign_in(api, wallet)


def slug_of(name: str) -> str:
    """A name as it stands in addresses: ``acme-drones``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")


async def make_workspace(api: Luxxon, wallet: LocalWallet, name: str) -> str:
    """A workspace for both sides of the market, and the console acting for it; its id.

    Raises:
        InvalidInput: no name; Conflict: the name is taken; LuxxonError: the server refused, or is lost.
    """
    slug = slug_of(name)
    if wrong := too_long(name):
        raise InvalidInput("workspace:name", wrong)
    if len(slug) < 3:
        raise InvalidInput("workspace:slug", "A name needs three letters or digits")
    made = await found(api, wallet, slug=slug, name=name.strip(), roles=["CONSUMER", "SUPPLIER"])
    await act_for(api, await sign_in(api, wallet), made)
    return made


@asynccontextmanager
async def chain_of(config: Config) -> AsyncIterator[ChainClient]:
    """The deployment's chain while the block runs.

    Raises:
        NoChain: the server names no node of it.
    """
    chain = await open_chain(config)
    async with chain:
        yield chain


async def purse(config: Config, address: str) -> ChainFacts:
    """What the chain says of a wallet.

    Raises:
        LuxxonError: it does not answer.
    """
    async with chain_of(config) as chain:
        return await facts_of(chain, address)


async def test_money(config: Config, address: str) -> None:
    """Ask a development chain for some.

    Raises:
        LuxxonError: it gives none, or does not answer.
    """
    async with chain_of(config) as chain:
        await chain.faucet(address, TEST_WEI, TEST_USDC)


async def top_up(
    api: Luxxon, config: Config, wallet: LocalWallet, amount: int, step: Callable[[str], None]
) -> None:
    """Move µUSDC of the wallet into its pool; a wallet without ETH signs, and the server sends.

    Raises:
        InvalidInput: the wallet holds less; LuxxonError: chain or server refused, or are lost.
    """
    async with chain_of(config) as chain:
        facts = await facts_of(chain, wallet.address)
        if facts.usdc < amount:
            raise InvalidInput("wallet:balance", "The wallet holds less than that")
        if not facts.gasless:
            await chain.top_up(wallet, amount, step)
            return
        step("sign")
        authorization = await chain.authorize(wallet, amount)
        step("deposit")
        await api.wallet.deposit(authorization)
        await chain.deposited(authorization)


# -- trying it here


async def camera_online(api: Luxxon, trouble: Callable[[], str | None]) -> None:
    """Wait until a camera covers any place.

    Args:
        trouble: says why the camera cannot be opened, as far as that is known.

    Raises:
        Unavailable: it cannot be opened, or none has come in a minute; LuxxonError: the server is lost.
    """
    try:
        async with asyncio.timeout(CAMERA_SECONDS):
            while not await api.coverage.list():
                if (reason := trouble()) is not None:
                    raise Unavailable("camera:none", f"The camera cannot be opened: {reason}")
                await asyncio.sleep(0.3)  # coverage is told by no event
    except TimeoutError:
        raise Unavailable("camera:late", "The camera has not come online in a minute") from None


def camera_trouble(lines: Sequence[str]) -> str | None:
    """The last reason for which an operator's log says that its camera is not there."""
    for line in reversed(lines):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        event = said.get("event") if isinstance(said, dict) else None
        if event in ("camera.not_ready", "camera.refused", "camera.crashed"):
            return str(said.get("reason", "")) or None
        if event == "camera.open":
            return None
    return None


def profile_name(url: str, taken: Container[str]) -> str:
    """A name for the profile of a server: its host, with a number where there is such a profile already."""
    host = re.sub(r"[^A-Za-z0-9_-]+", "-", urlsplit(url).netloc).strip("-")[: NAME_LENGTH - 3] or "server"
    name, number = host, 2
    while name in taken:
        name = f"{host}-{number}"
        number += 1
    return name


# -- what went wrong

REMEDIES = {
    "server:url": "write it as https://market.example.org",
    "server:none": "check the address",
    "server:name": "check its spelling, and the network",
    "server:certificate": "check the address; its operator has to renew or to mend the certificate",
    "server:scheme": "write it with http://, if it is yours and near; or check the port",
    "server:refused": "check the port, and that the server runs; enter tries again",
    "server:late": "check the address and the network; enter tries again",
    "server:lost": "check the address, that the server runs, and the network; enter tries again",
    "server:version": "ask its operator for a newer server, or use a console of that version",
    "apiKey:form": "paste it again",
    "wallet:passphrase": "type it again",
    "wallet:key": "a private key is 64 hexadecimal digits, with or without 0x",
    "wallet:missing": "check the path",
    "wallet:file": "check the path, and that the folder can be written",
    "wallet:exists": "go back, and use the one that is there",
    "wallet:balance": "send it some USDC first, or skip this step",
    "workspace:slug": "choose a longer name, with plain letters a to z or digits",
    "workspace:name": "choose a shorter name",
    "workspace:slugTaken": "choose another name",
    "camera:none": "plug one in and try again, or go back and take the test card",
    "camera:late": "try again; the log is on the Activity screen",
}


def explained(error: LuxxonError, doing: str) -> Failure:
    """What happened, and what can be done.

    Args:
        doing: ``the server was not reached``: stands before the server's own words.
    """
    remedy = REMEDIES.get(error.detail or "")
    if isinstance(error, NotAuthenticated) and doing == NO_KEY:
        remedy = "check the key: copied whole, of this server, and not revoked"
    if remedy is None and error.code == "CONNECTION_FAILED":
        remedy = "check the address, that the server runs, and the network; enter tries again"
    elif remedy is None and isinstance(error, ExternalError):
        remedy = "nothing is lost: enter tries again"
    elif remedy is None and doing == NOT_REACHED:
        remedy = "something answers there that is no Luxxon market: check the address"
    return Failure(error.message, error.detail or error.code, remedy or "enter tries again, esc goes back")


NOT_REACHED, NO_KEY = "the server was not reached", "the key was not taken"


def named(members: Sequence[WorkspaceMembership]) -> list[tuple[str, str, str]]:
    """Workspaces as id, name and role."""
    return [(one.id, one.name, one.role) for one in members]
