"""Endpoints of access (api-contract §3, §6.2, §6.3, §6.5)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import UNSET

from luxxon_core.access.domain import COOKIE_TTL, Purpose
from luxxon_core.access.schemas import (
    ApiKey,
    ApiKeyCreated,
    ApiKeyMe,
    Budget,
    ChallengeRequest,
    ChallengeResponse,
    Login,
    LoginRequest,
    Member,
    MemberChanged,
    MemberRemoved,
    MemberRequest,
    MintRequest,
    Ok,
    Selected,
    SelectRequest,
    WalletMe,
    WorkspaceMembership,
    WorkspaceName,
)
from luxxon_core.access.usecases import Access, Memberships
from luxxon_core.http import operation as http
from luxxon_core.http.guard import COOKIE
from luxxon_core.http.operation import Answer, Call, Cookie, Operation
from luxxon_core.http.principal import ApiKeyPrincipal, MemberRole, Permission, WalletPrincipal
from luxxon_core.http.principal import Budget as Limits
from luxxon_core.kernel.errors import (
    AuthzError,
    Conflict,
    ExternalError,
    InvalidInput,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    WorkspaceNotFound,
)


def _cookie(value: str) -> Cookie:
    return Cookie(COOKIE, value, int(COOKIE_TTL.total_seconds()) if value else 0)


def wallet(call: Call[object]) -> WalletPrincipal:
    assert isinstance(call.principal, WalletPrincipal)
    return call.principal


def challenge_operation(access: Access, path: str, purpose: Purpose, *, tag: str, summary: str) -> Operation:
    async def issue(call: Call[ChallengeRequest]) -> ChallengeResponse:
        return ChallengeResponse.of(await access.challenge(call.body.wallet_address, purpose, call.now))

    return Operation(
        method="POST",
        path=path,
        handler=issue,
        access=http.Access.PUBLIC,
        out=ChallengeResponse,
        tag=tag,
        summary=summary,
        body=ChallengeRequest,
        subject="auth",
        errors=(InvalidInput,),
    )


def operations(access: Access) -> list[Operation]:
    async def login(call: Call[LoginRequest]) -> Answer:
        body = call.body
        address, memberships, value = await access.login(
            body.wallet_address, body.nonce, body.signature, call.now
        )
        return Answer(Login(address, [WorkspaceMembership.of(m) for m in memberships]), _cookie(value))

    async def select(call: Call[SelectRequest]) -> Answer:
        try:
            workspace_id = UUID(call.body.workspace_id)
        except ValueError:
            raise InvalidInput("auth:workspaceId") from None
        role, value, token = await access.select(wallet(call), workspace_id, call.now)
        selected = Selected(wallet(call).wallet_address, str(workspace_id), role.name)
        return Answer(selected, _cookie(value), token)

    async def logout(_: Call[None]) -> Answer:
        return Answer(Ok(), _cookie(""))

    async def me(call: Call[None]) -> WalletMe | ApiKeyMe:
        if isinstance(call.principal, ApiKeyPrincipal):
            key = call.principal
            name = await access.workspace_name(key.workspace_id)
            return ApiKeyMe(
                str(key.key_id),
                str(key.workspace_id),
                key.environment,
                sorted(key.scopes),
                WorkspaceName(str(key.workspace_id), *name) if name else None,
                UNSET if key.budget is None else await budget_of(key, key.budget, call.now),
            )
        who = wallet(call)
        return WalletMe(
            who.wallet_address,
            str(who.workspace_id) if who.workspace_id else None,
            who.role.name if who.role is not None else None,
            [WorkspaceMembership.of(m) for m in await access.memberships(who.wallet_address)],
        )

    async def budget_of(key: ApiKeyPrincipal, limits: Limits, now: datetime) -> Budget:
        spent = await access.spent_today([key.key_id], now)
        return Budget.of(limits, spent.get(key.key_id, 0), now)

    async def list_keys(call: Call[None]) -> list[ApiKey]:
        found = await access.list_keys(call.acting)
        spent = await access.spent_today([key.id for key in found if key.budget is not None], call.now)
        return [ApiKey.of(key, spent.get(key.id, 0), call.now) for key in found]

    async def mint(call: Call[MintRequest]) -> ApiKeyCreated:
        body, who = call.body, wallet(call)
        key, plaintext = await access.mint(
            call.acting,
            who.wallet_address,
            body.label,
            body.environment,
            body.scopes,
            call.now,
            None if body.budget is None else body.budget.limits(),
        )
        return ApiKeyCreated.minted(key, plaintext)

    async def revoke(call: Call[None]) -> ApiKey:
        key = await access.revoke(call.acting, call.id("key_id"), call.now)
        spent = await access.spent_today([key.id] if key.budget is not None else [], call.now)
        return ApiKey.of(key, spent.get(key.id, 0), call.now)

    keys = "/workspaces/{workspace_id}/api-keys"
    public, workspace = http.Access.PUBLIC, http.Access.WALLET_WORKSPACE
    return [
        challenge_operation(
            access,
            "/auth/wallet/challenge",
            Purpose.LOGIN,
            tag="Authentication",
            summary="Ask for a challenge to sign in with",
        ),
        Operation(
            method="POST",
            path="/auth/wallet/login",
            handler=login,
            access=public,
            out=Login,
            tag="Authentication",
            summary="Sign in with a signed challenge",
            body=LoginRequest,
            subject="auth",
            errors=(
                NotAuthenticated("auth:nonce"),
                NotAuthenticated("auth:signature"),
                ExternalError,
            ),
        ),
        Operation(
            method="POST",
            path="/auth/workspace/select",
            handler=select,
            access=http.Access.WALLET,
            out=Selected,
            tag="Authentication",
            summary="Pick the workspace to act for",
            body=SelectRequest,
            subject="auth",
            errors=(
                NotAuthorized("auth:member"),
                WorkspaceNotFound,
                AuthzError,
            ),
        ),
        Operation(
            method="POST",
            path="/auth/logout",
            handler=logout,
            access=public,
            out=Ok,
            tag="Authentication",
            summary="Clear the session cookie",
        ),
        Operation(
            method="GET",
            path="/me",
            handler=me,
            access=http.Access.IDENTIFIED,
            out=WalletMe | ApiKeyMe,
            tag="Me",
            summary="Who is calling",
        ),
        Operation(
            method="GET",
            path=keys,
            handler=list_keys,
            access=workspace,
            out=list[ApiKey],
            tag="API keys",
            summary="List the API keys of a workspace",
            workspace_param="workspace_id",
        ),
        Operation(
            method="POST",
            path=keys,
            handler=mint,
            access=workspace,
            out=ApiKeyCreated,
            tag="API keys",
            summary="Mint an API key",
            body=MintRequest,
            subject="apiKey",
            permission=Permission.MANAGE_KEYS,
            workspace_param="workspace_id",
        ),
        Operation(
            method="POST",
            path=keys + "/{key_id}/revoke",
            handler=revoke,
            access=workspace,
            out=ApiKey,
            tag="API keys",
            summary="Revoke an API key",
            permission=Permission.MANAGE_KEYS,
            workspace_param="workspace_id",
            errors=(NotFound("apiKey:id"),),
        ),
    ]


def member_operations(memberships: Memberships) -> list[Operation]:
    async def list_members(call: Call[None]) -> list[Member]:
        return [Member.of(member) for member in await memberships.of_workspace(call.acting)]

    async def put(call: Call[MemberRequest]) -> Answer:
        body = call.body
        member, token = await memberships.put(
            call.acting, wallet(call).wallet_address, body.wallet_address, MemberRole[body.role], call.now
        )
        return Answer(MemberChanged.told(member, token), consistency_token=token)

    async def remove(call: Call[None]) -> Answer:
        member, token = await memberships.remove(
            call.acting, wallet(call).wallet_address, call.path["wallet_address"], call.now
        )
        return Answer(MemberRemoved(True, member.wallet_address, token), consistency_token=token)

    members = "/workspaces/{workspace_id}/members"
    return [
        Operation(
            method="GET",
            path=members,
            handler=list_members,
            access=http.Access.WALLET_WORKSPACE,
            out=list[Member],
            tag="Workspaces",
            summary="List the members of a workspace",
            workspace_param="workspace_id",
        ),
        Operation(
            method="POST",
            path=members,
            handler=put,
            access=http.Access.WALLET_WORKSPACE,
            out=MemberChanged,
            tag="Workspaces",
            summary="Add a member, or change the role of one",
            body=MemberRequest,
            subject="member",
            permission=Permission.MANAGE_MEMBERS,
            workspace_param="workspace_id",
            errors=(Conflict("member:lastOwner"),),
        ),
        Operation(
            method="DELETE",
            path=members + "/{wallet_address}",
            handler=remove,
            access=http.Access.WALLET_WORKSPACE,
            out=MemberRemoved,
            tag="Workspaces",
            summary="Remove a member",
            permission=Permission.MANAGE_MEMBERS,
            workspace_param="workspace_id",
            errors=(
                NotFound("member:wallet"),
                Conflict("member:lastOwner"),
            ),
        ),
    ]
