"""Nodes of a chain, one and several, and what asks them; who sends webhooks, and who receives them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from anvil import anvil_chain
from development import Development, developing, embedded_chain
from ledger_chains import AnyChain, FakeChain, RealChain
from ledger_node import CHAIN_ID, SETTLEMENT, USDC, ForkingNode
from post_office import PostOffice, post_office
from three_nodes import Three, three_nodes
from webhook_receiver import Receiver, receiving

from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.embedded_keys import ChainKeys
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.postgres.database import Database


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    async with three_nodes() as made:
        yield made


@pytest.fixture
async def node() -> AsyncIterator[ForkingNode]:
    async with ForkingNode.serving() as serving:
        yield serving


@pytest.fixture
async def ports(node: ForkingNode) -> AsyncIterator[RpcChain]:
    opened = RpcChain(node.url, SETTLEMENT, USDC, chain_id=CHAIN_ID)
    yield opened
    await opened.close()


@pytest.fixture(params=["embedded", "forking node"])
async def chain(request: pytest.FixtureRequest) -> AsyncIterator[AnyChain]:
    async with AsyncExitStack() as stack:
        opened: AnyChain
        if request.param == "embedded":
            opened = RealChain(await EmbeddedChain.start(None))
        else:
            opened = FakeChain(await stack.enter_async_context(ForkingNode.serving(deployed=3)))
            for _ in range(4):
                opened.node.mine()
        yield opened
        await opened.close()


@pytest.fixture(params=["embedded", "anvil"])
async def dev(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Development]:
    async with AsyncExitStack() as stack:
        if request.param == "anvil":
            chain: Any = await stack.enter_async_context(anvil_chain(tmp_path))
            owner = chain.keys.owner
        else:
            chain = await stack.enter_async_context(embedded_chain(tmp_path))
            owner = ChainKeys.load(tmp_path / "keys").owner
        yield await stack.enter_async_context(developing(chain, owner))


@pytest.fixture
async def office(database: Database, dsn: str) -> AsyncIterator[PostOffice]:
    async with post_office(dsn) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened
