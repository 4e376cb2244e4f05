"""Every way in which an endpoint may refuse, read from its row.

What its handler raises, what the guard and the decoding of its request refuse before that, what befalls any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType

import msgspec

from luxxon_core.http.operation import Access, Operation
from luxxon_core.kernel.errors import (
    AuthzError,
    Conflict,
    DatabaseError,
    InsufficientScope,
    InvalidApiKey,
    InvalidInput,
    InvalidToken,
    LuxxonError,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    RequestTimeout,
    RevokedApiKey,
    WorkspaceMismatch,
    WorkspaceNotFound,
)

ACTS = (Access.WORKSPACE, Access.WALLET_WORKSPACE)
"""Accesses whose caller acts for a workspace."""
WINDOWS = {Access.PUBLIC: ("address",), Access.LINK: ("key",)}
"""Whose requests are counted; else those of keys and wallets."""
PARAMETER = re.compile(r"\{(\w+)\}")


def refusals(operation: Operation) -> list[LuxxonError]:
    """One error for each code and detail that the operation can answer; by status, code and detail."""
    found = {
        (one.status, one.code, one.detail or ""): one
        for one in (*_handler(operation), *_guard(operation), *_decoding(operation), *_anywhere(operation))
    }
    return [found[key] for key in sorted(found)]


def fields(body: type[msgspec.Struct] | UnionType | None) -> list[str]:
    """The names that the fields of a struct, or of several and the tag that tells them apart, have on the
    wire."""
    if body is None:
        return []
    structs = body.__args__ if isinstance(body, UnionType) else (body,)
    tags = [struct.__struct_config__.tag_field for struct in structs]
    names = [field.encode_name for struct in structs for field in msgspec.structs.fields(struct)]
    return list(dict.fromkeys(name for name in (*tags, *names) if name is not None))


def names_workspace(operation: Operation) -> bool:
    """Whether ``workspaceId`` of the query names the workspace to act for though no struct lists it."""
    return (
        operation.access in ACTS
        and operation.workspace_param is None
        and "workspaceId" not in fields(operation.query)
    )


def _handler(operation: Operation) -> Iterator[LuxxonError]:
    for error in operation.errors:
        yield error() if isinstance(error, type) else error


def _guard(operation: Operation) -> Iterator[LuxxonError]:
    if operation.access is Access.PUBLIC:
        return
    if operation.access is Access.LINK:
        yield from (NotAuthenticated(), InvalidToken(), AuthzError())
        return
    for kind in (NotAuthenticated, InvalidToken, InvalidApiKey, RevokedApiKey):
        yield kind()
    if operation.access in (Access.WALLET, Access.WALLET_WORKSPACE):
        yield NotAuthorized("auth:walletOnly")
    elif operation.scopes:
        yield InsufficientScope(f"apiKey:scope:{operation.scopes[0]}")
    if operation.access not in ACTS:
        return
    yield NotAuthorized(f"auth:permission:{operation.permission}")
    yield InvalidInput("auth:workspaceId")
    yield AuthzError()
    if operation.access is Access.WORKSPACE:
        yield WorkspaceMismatch("session:workspaceMismatch")
    yield WorkspaceNotFound() if operation.workspace_param else NotAuthorized("auth:noWorkspace")


def _decoding(operation: Operation) -> Iterator[LuxxonError]:
    if PARAMETER.search(operation.path):
        yield NotFound()  # a value with a slash in it is another path, and there is none such
    if operation.method not in ("GET", "OPTIONS"):  # also where no body is asked for, one is read
        yield PayloadTooLarge("body:size")
        yield RequestTimeout("body:timeout")
        yield InvalidInput("body:encoding")
    if operation.body is not None:
        yield InvalidInput("body:json")
        yield InvalidInput("body:object")
    if operation.method == "POST":
        yield InvalidInput("idempotency:key")
        for label in ("mismatch", "inProgress", "unreadable"):
            yield Conflict(f"idempotency:{label}")
    for name in (*fields(operation.body), *fields(operation.query)):
        yield InvalidInput(f"{operation.subject}:{name}")


def _anywhere(operation: Operation) -> Iterator[LuxxonError]:
    yield InvalidInput("request:expect")
    for window in WINDOWS.get(operation.access, ("key", "wallet")):
        yield RateLimited(f"rate:{window}")
    yield RateLimited("rate:failures")
    yield DatabaseError()
    yield LuxxonError()
