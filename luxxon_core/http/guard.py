"""From credential to principal to workspace, in the order of api-contract §4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.http.operation import Access, Operation
from luxxon_core.http.principal import ApiKeyPrincipal, MemberRole, Principal
from luxxon_core.kernel.errors import (
    InsufficientScope,
    InvalidInput,
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


class Authorizer(Protocol):
    """Knows who is a member of what."""

    async def role(self, wallet_address: str, workspace_id: UUID) -> MemberRole | None:
        """The wallet's role in the workspace, None when it is no member.

        Raises:
            AuthzError: the authorization service failed; callers fail closed.
        """
        ...


class Guard:
    """Refuses a call before it reaches its handler."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer

    async def principal(
        self, operation: Operation, authorization: str | None, cookie: str | None, now: datetime
    ) -> Principal | None:
        """Who calls; None for public endpoints, whatever was sent. The bearer wins over the cookie."""
        if operation.access is Access.PUBLIC:
            return None
        principal: Principal
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            principal = await self._authenticator.by_bearer(
                token.strip() if scheme.lower() == "bearer" else "", now
            )
        elif cookie:
            principal = self._authenticator.by_cookie(cookie, now)
        else:
            raise NotAuthenticated
        if isinstance(principal, ApiKeyPrincipal):
            if operation.access in (Access.WALLET, Access.WALLET_WORKSPACE):
                raise NotAuthorized("auth:walletOnly")
            if operation.scopes and not principal.scopes.intersection(operation.scopes):
                raise InsufficientScope(f"apiKey:scope:{operation.scopes[0]}")
        return principal

    async def workspace(
        self,
        operation: Operation,
        principal: Principal | None,
        path: Mapping[str, str],
        named: Iterable[object],
    ) -> UUID | None:
        """The workspace the caller acts for: from the path, else the first ``named``, else the caller's own.

        ``named`` are the values of ``workspaceId`` in query and body, None where there is none.

        Raises:
            InvalidInput: ``auth:workspaceId``.
            WorkspaceMismatch: a key bound to another one than any of them.
            NotAuthorized: a wallet that picked none, is no member, or lacks the role.
        """
        if principal is None or operation.access not in (Access.WORKSPACE, Access.WALLET_WORKSPACE):
            return None
        explicit = [_parse(path[operation.workspace_param])] if operation.workspace_param else []
        explicit += [_named(value) for value in named if value is not None]
        if isinstance(principal, ApiKeyPrincipal):
            if any(one != principal.workspace_id for one in explicit):
                raise WorkspaceMismatch("auth:workspaceMismatch")
            return principal.workspace_id
        chosen = explicit[0] if explicit else principal.workspace_id
        if chosen is None:
            raise NotAuthorized("auth:noWorkspace")
        role = await self._authorizer.role(principal.wallet_address, chosen)
        if role is None or role < operation.role:
            raise NotAuthorized("auth:member" if role is None else "auth:role")
        return chosen


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
