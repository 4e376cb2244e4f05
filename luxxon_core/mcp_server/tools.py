"""The table of tools: what each is called, takes, answers and does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
from mcp.types import Tool, ToolAnnotations

from luxxon_core.client import Luxxon
from luxxon_core.controls.schemas import PtzAnswer
from luxxon_core.kernel.wire import convert
from luxxon_core.mcp_server import looking
from luxxon_core.mcp_server.answers import Answer, schema
from luxxon_core.mcp_server.progress import Progress
from luxxon_core.mcp_server.schemas import (
    ControlCamera,
    CoverageFound,
    LiveView,
    NoArguments,
    Observe,
    Observed,
    OneSession,
    PricingQuote,
    RequestLiveView,
    SessionEnded,
    SessionsFound,
    WaitForLive,
    Watch,
    Watched,
)
from luxxon_core.pricing.schemas import PriceQuote
from luxxon_core.sessions.schemas import Session, ViewerToken
from luxxon_core.settlement.schemas import Receipt, SettlementView
from luxxon_core.wallet.schemas import WalletState

Work = Callable[[Luxxon, Any, Progress], Awaitable[Answer]]


@dataclass(frozen=True)
class ToolRow:
    """A tool.

    Args:
        answers: the struct of its result; None for pictures and plain text.
        reads: it changes nothing.
        destroys: what it ends cannot be had back.
        repeats: to call it again with the same arguments changes nothing more.
        outside: it reaches cameras and places, beyond the marketplace's own records.
    """

    name: str
    title: str
    description: str
    asks: type[msgspec.Struct]
    answers: type[msgspec.Struct] | None
    work: Work
    reads: bool = False
    destroys: bool = False
    repeats: bool = False
    outside: bool = False

    async def __call__(self, api: Luxxon, given: Mapping[str, Any] | None, progress: Progress) -> Answer:
        """Run it.

        Raises:
            msgspec.ValidationError: the arguments do not fit; LuxxonError: the server refused.
        """
        named = {name: value for name, value in (given or {}).items() if value is not None}
        return await self.work(api, convert(named, self.asks, strict=False), progress)

    @cached_property
    def described(self) -> Tool:
        return Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema={"type": "object", "properties": {}, **schema(self.asks)},
            output_schema=None if self.answers is None else schema(self.answers),
            annotations=ToolAnnotations(
                title=self.title,
                read_only_hint=self.reads,
                destructive_hint=self.destroys,
                idempotent_hint=self.repeats or self.reads,
                open_world_hint=self.outside,
            ),
        )


async def _list_sessions(api: Luxxon, _: NoArguments, __: Progress) -> Answer:
    found = await api.sessions.list()
    return Answer(SessionsFound(len(found), found))


async def _get_session(api: Luxxon, asked: OneSession, _: Progress) -> Answer:
    return Answer(await api.sessions.get(asked.session_id))


async def _get_frame(api: Luxxon, asked: OneSession, _: Progress) -> Answer:
    return Answer(pictures=[await api.sessions.frame(asked.session_id)])


async def _get_stream_url(api: Luxxon, asked: OneSession, _: Progress) -> Answer:
    return Answer(await api.sessions.viewer_token(asked.session_id))


async def _end_session(api: Luxxon, asked: OneSession, _: Progress) -> Answer:
    session = await api.sessions.end(asked.session_id)
    return Answer(
        SessionEnded(
            session.id,
            session.state,
            session.clean_seconds,
            session.charged_micro_usdc,
            session.settlement_tx_hash,
            f'The meter has stopped. get_settlement("{session.id}") tells when it is paid: CONFIRMED.',
        )
    )


async def _cancel_session(api: Luxxon, asked: OneSession, _: Progress) -> Answer:
    return Answer(f"Cancelled. New state: {(await api.sessions.cancel(asked.session_id)).state}")


async def _get_pricing_quote(api: Luxxon, asked: PricingQuote, _: Progress) -> Answer:
    return Answer(
        await api.pricing.quote(lat=asked.lat, lng=asked.lng, duration_seconds=asked.duration_seconds)
    )


async def _get_coverage(api: Luxxon, _: NoArguments, __: Progress) -> Answer:
    found = await api.coverage.list()
    return Answer(CoverageFound(len(found), found))


async def _get_wallet(api: Luxxon, _: NoArguments, __: Progress) -> Answer:
    return Answer(await api.wallet.get())


async def _get_settlement(api: Luxxon, asked: OneSession, _: Progress) -> Answer:
    return Answer(await api.settlements.get(asked.session_id))


async def _get_receipt(api: Luxxon, asked: OneSession, _: Progress) -> Answer:
    return Answer(await api.sessions.receipt(asked.session_id))


async def _control_camera(api: Luxxon, asked: ControlCamera, _: Progress) -> Answer:
    return Answer(await api.sessions.ptz(asked.session_id, asked.command, **asked.fields()))


ROWS = (
    ToolRow(
        "request_live_view",
        "Request live video",
        "Ask for live video of a place: opens a session, has the operator assigned who covers the point and "
        "has been idle for longest, and waits until there is a picture. LIVE seconds are paid from the "
        "workspace's pool until end_session. Answers with the sessionId also when it is not LIVE in time. "
        "If this call is cancelled, the session is ended.",
        RequestLiveView,
        LiveView,
        looking.request_live_view,
        outside=True,
    ),
    ToolRow(
        "wait_for_live",
        "Wait for LIVE",
        "Go on waiting for a session that request_live_view left REQUESTED or ASSIGNED.",
        WaitForLive,
        LiveView,
        looking.wait_for_live,
        reads=True,
        outside=True,
    ),
    ToolRow(
        "list_sessions",
        "List sessions",
        "Sessions of the workspace, newest first: to find a sessionId again, or one that is still LIVE.",
        NoArguments,
        SessionsFound,
        _list_sessions,
        reads=True,
    ),
    ToolRow(
        "get_session",
        "Get a session",
        "State and meter of a session. Amounts are µUSDC: 1 USDC is 1,000,000.",
        OneSession,
        Session,
        _get_session,
        reads=True,
    ),
    ToolRow(
        "get_frame",
        "Look",
        "The latest picture of a LIVE session, as an image. FRAME_NOT_AVAILABLE until the first one has "
        "come: try again after a second.",
        OneSession,
        None,
        _get_frame,
        reads=True,
        outside=True,
    ),
    ToolRow(
        "get_stream_url",
        "Get the stream's URL",
        "The playback URL (WHEP, WebRTC) of a LIVE session. Whoever has it can watch. To look, prefer "
        "get_frame.",
        OneSession,
        ViewerToken,
        _get_stream_url,
        reads=True,
    ),
    ToolRow(
        "end_session",
        "End a session",
        "End a LIVE session: the meter stops and what was used is paid. Before LIVE use cancel_session.",
        OneSession,
        SessionEnded,
        _end_session,
        destroys=True,
        repeats=True,
    ),
    ToolRow(
        "cancel_session",
        "Cancel a session",
        "Give up a session that is REQUESTED or ASSIGNED; nothing is paid. When LIVE use end_session.",
        OneSession,
        None,
        _cancel_session,
        destroys=True,
    ),
    ToolRow(
        "get_pricing_quote",
        "Get a price",
        "What live video of a place costs for so long, in µUSDC. Its quoteId locks the price for "
        "request_live_view until expiresAt.",
        PricingQuote,
        PriceQuote,
        _get_pricing_quote,
    ),
    ToolRow(
        "get_coverage",
        "Get coverage",
        "The circles in which a camera is on offer now: see whether there is one before asking for a place.",
        NoArguments,
        CoverageFound,
        _get_coverage,
        reads=True,
    ),
    ToolRow(
        "get_wallet",
        "Get the pool",
        "What the workspace's pool holds, in µUSDC, as last seen on the chain.",
        NoArguments,
        WalletState,
        _get_wallet,
        reads=True,
    ),
    ToolRow(
        "get_settlement",
        "Get a payment",
        "How far a session that is over has been paid: NOT_READY, PENDING, SUBMITTED (with txHash), "
        "CONFIRMED.",
        OneSession,
        SettlementView,
        _get_settlement,
        reads=True,
    ),
    ToolRow(
        "watch",
        "Watch for a while",
        "Look at a LIVE session every so many seconds and get the pictures together, with progress. It ends "
        "early when the session does. If this call is cancelled, the session is ended.",
        Watch,
        Watched,
        looking.watch,
        destroys=True,
        outside=True,
    ),
    ToolRow(
        "observe",
        "Take one look at a place",
        "One picture of a place: opens a session, waits for the first picture, ends the session, and answers "
        "with the picture and its price, a few seconds' worth. Nothing is left running, whatever happens.",
        Observe,
        Observed,
        looking.observe,
        outside=True,
    ),
    ToolRow(
        "control_camera",
        "Move the camera",
        "Pan, tilt, zoom or point the camera of a LIVE session, where its operator allows that: see controls "
        "of get_session.",
        ControlCamera,
        PtzAnswer,
        _control_camera,
        outside=True,
    ),
    ToolRow(
        "get_receipt",
        "Get the bill",
        "The bill of a session, so far or in the end: seconds, why some were not charged, amounts, payment.",
        OneSession,
        Receipt,
        _get_receipt,
        reads=True,
    ),
)

TOOLS = {row.name: row for row in ROWS}
