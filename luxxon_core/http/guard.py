"""From credential to principal to workspace, in the order of api-contract §4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.http.operation import Access, Operation
from luxxon_core.http.principal import ApiKeyPrincipal, LinkPrincipal, Permission, Principal
from luxxon_core.kernel.errors import (
    InsufficientScope,
    InvalidInput,
    InvalidToken,
    NotAuthenticated,
    NotAuthorized,
    WorkspaceMismatch,
    WorkspaceNotFound,
)

COOKIE = "lx_session"


class Authenticator(Protocol):
    """Turns a credential into a principal; implemented by the access slice."""

    async def by_bearer(self, token: str, now: datetime) -> Principal:
        """The principal of an ``Authorization: Bearer`` value; raises the 401 family."""
        ...

    def by_cookie(self, value: str, now: datetime) -> Principal:
        """The principal of an ``lx_session`` cookie; raises :class:`NotAuthenticated`."""
        ...


class LinkReader(Protocol):
    """Reads the tokens of links; implemented by the links slice."""

    async def by_link(self, token: str, now: datetime) -> LinkPrincipal:
        """Whose token it is; raises :class:`InvalidToken`, also where its maker may do nothing any more, and
        :class:`AuthzError` where that could not be found out."""
        ...


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer of the authorization service, and the consistency token of its revision."""

    allowed: bool
    token: str | None = None


class Authorizer(Protocol):
    """Knows who may do what in which workspace."""

    async def check(
        self, wallet_address: str, workspace_id: UUID, permission: Permission, token: str | None
    ) -> Checked:
        """Whether the wallet has the permission, read at least as fresh as ``token`` where one is given.

        A token that is stale, foreign or no token at all is as good as none.

        Raises:
            AuthzError: the authorization service failed; callers fail closed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Acting:
    """The workspace that a caller acts for, and the token of the check that allowed it."""

    workspace: UUID | None = None
    token: str | None = None


class Guard:
    """Refuses a call before it reaches its handler."""

    def __init__(
        self, authenticator: Authenticator, authorizer: Authorizer, links: LinkReader | None = None
    ) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._links = links

    async def identified(
        self, operation: Operation, authorization: str | None, cookie: str | None, now: datetime
    ) -> Principal | None:
        """Who calls; None for public endpoints, whatever was sent. The bearer wins over the cookie.

        Raises:
            NotAuthenticated: nobody, or nobody we know.
        """
        if operation.access is Access.PUBLIC:
            return None
        if authorization is not None:
            scheme, _, sent = authorization.partition(" ")
            token = sent.strip() if scheme.lower() == "bearer" else ""
            if operation.access is Access.LINK:
                return await self._linked(token, now)
            return await self._authenticator.by_bearer(token, now)
        if not cookie or operation.access is Access.LINK:
            raise NotAuthenticated
        return self._authenticator.by_cookie(cookie, now)

    async def _linked(self, token: str, now: datetime) -> LinkPrincipal:
        if self._links is None:
            raise InvalidToken
        return await self._links.by_link(token, now)

    def admit(self, operation: Operation, principal: Principal | None) -> None:
        """Let only those pass whose kind of credential, and whose key's scopes, the operation takes.

        Raises:
            NotAuthorized: ``auth:walletOnly``.
            InsufficientScope: none of the operation's scopes.
        """
        if not isinstance(principal, ApiKeyPrincipal):
            return
        if operation.access in (Access.WALLET, Access.WALLET_WORKSPACE):
            raise NotAuthorized("auth:walletOnly")
        if operation.scopes and not principal.scopes.intersection(operation.scopes):
            raise InsufficientScope(f"apiKey:scope:{operation.scopes[0]}")

    async def acting(
        self,
        operation: Operation,
        principal: Principal | None,
        path: Mapping[str, str],
        named: Iterable[object],
        token: str | None,
    ) -> Acting:
        """The workspace the caller acts for: from the path, else the first ``named``, else the caller's own.

        ``named`` are the values of ``workspaceId`` in query and body, None where there is none; ``token`` is
        the consistency token that came with the request.

        Raises:
            InvalidInput: ``auth:workspaceId``.
            WorkspaceMismatch: a key bound to another one than any of them.
            NotAuthorized: a wallet that picked none, or has not the permission there.
            AuthzError: whether it has could not be found out.
        """
        if principal is None or operation.access not in (Access.WORKSPACE, Access.WALLET_WORKSPACE):
            return Acting()
        explicit = [_parse(path[operation.workspace_param])] if operation.workspace_param else []
        explicit += [_named(value) for value in named if value is not None]
        if isinstance(principal, ApiKeyPrincipal):
            for one in explicit:
                if one != principal.workspace_id:
                    raise WorkspaceMismatch("session:workspaceMismatch")
            return Acting(principal.workspace_id)
        if isinstance(principal, LinkPrincipal):  # opens rows of its own, none of which acts so
            raise NotAuthorized("auth:noWorkspace")
        chosen = explicit[0] if explicit else principal.workspace_id
        if chosen is None:
            raise NotAuthorized("auth:noWorkspace")
        checked = await self._authorizer.check(principal.wallet_address, chosen, operation.permission, token)
        if not checked.allowed:
            raise NotAuthorized(f"auth:permission:{operation.permission}")
        return Acting(chosen, checked.token)


def _parse(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise WorkspaceNotFound from None


def _named(value: object) -> UUID:
    """A ``workspaceId`` of body or query."""
    try:
        return UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise InvalidInput("auth:workspaceId") from None
