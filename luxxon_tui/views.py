"""What the Live screen shows, frozen: the feeds produce it, pure functions turn it into rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from luxxon_core.kernel.geo import Point

STALL_MS = 2_000
"""Age of the newest frame at which a picture counts as stalled."""


class Phase(StrEnum):
    """Which of its designed states the screen is in."""

    EMPTY = "EMPTY"
    """There is no session to watch."""
    LOADING = "LOADING"
    WAITING = "WAITING"
    """REQUESTED or ASSIGNED: nothing is charged yet."""
    LIVE = "LIVE"
    OVER = "OVER"
    """ENDED, EXPIRED or CANCELLED."""
    FAILED = "FAILED"
    """The server refused and will go on refusing."""


PHASES = {
    "REQUESTED": Phase.WAITING,
    "ASSIGNED": Phase.WAITING,
    "LIVE": Phase.LIVE,
    "PAUSED": Phase.LIVE,
    "ENDED": Phase.OVER,
    "EXPIRED": Phase.OVER,
    "CANCELLED": Phase.OVER,
}


@dataclass(frozen=True, slots=True)
class Loss:
    """A stretch that is not charged. Times in milliseconds since the session went live."""

    reason: str
    """``NETWORK_ERROR``, ``STALE_TELEMETRY`` or ``OUTSIDE_GEOFENCE``."""
    opened_ms: int
    closed_ms: int | None


@dataclass(frozen=True, slots=True)
class Fix:
    """A position that the operator told."""

    point: Point
    accuracy_m: float
    at: datetime
    speed_mps: float | None = None


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session and its bill, final or so far. Money in µUSDC, instants UTC."""

    id: str
    state: str
    created_at: datetime
    max_seconds: int
    rate_micro: int
    hold_micro: int
    wait_seconds: int | None = None
    requested: Point | None = None
    operator: str | None = None
    assigned_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    elapsed_ms: int = 0
    lost_ms: int = 0
    clean_seconds: int = 0
    charged_micro: int = 0
    losses: tuple[Loss, ...] = ()
    to_micro: int | None = None
    fee_micro: int | None = None
    settlement: str = "NOT_READY"
    tx_hash: str | None = None
    tx_url: str | None = None
    """Page of the transaction in the chain's explorer, where there is one."""
    stream_url: str | None = field(default=None, repr=False)
    """WHEP URL: a bearer secret of this session."""
    side: str = "consumer"
    """Which side of it is ours: ``consumer`` or ``operator``."""
    billed: bool = False
    """Whether its receipt has been read: windows, split and exact times are known then."""
    parked: bool = False
    """The payment waits until the server's operator has seen to it."""
    confirmed_at: datetime | None = None
    fault: str | None = None
    """What is wrong with the picture now: ``BLACK``, ``FROZEN``, ``UNDECODED``."""
    fix: Fix | None = None
    """Where the operator said it was, last."""
    controls: tuple[str, ...] = ()
    """What the camera lets both sides do: of ``ptz``, ``zoom``, ``gimbal``."""

    @property
    def lost_now(self) -> Loss | None:
        """The open stretch, if one is running."""
        return next((loss for loss in self.losses if loss.closed_ms is None), None)

    @property
    def settled(self) -> bool:
        """Nothing about this session will change any more."""
        return self.settlement == "CONFIRMED" or (
            PHASES.get(self.state) is Phase.OVER and not self.started_at
        )


@dataclass(frozen=True, slots=True)
class Online:
    latency_ms: int | None = None
    """Median of the last answers."""


@dataclass(frozen=True, slots=True)
class Offline:
    """The API cannot be reached. Instants by the console's clock."""

    since: datetime
    attempt: int
    retry_at: datetime


@dataclass(frozen=True, slots=True)
class Failure:
    """What happened and what can be done about it."""

    title: str
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class LiveView:
    """Everything that comes by the API. ``as_of`` is when the figures were read, by the console's clock."""

    phase: Phase
    link: Online | Offline = Online()
    session: SessionView | None = None
    as_of: datetime | None = None
    pool_micro: int | None = None
    workspace: str | None = None
    chain_name: str | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class SignalView:
    """What the stream is like. Histories are samples twice a second, oldest first."""

    width: int = 0
    height: int = 0
    codec: str = ""
    transport: str = ""
    """``WHEP``, or ``stills`` when only single frames come."""
    fps: float = 0.0
    bits_per_second: float = 0.0
    loss_ratio: float = 0.0
    age_ms: float | None = None
    """Since the newest frame; None before the first."""
    fps_history: tuple[float, ...] = ()
    bits_history: tuple[float, ...] = ()
    newest_at: datetime | None = None
    """When the newest frame came, by the console's clock."""

    @property
    def stalled(self) -> bool:
        """There was a picture and it has stopped."""
        return self.age_ms is not None and self.age_ms >= STALL_MS
