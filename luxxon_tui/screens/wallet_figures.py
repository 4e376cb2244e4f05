"""What the wallet's panels are made of: facts of the chain, steps and the ledger. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from luxxon_core.kernel.geo import Point
from luxxon_core.kernel.money import MICRO_PER_USDC
from luxxon_tui import format as fmt
from luxxon_tui.store.state import is_open
from luxxon_tui.views import PHASES, Phase, SessionView

if TYPE_CHECKING:
    from luxxon_core.wallet.schemas import OnChainEvent

PRESETS = (5, 10, 25, 50)
"""USDC that a top-up offers."""
GWEI, ETHER = 10**9, 10**18


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What the chain itself says of a wallet, read at one time. µUSDC and wei.

    Attributes:
        pool: in the settlement contract.
        allowance: what the settlement contract may take without another approval.
        fee: at most, for both transactions of a top-up.
        rpc_ms: how long the node took to answer.
    """

    usdc: int
    wei: int
    pool: int
    allowance: int
    block: int
    base_fee: int
    fee: int
    rpc_ms: int

    @property
    def gasless(self) -> bool:
        """Whether the wallet's ETH is not enough for a top-up of its own."""
        return self.wei < self.fee


class Progress(StrEnum):
    TO_COME = "to come"
    RUNNING = "under way"
    DONE = "done"
    SKIPPED = "not needed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered step of moving money.

    Attributes:
        told: what it does: ``25 USDC, exactly``.
        tx: hash of its transaction, once it is out.
        blocks: how many blocks have followed the transaction's, itself among them, of those that the market
            waits for; None before it is in one.
    """

    name: str
    told: str
    progress: Progress = Progress.TO_COME
    tx: str | None = None
    blocks: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Money that is being moved, or has been.

    Attributes:
        fault: why it stopped, in the chain's or the server's words.
        counted: whether the market's own figures have it.
    """

    amount: int
    steps: tuple[Step, ...]
    fault: str | None = None
    counted: bool = False

    @property
    def running(self) -> bool:
        return self.fault is None and not self.counted

    def begin(self, name: str) -> Move:
        """The step of a name has begun; those before it are done."""
        place = next(number for number, step in enumerate(self.steps) if step.name == name)
        return self._with(
            *(
                replace(step, progress=Progress.DONE)
                if number < place and step.progress is not Progress.SKIPPED
                else replace(step, progress=Progress.RUNNING)
                if number == place
                else step
                for number, step in enumerate(self.steps)
            )
        )

    def sent(self, tx: str) -> Move:
        """The transaction of the running step is out."""
        return self._with(
            *(replace(step, tx=tx) if step.progress is Progress.RUNNING else step for step in self.steps)
        )

    def mined(self, mark: BlockMark, head: int, counted: int) -> Move:
        """The running step's transaction is in a block; see :class:`BlockMark`."""
        found = mark.passed(head, counted)
        return self._with(
            *(
                replace(step, blocks=found) if step.progress is Progress.RUNNING else step
                for step in self.steps
            )
        )

    def failed(self, why: str) -> Move:
        """The running step, or else the first, did not work."""
        at = next((step for step in self.steps if step.progress is Progress.RUNNING), self.steps[0])
        marked = (replace(step, progress=Progress.FAILED) if step is at else step for step in self.steps)
        return replace(self._with(*marked), fault=why)

    def done(self) -> Move:
        """The market has counted it."""
        kept = (
            step if step.progress is Progress.SKIPPED else replace(step, progress=Progress.DONE)
            for step in self.steps
        )
        return replace(self._with(*kept), counted=True)

    def _with(self, *steps: Step) -> Move:
        return replace(self, steps=steps)


