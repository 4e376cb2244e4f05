"""The committed contracts: they are what the sources say, and they hold the relayer to the meter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from eth_account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luxxon_core.adapters.chain import embedded_evm
from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.adapters.chain.embedded import EmbeddedChain
from luxxon_core.adapters.chain.embedded_evm import Call, Evm, RpcError
from luxxon_core.adapters.chain.embedded_store import ChainStore
from luxxon_core.adapters.chain.reverts import refusal
from luxxon_core.adapters.chain.rpc import RpcChain
from luxxon_core.adapters.chain.settlements import RpcSettlements
from luxxon_core.settlement.domain import Payload, compose
from luxxon_core.settlement.ports import InsufficientPool, SettlementRefused
from tests.services import missing

CONTRACTS = Path(__file__).parents[3] / "contracts"


def test_the_artifacts_are_what_the_sources_compile_to() -> None:
    if shutil.which("node") is None or not (CONTRACTS / "node_modules").is_dir():
        missing("the Solidity compiler", "Node.js, then npm ci --prefix contracts")
    checked = subprocess.run(
        [sys.executable, str(CONTRACTS / "build.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_test_token_deploys_on_development_chains_only(monkeypatch: pytest.MonkeyPatch) -> None:
    code = artifact("TestUSDC").bytecode
    evm = Evm(ChainStore(None), {})
    assert evm.call(Call(data=code))
    monkeypatch.setattr(embedded_evm, "CHAIN_ID", 8453)
    monkeypatch.setattr(embedded_evm._Chain, "chain_id", 8453)
    with pytest.raises(RpcError) as caught:
        evm.call(Call(data=code))
    assert caught.value.data is not None and int(caught.value.data[10:], 16) == 8453


def test_a_revert_nobody_expects_still_has_a_name() -> None:
    assert type(refusal("0xde550eb1", "execution reverted")) is SettlementRefused
    assert isinstance(refusal("0x", None), SettlementRefused)


@pytest.fixture(scope="module")
def consumer() -> str:
    return str(Account.create().address)


@pytest.fixture
async def ports() -> AsyncIterator[RpcChain]:
    chain = await EmbeddedChain.start(None)
    opened = RpcChain(
        chain.rpc_url, chain.settlement_address, chain.usdc_address, chain.relayer, chain_id=chain.chain_id
    )
    yield opened
    await opened.close()
    await chain.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    terms=st.tuples(st.integers(1, 10**9), st.integers(1, 86_400), st.integers(0, 10_000)),
    over=st.integers(1, 10**12),
)
async def test_every_split_is_within_the_contracts_limit_and_nothing_above_is(
    ports: RpcChain, consumer: str, terms: tuple[int, int, int], over: int
) -> None:
    rate, seconds, fee_bps = terms
    payload = compose(
        session_id=UUID(int=7),
        consumer_wallet=consumer,
        operator_wallet="0x" + "22" * 20,
        rate_uusdc=rate,
        clean_seconds=seconds,
        fee_bps=fee_bps,
    )
    assert payload.charged_uusdc == rate * seconds
    # the limit is looked at before the pool: only what passes it gets as far as the empty pool
    with pytest.raises(InsufficientPool):
        await RpcSettlements(ports).simulate([payload])
    with pytest.raises(SettlementRefused, match="ExceedsCharge"):
        await RpcSettlements(ports).simulate([raised(payload, over)])


def raised(payload: Payload, over: int) -> Payload:
    return Payload(
        payload.session_id,
        payload.consumer_wallet,
        payload.operator_wallet,
        payload.rate_uusdc,
        payload.chargeable_seconds,
        payload.to_amount_uusdc,
        payload.fee_amount_uusdc + over,
    )
