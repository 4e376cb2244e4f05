"""The node that tests of reorgs and crashes build on does what they count on."""

from __future__ import annotations

import asyncio
from pathlib import Path

from anvil import Anvil, AnvilChain, anvil_chain, call

SOMEBODY = "0x" + "5b" * 20


async def usdc_of(node: Anvil, token: str, address: str) -> int:
    answer = await node.rpc("eth_call", {"to": token, "data": call("balanceOf(address)", address)}, "latest")
    return int(answer, 16)


async def test_a_node_that_was_killed_goes_on_where_its_state_ends(tmp_path: Path) -> None:
    node = await Anvil.start(tmp_path)
    try:
        chain = await AnvilChain.deploy(node)
        await chain.faucet(SOMEBODY, 10**18, 5)
        state = tmp_path / "anvil.json"
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(
                lambda: state.exists() and chain.usdc_address[2:].lower() in state.read_text()
            ):
                await asyncio.sleep(0.05)
            written = state.stat().st_mtime_ns
            while state.stat().st_mtime_ns == written:
                await asyncio.sleep(0.05)
        head = await node.rpc("eth_blockNumber")
        await node.kill()
        node = await Anvil.start(tmp_path, port=node.port)
        assert await node.rpc("eth_blockNumber") == head
        assert await usdc_of(node, chain.usdc_address, SOMEBODY) == 5
    finally:
        await node.close()


async def test_blocks_come_by_themselves_and_can_be_dropped(tmp_path: Path) -> None:
    async with anvil_chain(tmp_path, block_time=0.2) as chain:
        node = chain.node
        await chain.faucet(SOMEBODY, 0, 5)
        minted = int(await node.rpc("eth_blockNumber"), 16)
        async with asyncio.timeout(20):
            while (head := int(await node.rpc("eth_blockNumber"), 16)) < minted + 3:
                await asyncio.sleep(0.05)
        dropped = await node.rpc("eth_getBlockByNumber", hex(head), False)
        await node.rpc("anvil_rollback", head - minted + 1)
        assert await usdc_of(node, chain.usdc_address, SOMEBODY) == 0
        async with asyncio.timeout(20):
            while (again := await node.rpc("eth_getBlockByNumber", hex(head), False)) is None:
                await asyncio.sleep(0.05)
        assert again["hash"] != dropped["hash"]
