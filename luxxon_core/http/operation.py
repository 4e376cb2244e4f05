"""One row per endpoint: routing, guarding and decoding are all read from it.

A slice's ``routes.py`` returns such rows; nothing about an endpoint is stated anywhere else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from functools import lru_cache
from types import UnionType
from typing import Any, Generic
from uuid import UUID

import msgspec
from typing_extensions import TypeVar

from luxxon_core.http.principal import Permission, Principal, Scope
from luxxon_core.kernel.errors import LuxxonError, NotAuthorized, NotFound

Body_co = TypeVar("Body_co", covariant=True)
Query_co = TypeVar("Query_co", covariant=True, default=None)


class Access(Enum):
    """Which credential an endpoint takes (api-contract §4)."""

    PUBLIC = auto()
    """None; one that is sent is ignored, even a bad one."""
    IDENTIFIED = auto()
    """A key or a wallet, for no workspace in particular."""
    WALLET = auto()
    """A wallet session, for no workspace in particular; a key is refused."""
    WALLET_WORKSPACE = auto()
    """A wallet session acting for a workspace; a key is refused."""
    WORKSPACE = auto()
    """A key with the scope, or a wallet with the member role, acting for a workspace."""
    LINK = auto()
    """The token of a link to one side of a session, and nothing else."""


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie for the answer; an empty ``value`` clears it."""

    name: str
    value: str = field(repr=False)
    max_age_s: int


@dataclass(frozen=True, slots=True)
class Binary:
    """An answer that is not JSON, sent as it is with exactly this content type."""

    body: bytes = field(repr=False)
    content_type: str
    headers: Mapping[str, str]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that carries more than its data."""

    data: object
    cookie: Cookie | None = None
    consistency_token: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream (WHATWG HTML §9.2): ``id`` is what a client resumes after, None for events that
    cannot be resumed from; ``data`` is encoded as one line of JSON."""

    name: str
    data: object
    id: str | None = None


@dataclass(frozen=True, slots=True)
class EventStream:
    """An answer that goes on: ``text/event-stream`` until the client leaves or ``events`` ends."""

    events: AsyncIterator[ServerEvent]


class Call(msgspec.Struct, Generic[Body_co, Query_co], frozen=True):
    """One guarded, decoded request: a struct because each costs a fifth of a frozen dataclass to make."""

    principal: Principal | None
    workspace: UUID | None
    """The workspace the caller acts for; set when the access asks for one."""
    body: Body_co
    query: Query_co
    path: Mapping[str, str]
    headers: Mapping[str, str]
    now: datetime
    token: str | None = None
    """Consistency token of the check that let the caller in."""
    idempotent_id: UUID | None = None
    """Of a request with an ``Idempotency-Key``: the same for each attempt at it. What gets this id is found,
    and not made again, by the attempt after one that died half-way."""

    @property
    def acting(self) -> UUID:
        """The workspace acted for, where the access guarantees one."""
        if self.workspace is None:
            raise NotAuthorized("auth:noWorkspace")
        return self.workspace

    def id(self, name: str, missing: type[LuxxonError] = NotFound) -> UUID:
        """The path parameter ``name`` as a UUID; one that is none cannot exist: ``missing``."""
        try:
            return _uuid(self.path[name])
        except ValueError:
            raise missing from None


@lru_cache(maxsize=4096)
def _uuid(text: str) -> UUID:
    """Clients ask for the same one each second."""
    return UUID(text)


@dataclass(frozen=True, slots=True)
class Media:
    """What the OpenAPI document says of an answer that is no envelope.

    Args:
        events: of an event stream, each event's name and the type of its data.
        revalidates: answers 304 to a client that has it already.
    """

    content_type: str
    description: str
    events: Mapping[str, Any] = field(default_factory=dict)
    revalidates: bool = False


Handler = Callable[[Call[Any, Any]], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An endpoint: routing, guarding, decoding and the OpenAPI document read this row.

    Args:
        path: aiohttp's form, relative to the base.
        body, query: what the request's JSON object and query string must fit, a struct or several told apart
            by their tag; a field that does not is refused as ``<subject>:<field>``. ``workspaceId`` of the
            query or one of the body's ``workspace_fields`` (also of a body that is not asked for) names the
            workspace acted for, unless ``workspace_param`` says which path parameter does.
        out: what ``data`` of the answer is; :class:`Binary` or :class:`EventStream` where it is no envelope,
            annotated with a :class:`Media` that says more.
        scopes: any one of them lets a key in; empty means any valid key.
        permission: what a wallet must have in the workspace.
        headers: what the handler itself needs of the request's headers.
        waits: it heeds ``Prefer: wait`` (RFC 7240).
        creates: it answers 201 with what it has made, or 202 while that is being made; both with Location.
        errors: what the handler itself raises, an instance where its detail is known beforehand; those of the
            guard follow from ``access``.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    out: Any
    tag: str
    summary: str
    body: type[msgspec.Struct] | UnionType | None = None
    query: type[msgspec.Struct] | None = None
    subject: str = "body"
    scopes: tuple[Scope, ...] = ()
    permission: Permission = Permission.VIEW
    workspace_param: str | None = None
    workspace_fields: tuple[str, ...] = ("workspaceId",)
    headers: tuple[str, ...] = ()
    waits: bool = False
    creates: bool = False
    errors: tuple[type[LuxxonError] | LuxxonError, ...] = ()
