"""Deposits of people without ETH: they sign, the platform pays the gas."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from luxxon_core.http.limits import Window
from luxxon_core.kernel.errors import Conflict, InvalidInput, RateLimited, Unavailable
from luxxon_core.kernel.money import format_usdc
from luxxon_core.wallet.domain import Authorization
from luxxon_core.wallet.ports import Sponsor

LEAST_VALID_S = 60
"""What must be left of an authorization's time; a transaction is mined within."""
REMEMBER_SENT = timedelta(minutes=15)
"""How long a sponsored deposit keeps its wallet from another while it is not mined."""


@dataclass(slots=True)
class _Sent:
    """A wallet's newest sponsored deposit."""

    nonce: bytes
    tx_hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SponsoredDeposits:
    """Fills pools of wallets that hold no ETH: they sign, we pay the gas.

    What keeps people from burning our gas: only deposits that the chain would take are sent, none below a
    minimum, one at a time for each wallet, and not many an hour. The last two are each process's own.

    Attributes:
        sponsor: None where nobody pays.
        minimum_uusdc: less is refused.
        hourly: deposits of one wallet.
    """

    sponsor: Sponsor | None
    minimum_uusdc: int
    hourly: Window
    _sent: dict[str, _Sent] = field(default_factory=dict)

    async def deposit(self, authorization: Authorization, now: datetime) -> str:
        """Send a deposit; the transaction's hash. One that was sent already gives the same again.

        Raises:
            InvalidInput: less than the minimum, out of time, or refused by the chain: the detail says.
            Conflict: the authorization is used, or an earlier one of the wallet is not mined yet.
            RateLimited: too many of this wallet.
            Unavailable: nobody pays for gas here at the moment.
            ExternalError: the chain does not answer.
        """
        if self.sponsor is None:
            raise Unavailable("deposit:unavailable", "Nobody pays for gas here: deposit with your own ETH")
        seconds = int(now.timestamp())
        if authorization.amount_uusdc < self.minimum_uusdc:
            least = format_usdc(self.minimum_uusdc, 2)
            raise InvalidInput("deposit:amount", f"A sponsored deposit has at least {least} USDC")
        if authorization.valid_before < seconds + LEAST_VALID_S:
            raise InvalidInput("deposit:validBefore", "The authorization ends too soon to be mined")
        if authorization.valid_after >= seconds:
            raise InvalidInput("deposit:validAfter", "The authorization is not valid yet")
        wallet = authorization.wallet
        self._forget(now)
        if (earlier := self._sent.get(wallet)) is not None:
            if earlier.nonce == authorization.nonce:
                return earlier.tx_hash
            if not earlier.tx_hash or await self.sponsor.waits(earlier.tx_hash):
                raise Conflict("deposit:waiting", "An earlier deposit of this wallet is not mined yet")
        if self.hourly.quota and self.hourly.hit(wallet, now.timestamp()) < 0:
            raise RateLimited("rate:deposits", "Too many sponsored deposits of this wallet: try later")
        self._sent[wallet] = sent = _Sent(b"", "", now)  # until it is known: a second request meets it
        try:
            sent.tx_hash = await self.sponsor.deposit(authorization, now)
            sent.nonce = authorization.nonce
        finally:
            if not sent.tx_hash:
                self._sent.pop(wallet, None)
        return sent.tx_hash

    def _forget(self, now: datetime) -> None:
        for wallet in [one for one, sent in self._sent.items() if now - sent.at > REMEMBER_SENT]:
            del self._sent[wallet]
