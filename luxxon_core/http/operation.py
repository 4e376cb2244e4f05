"""One row per endpoint: routing, guarding and decoding are all read from it.

A slice's ``routes.py`` returns such rows; nothing about an endpoint is stated anywhere else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from luxxon_core.http.principal import MemberRole, Principal, Scope
from luxxon_core.kernel.errors import InvalidInput, LuxxonError, NotAuthorized, NotFound

Body_co = TypeVar("Body_co", covariant=True)


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


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that carries more than its data."""

    data: object
    cookie: Cookie | None = None
    consistency_token: str | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[Body_co]):
    """One guarded, decoded request."""

    principal: Principal | None
    workspace: UUID | None
    """The workspace the caller acts for; set when the access asks for one."""
    body: Body_co
    path: Mapping[str, str]
    query: Mapping[str, str]
    now: datetime

    @property
    def acting(self) -> UUID:
        """The workspace acted for, where the access guarantees one."""
        if self.workspace is None:
            raise NotAuthorized("auth:noWorkspace")
        return self.workspace

    def id(self, name: str, missing: type[LuxxonError] = NotFound) -> UUID:
        """The path parameter ``name`` as a UUID; one that is none cannot exist: ``missing``."""
        try:
            return UUID(self.path[name])
        except ValueError:
            raise missing from None


Handler = Callable[[Call[Any]], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Operation:
    """An endpoint. Routing, guarding and decoding read the row; ``out`` and ``errors`` document it.

    ``path`` is aiohttp's form, relative to the base. ``workspace_param`` names the path parameter that is
    itself the workspace; otherwise ``workspaceId`` of body or query may name one. ``scopes``: any one of
    them lets a key in; empty means any valid key.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    out: object
    body: type[msgspec.Struct] | None = None
    scopes: tuple[Scope, ...] = ()
    role: MemberRole = MemberRole.VIEWER
    workspace_param: str | None = None
    errors: tuple[type[LuxxonError], ...] = ()


def number(query: Mapping[str, str], name: str, domain: str) -> float:
    """A required numeric query parameter.

    Raises:
        InvalidInput: missing, not a number, or not finite; the detail is ``<domain>:<name>``.
    """
    try:
        value = float(query[name])
    except (KeyError, ValueError):
        raise InvalidInput(f"{domain}:{name}") from None
    if not value - value == 0:
        raise InvalidInput(f"{domain}:{name}")
    return value
