"""What keeps a wallet from spending the relayer's gas: one deposit at a time, and none that fails counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from luxxon_core.http.limits import Window
from luxxon_core.kernel.errors import Conflict, ExternalError, InvalidInput, RateLimited
from luxxon_core.wallet.domain import Authorization
from luxxon_core.wallet.usecases import SponsoredDeposits

NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)
LATER = int(NOON.timestamp()) + 3600
ONE = Authorization("0x" + "11" * 20, 10**6, 0, LATER, b"\x01" * 32, b"\x02" * 65)
OTHER = replace(ONE, nonce=b"\x03" * 32)


class Gas:
    """A sponsor whose transactions are mined when told."""

    def __init__(self) -> None:
        self.sent: list[Authorization] = []
        self.mined = False
        self.fails = False
        self.go = asyncio.Event()
        self.go.set()

    async def deposit(self, authorization: Authorization, now: datetime) -> str:
        await self.go.wait()
        if self.fails:
            raise ExternalError("chain:rpc")
        self.sent.append(authorization)
        return f"0x{len(self.sent):064x}"

    async def waits(self, tx_hash: str) -> bool:
        return not self.mined


@pytest.fixture
def gas() -> Gas:
    return Gas()


def deposits(gas: Gas, hourly: int = 6) -> SponsoredDeposits:
    return SponsoredDeposits(gas, 10**6, Window("deposits", hourly, 3600))


async def test_a_second_one_waits_for_the_first_to_be_mined(gas: Gas) -> None:
    cases = deposits(gas)
    first = await cases.deposit(ONE, NOON)
    assert await cases.deposit(ONE, NOON) == first
    with pytest.raises(Conflict, match="not mined"):
        await cases.deposit(OTHER, NOON)
    gas.mined = True
    assert await cases.deposit(OTHER, NOON) != first
    assert gas.sent == [ONE, OTHER]


async def test_two_at_the_same_moment_are_one(gas: Gas) -> None:
    cases = deposits(gas)
    gas.go.clear()
    first = asyncio.create_task(cases.deposit(ONE, NOON))
    await asyncio.sleep(0)
    for again in (ONE, OTHER):
        with pytest.raises(Conflict):
            await cases.deposit(again, NOON)
    gas.go.set()
    await first
    assert gas.sent == [ONE]


async def test_a_wallet_is_free_again_when_sending_failed_or_long_after(gas: Gas) -> None:
    cases = deposits(gas)
    gas.fails = True
    with pytest.raises(ExternalError):
        await cases.deposit(ONE, NOON)
    gas.fails = False
    await cases.deposit(ONE, NOON)
    much_later = replace(OTHER, valid_before=LATER + 3600)
    await cases.deposit(much_later, NOON + timedelta(minutes=16))
    assert gas.sent == [ONE, much_later]


async def test_an_hour_has_so_many_of_each_wallet(gas: Gas) -> None:
    gas.mined = True
    cases = deposits(gas, hourly=2)
    for number in range(2):
        await cases.deposit(replace(ONE, nonce=bytes([number]) * 32), NOON)
    with pytest.raises(RateLimited):
        await cases.deposit(OTHER, NOON)
    await cases.deposit(replace(OTHER, wallet="0x" + "22" * 20), NOON)
    assert len(gas.sent) == 3


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"amount_uusdc": 10**6 - 1}, "deposit:amount"),
        ({"valid_before": LATER - 3541}, "deposit:validBefore"),
        ({"valid_after": LATER - 3600}, "deposit:validAfter"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_the_chain_is_asked(
    gas: Gas, change: dict[str, int], detail: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await deposits(gas).deposit(replace(ONE, **change), NOON)  # type: ignore[arg-type]
    assert caught.value.detail == detail
    assert gas.sent == []
