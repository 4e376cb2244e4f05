"""The embedded chain, asked over JSON-RPC."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from rpc_node import Node

from luxxon_core.adapters.chain.embedded import EmbeddedChain


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    chain = await EmbeddedChain.start(None)
    async with httpx.AsyncClient() as http:
        yield Node(chain, http)
    await chain.close()
