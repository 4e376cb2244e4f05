"""What the wallet screen asks of the chain, and which settlement contract it has known so far."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from luxxon_core.kernel.errors import ExternalError
from luxxon_tui.screens.wallet_figures import ChainFacts

if TYPE_CHECKING:
    from luxxon_core.client.wallet import ChainClient
    from luxxon_core.http.schemas import Config

DEVELOPMENT = 31337
"""Chain id of an embedded marketplace: test money can be had for the asking."""


class NoChain(ExternalError):
    """The server names no node of its chain."""

    code, default_message = "NO_CHAIN", "The server names no node of its chain"


async def open_chain(config: Config) -> ChainClient:
    """A client of the deployment's chain; its imports take longer than a console may stand still.

    Raises:
        NoChain: there is no node to ask.
    """
    if not config.rpc_url:
        raise NoChain
    return await asyncio.to_thread(_made, config)


def _made(config: Config) -> ChainClient:
    import eth_abi.abi  # noqa: F401  # calls import it

    from luxxon_core.client.wallet import ChainClient

    return ChainClient(config)


async def facts_of(chain: ChainClient, wallet: str) -> ChainFacts:
    """What the chain says of a wallet now.

    Raises:
        ChainRefused: the node refused; ConnectionFailed: no answer.
    """
    from luxxon_core.client.wallet import TOP_UP_GAS

    begun = perf_counter()
    head = await chain.head()
    answered = round((perf_counter() - begun) * 1000)
    usdc, wei, pool, allowance = await asyncio.gather(
        chain.usdc(wallet), chain.eth(wallet), chain.pool(wallet), chain.allowance(wallet)
    )
    return ChainFacts(
        usdc=usdc,
        wei=wei,
        pool=pool,
        allowance=allowance,
        block=head.number,
        base_fee=head.base_fee,
        fee=TOP_UP_GAS * head.fee_at_most,
        rpc_ms=answered,
    )


class KnownContracts:
    """The settlement contract of each marketplace as it was first seen, in a file of the user's own: money
    goes into it, so that another one is worth a question.

    Args:
        path: None keeps them in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, str] | None = None

    async def seen(self, market: str, contract: str) -> str:
        """The contract that is known of a marketplace; this one, and kept from now on, when none is."""
        if self._known is None:
            self._known = await asyncio.to_thread(self._read)
        if market not in self._known:
            await self.keep(market, contract)
        return self._known[market]

    async def keep(self, market: str, contract: str) -> None:
        """Know this one from now on."""
        self._known = {**(self._known or {}), market: contract}
        await asyncio.to_thread(self._write, self._known)

    def _read(self) -> dict[str, str]:
        if self._path is None:
            return {}
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return {str(key): str(value) for key, value in found.items()}
        return {}

    def _write(self, known: dict[str, str]) -> None:
        """A folder that cannot be written keeps nothing: it is asked again then."""
        if self._path is None:
            return
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh.write_text(json.dumps(known, indent=1), encoding="utf-8")
            fresh.replace(self._path)
