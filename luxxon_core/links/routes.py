"""Endpoints of links, and the page that they lead to."""

from __future__ import annotations

from typing import Any

from luxxon_core.http.operation import Access, Binary, Call, Operation
from luxxon_core.http.pages import phone_page, phone_page_file
from luxxon_core.http.principal import ApiKeyPrincipal, LinkPrincipal, Permission, WalletPrincipal
from luxxon_core.kernel.errors import (
    InsufficientScope,
    InvalidInput,
    InvalidState,
    NotAuthorized,
    SessionNotFound,
    VideoError,
    WorkspaceNotFound,
)
from luxxon_core.kernel.geo import Point
from luxxon_core.links.schemas import Link, LinkedSession, LinkLocation, LinkRequest
from luxxon_core.links.usecases import Links
from luxxon_core.sessions.routes import CREATE, ONE, OPERATE, session_id

TAG = "Links"


def holder(call: Call[Any]) -> LinkPrincipal:
    assert isinstance(call.principal, LinkPrincipal)
    return call.principal


def operations(links: Links) -> list[Operation]:
    return [_make(links), *_served(links)]


def _make(links: Links) -> Operation:
    async def make(call: Call[LinkRequest]) -> Link:
        principal, side = call.principal, call.body.side
        if isinstance(principal, ApiKeyPrincipal):
            maker, scopes = principal.key_id, principal.scopes
            return Link.of(await links.make(session_id(call), call.acting, side, maker, scopes, call.now))
        assert isinstance(principal, WalletPrincipal)
        wallet = principal.wallet_address
        return Link.of(await links.make(session_id(call), call.acting, side, wallet, None, call.now))

    return Operation(
        method="POST",
        path=ONE + "/link",
        handler=make,
        access=Access.WORKSPACE,
        out=Link,
        tag=TAG,
        summary="Make a link to the page for phones: watch or publish without a key",
        body=LinkRequest,
        subject="link",
        scopes=OPERATE + CREATE,
        permission=Permission.OPERATE,
        errors=(
            SessionNotFound,
            InsufficientScope("apiKey:scope:sessions:read"),
            NotAuthorized("session:viewDenied"),
            NotAuthorized("session:notConsumer"),
            NotAuthorized("session:notOperator"),
            InvalidState("session:link:ENDED"),
        ),
    )


def _served(links: Links) -> list[Operation]:
    async def standing(call: Call[None]) -> LinkedSession:
        return LinkedSession.of(await links.standing(holder(call), call.now))

    async def start(call: Call[None]) -> LinkedSession:
        return LinkedSession.of(await links.start(holder(call), call.now))

    async def stop(call: Call[None]) -> LinkedSession:
        return LinkedSession.of(await links.stop(holder(call), call.now))

    async def locate(call: Call[LinkLocation]) -> LinkedSession:
        body = call.body
        try:
            point = Point(body.lat, body.lng)
        except ValueError as error:
            raise InvalidInput(f"location:{error}") from None
        found = await links.locate(holder(call), point, body.accuracy_meters, body.speed_mps, call.now)
        return LinkedSession.of(found)

    access, out = Access.LINK, LinkedSession
    not_operator = NotAuthorized("session:notOperator")
    return [
        Operation(
            method="GET",
            path="/link",
            handler=standing,
            access=access,
            out=out,
            tag=TAG,
            summary="How the link's session stands",
        ),
        Operation(
            method="POST",
            path="/link/start",
            handler=start,
            access=access,
            out=out,
            tag=TAG,
            summary="Get the publish URL, by the operator's link",
            errors=(not_operator, InvalidState("session:start:ENDED"), VideoError),
        ),
        Operation(
            method="POST",
            path="/link/stop",
            handler=stop,
            access=access,
            out=out,
            tag=TAG,
            summary="End the session; before it is LIVE cancel it or give it back",
            errors=(InvalidState("session:cancel:LIVE"), InvalidState("session:end:ENDED")),
        ),
        Operation(
            method="POST",
            path="/link/location",
            handler=locate,
            access=access,
            out=out,
            tag=TAG,
            summary="Send a location heartbeat, by the operator's link",
            body=LinkLocation,
            subject="location",
            errors=(
                not_operator,
                NotAuthorized("session:notSupplier"),
                WorkspaceNotFound,
                InvalidState("session:location:ENDED"),
            ),
        ),
    ]


def page_operations(links: Links) -> list[Operation]:
    """The page and its files: what people open, so no part of the API's document."""

    async def page(call: Call[None]) -> Binary:
        return phone_page(await links.media_urls(call.path["token"], call.now))

    async def file(call: Call[None]) -> Binary:
        return phone_page_file(call.path["asset"], call.headers.get("If-None-Match"))

    rows = (("/s/{token}", page, "The page for phones"), ("/s/assets/{asset}", file, "A file of that page"))
    return [
        Operation(
            method="GET",
            path=path,
            handler=handler,
            access=Access.PUBLIC,
            out=Binary,
            tag=TAG,
            summary=summary,
        )
        for path, handler, summary in rows
    ]