@dataclass(frozen=True, slots=True)
class BlockMark:
    """Where a transaction was mined, and how far the market followed the chain then: it counts a block when
    it has seen as many after it as it is behind."""

    block: int
    behind: int

    @classmethod
    def at(cls, head: int, counted: int) -> BlockMark:
        """``counted`` is the last block that the market has consumed."""
        return cls(head, max(1, head - counted))

    def passed(self, head: int, counted: int) -> tuple[int, int]:
        """Blocks that have come and blocks to come for; all of them once the market has the block."""
        if counted >= self.block:
            return self.behind, self.behind
        return min(max(1, head - self.block + 1), self.behind), self.behind


def top_up(amount: int, facts: ChainFacts | None) -> Move:
    """A top-up before it has begun."""
    money = f"{short(amount)} USDC"
    if facts is not None and facts.gasless:
        return Move(
            amount, (Step("sign", f"{money}, exactly"), Step("deposit", "the market sends it, and pays gas"))
        )
    allowed = facts is not None and facts.allowance >= amount
    progress = Progress.SKIPPED if allowed else Progress.TO_COME
    told = "allowed already" if allowed else f"{money}, exactly"
    return Move(amount, (Step("approve", told, progress), Step("deposit", "into the pool")))


def withdrawal(amount: int) -> Move:
    """A withdrawal before it has begun."""
    return Move(amount, (Step("withdraw", f"{short(amount)} USDC"),))


def short(micro: int) -> str:
    """An amount without the zeros behind it: ``25``, ``0.5``."""
    return fmt.usdc(micro, fmt.CHARGED).rstrip("0").rstrip(".")


THOUSANDS = re.compile(r"[0-9]{1,3},[0-9]{3}")
"""What is a thousand times more in one country than in another."""
LONGEST_TYPED = 20


def amount_of(text: str) -> int | None:
    """What somebody typed, as µUSDC; None where it is no amount of USDC, or nothing, or could mean two."""
    if THOUSANDS.fullmatch(text.strip()):
        return None
    found = re.fullmatch(r"([0-9]{1,12})(?:[.,]([0-9]{1,6}))?", text.strip())
    if found is None:
        return None
    amount = int(found[1]) * MICRO_PER_USDC + int((found[2] or "").ljust(6, "0"))
    return amount or None


def no_amount(text: str) -> str:
    """Why :func:`amount_of` takes something for none."""
    words = text.strip()
    if THOUSANDS.fullmatch(words):
        whole, _, rest = words.partition(",")
        return f"{words} may mean {whole}{rest} or {whole}.{rest}: type one of them"
    if re.fullmatch(r"[0-9]{1,12}[.,][0-9]{7,}", words):
        return "USDC has six decimals, no more"
    if re.fullmatch(r"[0-9]{1,12}([.,]0{1,6})?", words):
        return "nothing is no amount: type one such as 5 or 0.25"
    shown = words if len(words) <= LONGEST_TYPED else f"{words[:LONGEST_TYPED]}…"
    return f"{shown!r} is no amount of USDC, such as 5 or 0.25"


