"""Opens profiles: who the console is there, and the client that says so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from luxxon_core.kernel.errors import NotAuthenticated
from luxxon_tui.connect.embedded import CAMERA, marketplace, operator
from luxxon_tui.connect.signing import NoWorkspace, act_for, found, sign_in
from luxxon_tui.connect.vault import OpenVault, Vault

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import ChainClient, LocalWallet
    from luxxon_core.profiles import ProfileTable

TEST_USDC, TEST_POOL = 100_000_000, 20_000_000
"""µUSDC that a fresh wallet is given on an embedded chain, and how much of it goes into its pool."""
TEST_WEI = 10**18
ARRIVED_SECONDS, POLL_SECONDS = 10.0, 0.2
HOME = (50.8466, 4.3528)
"""Where an embedded marketplace's own camera stands: Brussels."""


@dataclass(frozen=True, slots=True)
class Connected:
    """An open profile.

    Attributes:
        vault: the wallet that has signed in; None with an API key.
        renew: signs in again, where that helps; None with an API key.
        embedded_url: of the marketplace on this machine, if it is one.
        names: of workspaces that are not the wallet's, by id.
    """

    api: Luxxon
    vault: Vault | None = None
    renew: Callable[[], Awaitable[None]] | None = None
    embedded_url: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opener:
    """What opening a profile needs from the console.

    Attributes:
        passphrase: asks for what opens a keystore; an error of the attempt before is told. None: not now.
        progress: what is being done, in words.
        told: each line that an embedded server logs.
        notice: what has become of an embedded server: that it died, and is back.
    """

    passphrase: Callable[[Path, str], Awaitable[str | None]]
    progress: Callable[[str], None]
    told: Callable[[str], None]
    notice: Callable[[str], None]
    unlock_minutes: float = 15

    @asynccontextmanager
    async def open(self, profile: ProfileTable) -> AsyncIterator[Connected]:
        """Connect while the block runs.

        Raises:
            LuxxonError: it cannot be; StartError: an embedded marketplace did not start.
        """
        client = await asyncio.to_thread(_client)  # its import takes longer than a console may stand still
        if profile.embedded:
            async with self._embedded(profile, client) as connected:
                yield connected
            return
        secret = profile.api_key
        async with _at(profile.api_url, client, secret) as api:
            if secret is None and profile.wallet is not None:
                yield await self._signed_in(
                    api, Vault(profile.wallet, self.unlock_minutes), profile.workspace
                )
            else:
                yield Connected(api)

    async def _signed_in(self, api: Luxxon, vault: Vault, workspace: str | None) -> Connected:
        async def renew() -> None:
            self.progress("signing in")
            await act_for(api, await sign_in(api, await self.unlocked(vault)), workspace)

        await renew()
        return Connected(api, vault, renew)

    async def unlocked(self, vault: Vault) -> LocalWallet:
        """The wallet, the passphrase asked for until it opens the keystore.

        Raises:
            NotAuthenticated: it was not given.
            InvalidInput: there is no such keystore.
        """
        from luxxon_core.kernel.errors import InvalidInput

        wallet, wrong = vault.wallet(), ""
        while wallet is None:
            given = await self.passphrase(vault.path, wrong)
            if given is None:
                raise NotAuthenticated("wallet:locked", "The wallet is locked")
            try:
                wallet = await vault.unlock(given)
            except InvalidInput as error:
                if error.detail != "wallet:passphrase":
                    raise
                wrong = "That does not open it"
        return wallet

    @asynccontextmanager
    async def _embedded(self, profile: ProfileTable, client: type[Luxxon]) -> AsyncIterator[Connected]:
        from luxxon_core.settings import default_data_dir

        data_dir = profile.data_dir or default_data_dir() / "console"
        async with AsyncExitStack() as stack:
            self.progress("starting a marketplace of your own")
            url = await stack.enter_async_context(marketplace(data_dir, self.told, self.notice))
            api = await stack.enter_async_context(client(f"{url}/api/v1"))
            wallet = await asyncio.to_thread(_own_wallet, data_dir / "console.key")

            async def renew() -> None:
                await act_for(api, await sign_in(api, wallet), profile.workspace)

            self.progress("signing in")
            try:
                await renew()
            except NoWorkspace:
                self.progress("making a workspace and test money")
                await _settle_in(api, wallet)
                await renew()
                await _arrived(api)
            self.progress("starting a camera")
            key, names = await self._operator_key(client, url, data_dir)
            camera = profile.camera or CAMERA
            await stack.enter_async_context(
                operator(url, key, *HOME, data_dir, self.told, self.notice, camera)
            )
            yield Connected(api, OpenVault(wallet, data_dir / "console.key"), renew, url, names)

    async def _operator_key(
        self, client: type[Luxxon], url: str, data_dir: Path
    ) -> tuple[str, Mapping[str, str]]:
        """A key for the camera's own workspace, minted at each start as the server keeps only hashes; and
        what that workspace is called, by its id."""
        wallet = await asyncio.to_thread(_own_wallet, data_dir / "operator.key")
        async with client(f"{url}/api/v1") as api:
            mine = await sign_in(api, wallet)
            if not mine:
                await found(api, wallet, slug="testcard", name="testcard", roles=["SUPPLIER"])
                mine = await sign_in(api, wallet)
            workspace = await act_for(api, mine, None)
            for key in await api.workspaces.api_keys(workspace):
                if key.revoked_at is None:
                    await api.workspaces.revoke_api_key(workspace, key.id)
            scopes = ("sessions:read", "sessions:operate")
            made = await api.workspaces.create_api_key(workspace, label="camera", scopes=scopes)
            return made.plaintext, {each.id: each.name for each in mine}


def _at(url: str, client: type[Luxxon], api_key: str | None) -> Luxxon:
    """A client of an address that somebody has written into a file.

    Raises:
        InvalidInput: it is none.
    """
    import httpx

    from luxxon_core.kernel.errors import InvalidInput

    try:
        return client(url, api_key=api_key)
    except (httpx.InvalidURL, UnicodeError):
        raise InvalidInput("server:url", "The profile's url is no address of a server") from None


def _client() -> type[Luxxon]:
    import httpx  # noqa: F401  # the client imports it when it is made

    from luxxon_core.client import Luxxon

    return Luxxon


def _own_wallet(path: Path) -> LocalWallet:
    """The wallet whose key is in a file, made when there is none. Blocks."""
    from luxxon_core.client.wallet import LocalWallet

    if path.exists():
        return LocalWallet.from_key(path.read_text(encoding="ascii"))
    key = os.urandom(32).hex()
    wallet = LocalWallet.from_key(key)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(key)
    return wallet


async def _arrived(api: Luxxon) -> None:
    """Wait until the server has seen the test money on the chain; not for ever: it shows later, too."""
    with suppress(TimeoutError):
        async with asyncio.timeout(ARRIVED_SECONDS):
            while int((await api.wallet.get()).tracked_balance) < TEST_POOL:  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)  # deposits are told by no event


async def _settle_in(api: Luxxon, wallet: LocalWallet) -> None:
    """A workspace for both sides of the market, and test money in its pool."""
    await found(api, wallet, slug="home", name="home", roles=["CONSUMER", "SUPPLIER"])
    config = await api.config.get()
    chain_client = await asyncio.to_thread(_chain)
    async with chain_client(config) as chain:
        await chain.faucet(wallet.address, TEST_WEI, TEST_USDC)
        await chain.top_up(wallet, TEST_POOL)


def _chain() -> type[ChainClient]:
    import eth_abi.abi  # noqa: F401  # calls import it

    from luxxon_core.client.wallet import ChainClient

    return ChainClient
