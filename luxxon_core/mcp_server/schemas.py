"""Arguments and results of the tools (api-contract §19)."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from luxxon_core.kernel.wire import Latitude, Longitude, MicroUsdc, Timestamp, TxHash, Uuid
from luxxon_core.sessions.schemas import Session, StateName
from luxxon_core.workspaces.schemas import CoverageEntry

Timeout = Annotated[
    int,
    Meta(
        ge=0,
        le=3_600_000,
        description="Milliseconds to wait for LIVE. Later is no error: wait on.",
    ),
]
MaxWidth = Annotated[int, Meta(ge=16, le=4096, description="Pixels; a wider picture is made smaller.")]
Wait = Annotated[
    int,
    Meta(description="Seconds until it expires, unpaid, unless LIVE: 5 to 3600; 300 if left out."),
]


class NoArguments(msgspec.Struct, frozen=True, rename="camel"):
    pass


class OneSession(msgspec.Struct, frozen=True, rename="camel"):
    session_id: Annotated[UUID, Meta(description="The session's id.")]


class RequestLiveView(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    lat: Latitude
    lng: Longitude
    max_duration_seconds: Annotated[
        int,
        Meta(ge=1, description="It ends by itself after so many LIVE seconds: no more is paid."),
    ]
    wait_timeout_seconds: Wait | None = None
    quote_id: Annotated[UUID, Meta(description="Of get_pricing_quote: locks its price.")] | None = None
    timeout_ms: Timeout = 30_000


class WaitForLive(msgspec.Struct, frozen=True, rename="camel"):
    session_id: UUID
    timeout_ms: Timeout = 30_000


class PricingQuote(msgspec.Struct, frozen=True, rename="camel"):
    lat: Latitude
    lng: Longitude
    duration_seconds: Annotated[int, Meta(ge=1, description="How long the session is to be.")]


class Watch(msgspec.Struct, frozen=True, rename="camel"):
    session_id: UUID
    every_seconds: Annotated[float, Meta(ge=1, le=300, description="Between two looks.")] = 5.0
    max_frames: Annotated[int, Meta(ge=1, le=30)] = 5
    max_width: MaxWidth = 640
    end_when_done: Annotated[bool, Meta(description="End the session after the last frame.")] = False


class Observe(msgspec.Struct, frozen=True, rename="camel"):
    lat: Latitude
    lng: Longitude
    wait_timeout_seconds: Annotated[
        int, Meta(ge=5, le=600, description="Seconds to wait for a camera; nothing is paid if there is none.")
    ] = 60
    max_width: MaxWidth | None = None


ZoomKind = Annotated[Literal["STEP", "CONTINUOUS", "RANGE", "FOCAL_LENGTH"], Meta(description="set_zoom.")]
YawFrame = Annotated[Literal["VEHICLE", "EARTH"], Meta(description="set_pitch_yaw: what yaw is of.")]


class ControlCamera(msgspec.Struct, frozen=True, rename="camel"):
    session_id: UUID
    command: Annotated[
        Literal[
            "continuous_move",
            "relative_move",
            "absolute_move",
            "stop",
            "goto_preset",
            "goto_home",
            "get_presets",
            "get_status",
            "set_zoom",
            "set_pitch_yaw",
        ],
        Meta(description="get_status and get_presets move nothing."),
    ]
    pan: Annotated[float, Meta(ge=-1, le=1, description="Moves: -1 left to 1 right.")] | None = None
    tilt: Annotated[float, Meta(ge=-1, le=1, description="Moves: -1 down to 1 up.")] | None = None
    zoom: (
        Annotated[float, Meta(ge=-1, le=1, description="Moves; absolute_move: 0 wide to 1 tele.")] | None
    ) = None
    timeout: (
        Annotated[float, Meta(ge=0.05, le=5, description="continuous_move: it stops after so many seconds.")]
        | None
    ) = None
    token: Annotated[str, Meta(description="goto_preset: of get_presets.")] | None = None
    kind: (
        Annotated[Literal["STEP", "CONTINUOUS", "RANGE", "FOCAL_LENGTH"], Meta(description="set_zoom.")]
        | None
    ) = None
    value: Annotated[float, Meta(description="set_zoom: steps, -1 to 1, percent or millimetres.")] | None = (
        None
    )
    pitch: Annotated[float, Meta(description="set_pitch_yaw: degrees, negative looks down.")] | None = None
    yaw: Annotated[float, Meta(description="set_pitch_yaw: degrees.")] | None = None
    frame: (
        Annotated[Literal["VEHICLE", "EARTH"], Meta(description="set_pitch_yaw: what yaw is of.")] | None
    ) = None

    def fields(self) -> dict[str, Any]:
        """What the order says beside its command."""
        told: dict[str, Any] = msgspec.structs.asdict(self)
        return {name: value for name, value in told.items() if name not in ("session_id", "command")}


class LiveView(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """``whepUrl`` and ``startedAt`` where it is LIVE, ``waitOutcome`` and ``waitMessage`` where it is not."""

    session_id: Uuid
    state: str
    operator_workspace_id: Uuid | UnsetType | None = UNSET
    whep_url: str | UnsetType = UNSET
    started_at: Timestamp | UnsetType | None = UNSET
    wait_outcome: str | UnsetType = UNSET
    wait_message: str | UnsetType = UNSET
    hint: str

    def __repr__(self) -> str:
        return f"LiveView({self.session_id}, {self.state})"  # the URL is a secret


class NotDispatched(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    session_id: Uuid
    state: StateName
    error: str
    message: str
    detail: str | UnsetType = UNSET
    hint: str


class SessionsFound(msgspec.Struct, frozen=True, rename="camel"):
    count: int
    sessions: list[Session]


class CoverageFound(msgspec.Struct, frozen=True, rename="camel"):
    count: int
    coverage: list[CoverageEntry]


class SessionEnded(msgspec.Struct, frozen=True, rename="camel"):
    session_id: Uuid
    state: StateName
    clean_seconds: int
    charged_micro_usdc: MicroUsdc
    settlement_tx_hash: TxHash | None
    hint: str


class Seen(msgspec.Struct, frozen=True, rename="camel"):
    """One picture: the image block of the same place in the order."""

    captured_at: Timestamp | None
    bytes: int


class Watched(msgspec.Struct, frozen=True, rename="camel"):
    """``stopped``: ``FRAMES``, as many as asked for; ``OVER``, the session is; ``SIZE``, no more fits into
    one answer; ``STALLED``, no new ones come or can be fetched."""

    session_id: Uuid
    state: str
    count: int
    frames: list[Seen]
    stopped: Literal["FRAMES", "OVER", "SIZE", "STALLED"]
    hint: str


class Observed(msgspec.Struct, frozen=True, rename="camel"):
    session_id: Uuid
    state: StateName
    lat: float
    lng: float
    captured_at: Timestamp | None
    clean_seconds: int
    charged_micro_usdc: MicroUsdc
    settlement_tx_hash: TxHash | None
    hint: str


class Failure(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An error with a code. ``upstream`` is the beginning of an answer that was not Luxxon's."""

    code: str
    status: int
    message: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    retryable: bool
    upstream: str | UnsetType = UNSET
    session_id: Uuid | UnsetType = UNSET
    state: str | UnsetType = UNSET