def ether(wei: int) -> str:
    """Six decimals, rounded up so that a fee never looks like none."""
    micro = -(-wei * 10**6 // ETHER)
    return f"{micro // 10**6}.{micro % 10**6:06d}"


# -- ledger


class Kind(StrEnum):
    ALL = "all"
    TOP_UPS = "top-ups"
    PAID = "paid"
    EARNED = "earned"

    @property
    def next(self) -> Kind:
        every = list(Kind)
        return every[(every.index(self) + 1) % len(every)]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the ledger.

    Attributes:
        what: ``top up``, ``withdrawn``, ``paid``, ``earned``, ``settled``, ``approved``, ``held``.
        amount: µUSDC as the line shows it, signed; of ``settled`` unsigned, since nothing says which way.
        change: what it did to the pool; None where that is not known.
        balance: the pool after it; None where that is not known.
        state: ``final``, ``sent``, ``waiting``, ``parked``, ``open``.
    """

    key: str
    at: datetime
    what: str
    told: str
    amount: int
    change: int | None = 0
    balance: int | None = None
    state: str = "final"
    tx: str | None = None
    session: str | None = None
    block: str | None = None


def ledger(
    events: Sequence[OnChainEvent],
    sessions: Mapping[str, SessionView],
    places: Mapping[Point, str],
    pool: int | None,
) -> list[Line]:
    """What is open or on its way, then what is final, newest first; the balance runs back from the pool."""
    settled = {event.related_session for event in events}
    lines = [
        *_held(sessions.values(), places),
        *_unsettled([view for view in sessions.values() if view.id not in settled], places),
    ]
    balance = pool
    for event in events:
        line = replace(_line(event, sessions, places), balance=balance)
        lines.append(line)
        balance = None if balance is None or line.change is None else balance - line.change
    return lines


def _held(sessions: Iterable[SessionView], places: Mapping[Point, str]) -> list[Line]:
    held = [view for view in sessions if is_open(view) and view.side == "consumer"]
    return [
        Line(
            f"held {view.id}",
            view.created_at,
            "held",
            f"{_place(view, places)}, up to {fmt.moment(view.max_seconds)}",
            -view.hold_micro,
            state="open",
            session=view.id,
        )
        for view in sorted(held, key=lambda view: view.created_at, reverse=True)
    ]


def _unsettled(sessions: Iterable[SessionView], places: Mapping[Point, str]) -> list[Line]:
    owed = [
        view
        for view in sessions
        if PHASES.get(view.state) is Phase.OVER and view.charged_micro and view.settlement != "CONFIRMED"
    ]
    return [
        Line(
            f"owed {view.id}",
            view.ended_at or view.created_at,
            "paid" if view.side == "consumer" else "earned",
            _session(view, places),
            -view.charged_micro if view.side == "consumer" else view.to_micro or 0,
            state="parked" if view.parked else "sent" if view.settlement == "SUBMITTED" else "waiting",
            tx=view.tx_hash,
            session=view.id,
        )
        for view in sorted(owed, key=lambda view: view.ended_at or view.created_at, reverse=True)
    ]


def _line(event: OnChainEvent, sessions: Mapping[str, SessionView], places: Mapping[Point, str]) -> Line:
    amount, view = int(event.amount_usdc), sessions.get(event.related_session or "")
    told = _session(view, places) if view else ""
    if event.kind == "DEPOSIT":
        what, signed, change = "top up", amount, amount
        told = "from the wallet"
    elif event.kind == "WITHDRAWAL":
        what, signed, change = "withdrawn", -amount, -amount
        told = "to the wallet"
    elif event.kind == "APPROVAL":
        what, signed, change, told = "approved", amount, 0, "for the pool to take"
    elif view is None:
        told = f"session {fmt.short_id(event.related_session)}" if event.related_session else ""
        return _made(event, "settled", told, amount, None)
    elif view.side == "operator":
        what, signed, change = "earned", amount, 0  # it is paid out to the wallet itself
    else:
        what, signed, change = "paid", -amount, -amount
    return _made(event, what, told, signed, change)


def _made(event: OnChainEvent, what: str, told: str, amount: int, change: int | None) -> Line:
    return Line(
        event.id,
        event.confirmed_at,
        what,
        told,
        amount,
        change,
        tx=event.tx_hash,
        session=event.related_session,
        block=event.block_number,
    )


def _session(view: SessionView, places: Mapping[Point, str]) -> str:
    return f"{_place(view, places)}, {view.clean_seconds} s"


def _place(view: SessionView, places: Mapping[Point, str]) -> str:
    found = places.get(view.requested) if view.requested else None
    return found.split(",")[0] if found else f"session {fmt.short_id(view.id)}"


def passing(lines: Iterable[Line], kind: Kind) -> list[Line]:
    """Those of a kind."""
    wanted = {
        Kind.TOP_UPS: ("top up", "withdrawn", "approved"),
        Kind.PAID: ("paid", "held"),
        Kind.EARNED: ("earned",),
    }.get(kind)
    return [line for line in lines if wanted is None or line.what in wanted]
