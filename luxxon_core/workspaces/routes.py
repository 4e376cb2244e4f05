"""Endpoints of workspaces (api-contract §6.1, §6.4)."""

from __future__ import annotations

from luxxon_core.access.domain import Purpose
from luxxon_core.access.routes import challenge_operation, wallet
from luxxon_core.http.operation import Access, Answer, Call, Operation
from luxxon_core.http.principal import ApiKeyPrincipal, Permission, Scope
from luxxon_core.kernel.errors import (
    Conflict,
    ExternalError,
    InvalidInput,
    NotAuthenticated,
    NotAuthorized,
    WorkspaceNotFound,
)
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
    async def create(call: Call[CreateRequest]) -> Answer:
        body = call.body
        created, token = await cases.create(
            slug=body.slug,
            name=body.name,
            wallet_address=body.wallet_address,
            signature=body.signature,
            nonce=body.nonce,
            roles=body.roles,
            now=call.now,
        )
        return Answer(WorkspaceCreated.told(created, token), consistency_token=token)

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
        challenge_operation(
            cases.access,
            "/workspaces/challenge",
            Purpose.WORKSPACE,
            tag="Workspaces",
            summary="Ask for a challenge to create a workspace with",
        ),
        Operation(
            method="POST",
            path="/workspaces",
            handler=create,
            access=Access.PUBLIC,
            out=WorkspaceCreated,
            tag="Workspaces",
            summary="Create a workspace owned by the signing wallet",
            body=CreateRequest,
            subject="workspace",
            errors=(
                NotAuthenticated("auth:nonce"),
                NotAuthenticated("auth:signature"),
                Conflict("workspace:slugTaken"),
                ExternalError,
            ),
        ),
        Operation(
            method="GET",
            path="/workspaces",
            handler=list_own,
            access=Access.WALLET,
            out=list[WorkspaceOfMember],
            tag="Workspaces",
            summary="List the workspaces of the signed-in wallet",
        ),
        Operation(
            method="GET",
            path=one,
            handler=get,
            access=Access.WORKSPACE,
            out=Workspace,
            tag="Workspaces",
            summary="Read a workspace",
            workspace_param="workspace_id",
            errors=(WorkspaceNotFound,),
        ),
        Operation(
            method="PATCH",
            path=one,
            handler=update,
            access=Access.WORKSPACE,
            out=Workspace,
            tag="Workspaces",
            summary="Rename, set coverage, go ONLINE or OFFLINE",
            body=PatchRequest,
            subject="workspace",
            scopes=(Scope.SESSIONS_OPERATE,),
            permission=Permission.OPERATE,
            workspace_param="workspace_id",
            errors=(
                InvalidInput("workspace:coverageRequired"),
                NotAuthorized("workspace:name"),
                NotAuthorized("session:notSupplier"),
                WorkspaceNotFound,
            ),
        ),
        Operation(
            method="GET",
            path="/coverage",
            handler=coverage,
            access=Access.PUBLIC,
            out=list[CoverageEntry],
            tag="Coverage",
            summary="Circles in which live suppliers can be asked for",
        ),
    ]
