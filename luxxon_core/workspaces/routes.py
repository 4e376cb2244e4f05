"""Endpoints of workspaces (api-contract §6.1, §6.4)."""

from __future__ import annotations

from luxxon_core.access.domain import Purpose
from luxxon_core.access.routes import challenge_operation, wallet
from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.principal import ApiKeyPrincipal, MemberRole, Scope
from luxxon_core.kernel.errors import Conflict, NotAuthenticated, NotAuthorized, WorkspaceNotFound
from luxxon_core.workspaces.schemas import (
    CoverageEntry,
    CreateRequest,
    PatchRequest,
    Workspace,
    WorkspaceCreated,
    WorkspaceOfMember,
)
from luxxon_core.workspaces.usecases import WorkspaceCases


def operations(cases: WorkspaceCases) -> list[Operation]:
    async def create(call: Call[CreateRequest]) -> WorkspaceCreated:
        body = call.body
        created = await cases.create(
            slug=body.slug,
            name=body.name,
            wallet_address=body.wallet_address,
            signature=body.signature,
            nonce=body.nonce,
            roles=body.roles,
            now=call.now,
        )
        return WorkspaceCreated.of(created)

    async def list_own(call: Call[None]) -> list[WorkspaceOfMember]:
        found = await cases.of_wallet(wallet(call).wallet_address)
        return [WorkspaceOfMember.with_role(workspace, role) for workspace, role in found]

    async def get(call: Call[None]) -> Workspace:
        return Workspace.of(await cases.get(call.acting))

    async def update(call: Call[PatchRequest]) -> Workspace:
        if isinstance(call.principal, ApiKeyPrincipal) and call.body.name is not None:
            raise NotAuthorized("workspace:name")
        return Workspace.of(await cases.update(call.acting, call.body.to_domain(), call.now))

    async def coverage(_: Call[None]) -> list[CoverageEntry]:
        return [
            CoverageEntry(w.coverage.center.lat, w.coverage.center.lng, w.coverage.radius_m, w.device_kind)
            for w in await cases.coverage()
            if w.coverage is not None
        ]

    one = "/workspaces/{workspace_id}"
    return [
        challenge_operation(cases.access, "/workspaces/challenge", Purpose.WORKSPACE),
        Operation(
            "POST",
            "/workspaces",
            create,
            Access.PUBLIC,
            WorkspaceCreated,
            CreateRequest,
            errors=(NotAuthenticated, Conflict),
        ),
        Operation("GET", "/workspaces", list_own, Access.WALLET, list[WorkspaceOfMember]),
        Operation(
            "GET",
            one,
            get,
            Access.WORKSPACE,
            Workspace,
            workspace_param="workspace_id",
            errors=(WorkspaceNotFound,),
        ),
        Operation(
            "PATCH",
            one,
            update,
            Access.WORKSPACE,
            Workspace,
            PatchRequest,
            scopes=(Scope.SESSIONS_OPERATE,),
            role=MemberRole.ADMIN,
            workspace_param="workspace_id",
            errors=(WorkspaceNotFound,),
        ),
        Operation("GET", "/coverage", coverage, Access.PUBLIC, list[CoverageEntry]),
    ]
