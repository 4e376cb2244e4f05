"""Endpoints of access (api-contract §3, §6.2, §6.3, §6.5)."""

from __future__ import annotations

from uuid import UUID

from luxxon_core.access.domain import COOKIE_TTL, Purpose
from luxxon_core.access.schemas import (
    ApiKey,
    ApiKeyCreated,
    ApiKeyMe,
    ChallengeRequest,
    ChallengeResponse,
    Login,
    LoginRequest,
    MintRequest,
    Ok,
    Selected,
    SelectRequest,
    WalletMe,
    WorkspaceMembership,
    WorkspaceName,
)
from luxxon_core.access.usecases import Access
from luxxon_core.http import operation as http
from luxxon_core.http.guard import COOKIE
from luxxon_core.http.operation import Answer, Call, Cookie, Operation
from luxxon_core.http.principal import ApiKeyPrincipal, MemberRole, WalletPrincipal
from luxxon_core.kernel.errors import (
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


def challenge_operation(access: Access, path: str, purpose: Purpose) -> Operation:
    async def issue(call: Call[ChallengeRequest]) -> ChallengeResponse:
        return ChallengeResponse.of(await access.challenge(call.body.wallet_address, purpose, call.now))

    return Operation(
        "POST", path, issue, http.Access.PUBLIC, ChallengeResponse, ChallengeRequest, errors=(InvalidInput,)
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
            raise InvalidInput("body:workspaceId") from None
        role, value = await access.select(wallet(call), workspace_id, call.now)
        return Answer(Selected(wallet(call).wallet_address, str(workspace_id), role.name), _cookie(value))

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
            )
        who = wallet(call)
        return WalletMe(
            who.wallet_address,
            str(who.workspace_id) if who.workspace_id else None,
            who.role.name if who.role is not None else None,
            [WorkspaceMembership.of(m) for m in await access.memberships(who.wallet_address)],
        )

    async def list_keys(call: Call[None]) -> list[ApiKey]:
        return [ApiKey.of(key) for key in await access.list_keys(call.acting)]

    async def mint(call: Call[MintRequest]) -> ApiKeyCreated:
        body, who = call.body, wallet(call)
        key, plaintext = await access.mint(
            call.acting, who.wallet_address, body.label, body.environment, body.scopes, call.now
        )
        return ApiKeyCreated.minted(key, plaintext)

    async def revoke(call: Call[None]) -> ApiKey:
        return ApiKey.of(await access.revoke(call.acting, call.id("key_id"), call.now))

    keys = "/workspaces/{workspace_id}/api-keys"
    public, workspace = http.Access.PUBLIC, http.Access.WALLET_WORKSPACE
    return [
        challenge_operation(access, "/auth/wallet/challenge", Purpose.LOGIN),
        Operation(
            "POST", "/auth/wallet/login", login, public, Login, LoginRequest, errors=(NotAuthenticated,)
        ),
        Operation(
            "POST",
            "/auth/workspace/select",
            select,
            http.Access.WALLET,
            Selected,
            SelectRequest,
            errors=(NotAuthorized, WorkspaceNotFound),
        ),
        Operation("POST", "/auth/logout", logout, public, Ok),
        Operation("GET", "/me", me, http.Access.IDENTIFIED, WalletMe | ApiKeyMe),
        Operation("GET", keys, list_keys, workspace, list[ApiKey], workspace_param="workspace_id"),
        Operation(
            "POST",
            keys,
            mint,
            workspace,
            ApiKeyCreated,
            MintRequest,
            role=MemberRole.ADMIN,
            workspace_param="workspace_id",
        ),
        Operation(
            "POST",
            keys + "/{key_id}/revoke",
            revoke,
            workspace,
            ApiKey,
            role=MemberRole.ADMIN,
            workspace_param="workspace_id",
            errors=(NotFound,),
        ),
    ]
