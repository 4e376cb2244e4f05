"""Checks, writes and comparisons of relationships in SpiceDB."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from luxxon_core.access.ports import Relation
from luxxon_core.adapters.spicedb.client import Connection, Refused
from luxxon_core.adapters.spicedb.schema import same_schema, schema_text
from luxxon_core.http.guard import Checked
from luxxon_core.http.principal import MemberRole, Permission
from luxxon_core.kernel.errors import AuthzError, StartError

if TYPE_CHECKING:
    from authzed.api import v1

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 1.5
START_SECONDS = 15.0
PAGE_SECONDS = 10.0
PAGE = 500
BATCH = 300
"""Relations a write: three updates each, and SpiceDB takes 1,000 of them."""
CHANGED_SECONDS = 60.0
"""Far longer than any revision that SpiceDB still answers from unasked; its default is five seconds."""
_TOKEN = re.compile(r"[A-Za-z0-9+/=_-]{1,512}")
_WALLET = re.compile("0x[0-9a-f]{40}")
_UNDER_SUSPICION = {"UNAUTHENTICATED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"}
"""Refusals that no consistency token is to blame for."""


class SpiceDb:
    """Implements the guard's ``Authorizer`` and the access slice's ``Relationships``.

    A wallet is the object ``user:<address in lower case>``; its role in a workspace is the one relation of
    that name. To be made inside a running event loop; the arguments are those of
    :class:`~luxxon_core.adapters.spicedb.client.Connection`.
    """

    def __init__(
        self,
        endpoint: str,
        token: str,
        *,
        plaintext: bool = False,
        ca: bytes | None = None,
        timeout_s: float = TIMEOUT_SECONDS,
    ) -> None:
        self._connection = Connection(endpoint, token, plaintext=plaintext, ca=ca, timeout_s=timeout_s)
        self._api = self._connection.api
        self._changed: dict[UUID, float] = {}

    async def start(self, timeout_s: float = START_SECONDS) -> None:
        """See to it that SpiceDB is there and knows our schema.

        Raises:
            StartError: it cannot be reached, or refuses the token or the schema.
        """
        where = f"SpiceDB at {self._connection.endpoint}"
        try:
            await self._agree(timeout_s, wait=True)
        except Refused as error:
            raise StartError("authz:refused", f"{where} refuses: {error.reason}") from error
        except AuthzError as error:
            raise StartError("authz:unavailable", f"{where} cannot be reached") from error

    async def close(self) -> None:
        await self._connection.close()

    async def check(
        self, wallet_address: str, workspace_id: UUID, permission: Permission, token: str | None
    ) -> Checked:
        """Whether SpiceDB grants the permission.

        A token lets SpiceDB answer from a revision some seconds old, as long as the token is older still; and
        clients keep sending the last one they got. So it counts only where that does no harm: for ``view``,
        when this process has not just changed the workspace, and never to refuse. All else is read as fresh
        as can be, which is as fresh as any token asks.
        """
        from authzed.api import v1

        fresh = v1.Consistency(fully_consistent=True)
        wanted = fresh
        hint = _TOKEN.fullmatch(token or "")
        if hint and permission is Permission.VIEW and not self._just_changed(workspace_id):
            wanted = v1.Consistency(at_least_as_fresh=v1.ZedToken(token=hint.group()))
        workspace, user = _workspace(workspace_id), _user(wallet_address)

        async def ask(consistency: v1.Consistency) -> v1.CheckPermissionResponse:
            request = v1.CheckPermissionRequest(
                consistency=consistency, resource=workspace, permission=permission.value, subject=user
            )
            return await self._connection.call(partial(self._api.CheckPermission, request))

        granted = v1.CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
        if wanted is not fresh:
            try:
                answer = await ask(wanted)
            except Refused as error:  # what the client sent for a token may be none of this database's
                if error.grpc_status in _UNDER_SUSPICION:
                    raise
            else:
                if answer.permissionship == granted:
                    return Checked(True, answer.checked_at.token)
        answer = await ask(fresh)
        return Checked(answer.permissionship == granted, answer.checked_at.token)

    def _just_changed(self, workspace_id: UUID) -> bool:
        changed = self._changed.get(workspace_id)
        return changed is not None and asyncio.get_running_loop().time() - changed < CHANGED_SECONDS

    # -- relationships ----------------------------------------------------------------------------

    async def prepare(self) -> None:
        """A SpiceDB that lost its data lost the schema too."""
        await self._agree(PAGE_SECONDS, wait=False)

    async def write(self, relations: Sequence[Relation]) -> str:
        from authzed.api import v1

        now = asyncio.get_running_loop().time()
        self._changed = {one: at for one, at in self._changed.items() if now - at < CHANGED_SECONDS}
        self._changed |= {relation.workspace_id: now for relation in relations}
        token = ""
        for start in range(0, max(len(relations), 1), BATCH):
            updates = [one for relation in relations[start : start + BATCH] for one in _updates(relation)]
            request = v1.WriteRelationshipsRequest(updates=updates)
            answer = await self._connection.call(partial(self._api.WriteRelationships, request))
            token = answer.written_at.token
        return token

    async def page(self, cursor: str | None) -> tuple[list[Relation], str | None]:
        from authzed.api import v1

        request = v1.ReadRelationshipsRequest(
            consistency=v1.Consistency(fully_consistent=True),
            relationship_filter=v1.RelationshipFilter(resource_type="workspace"),
            optional_limit=PAGE,
            optional_cursor=v1.Cursor(token=cursor) if cursor is not None else None,
        )
        found, answers, last = [], 0, None
        async for answer in self._connection.stream(self._api.ReadRelationships, request, PAGE_SECONDS):
            answers, last = answers + 1, answer.after_result_cursor.token
            if (relation := _relation(answer.relationship)) is not None:
                found.append(relation)
        return found, last if answers == PAGE else None

    async def lacking(self, relations: Sequence[Relation]) -> list[Relation]:
        from authzed.api import v1

        held = [(one, _name(one.role)) for one in relations if one.role is not None]
        items = [
            v1.CheckBulkPermissionsRequestItem(
                resource=_workspace(one.workspace_id),
                permission=name,  # a relation can be checked as a permission is
                subject=_user(one.wallet_address),
            )
            for one, name in held
        ]
        request = v1.CheckBulkPermissionsRequest(
            consistency=v1.Consistency(fully_consistent=True), items=items
        )
        answer = await self._connection.call(partial(self._api.CheckBulkPermissions, request), PAGE_SECONDS)
        granted = v1.CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
        return [
            one
            for (one, _), pair in zip(held, answer.pairs, strict=True)
            if pair.item.permissionship != granted
        ]

    async def _agree(self, timeout_s: float, *, wait: bool) -> None:
        from authzed.api import v1

        known = ""
        read = partial(self._api.ReadSchema, v1.ReadSchemaRequest(), wait_for_ready=wait)
        try:
            known = (await self._connection.call(read, timeout_s)).schema_text
        except Refused as error:
            if error.grpc_status != "NOT_FOUND":
                raise
        if same_schema(known, schema_text()):
            return
        log.info("writing the permission schema", new=not known)
        write = partial(self._api.WriteSchema, v1.WriteSchemaRequest(schema=schema_text()))
        await self._connection.call(write, timeout_s)


def _updates(relation: Relation) -> Iterable[v1.RelationshipUpdate]:
    """What makes the relation true and every other of the wallet in the workspace untrue."""
    from authzed.api import v1

    touch, delete = v1.RelationshipUpdate.OPERATION_TOUCH, v1.RelationshipUpdate.OPERATION_DELETE
    workspace, user = _workspace(relation.workspace_id), _user(relation.wallet_address)
    for role in MemberRole:
        yield v1.RelationshipUpdate(
            operation=touch if role is relation.role else delete,
            relationship=v1.Relationship(resource=workspace, relation=_name(role), subject=user),
        )


def _relation(found: v1.Relationship) -> Relation | None:
    """A relationship as we write them; None for what others may have put beside ours."""
    roles = {_name(role): role for role in MemberRole}
    wallet, role = found.subject.object.object_id, roles.get(found.relation)
    try:
        workspace_id = UUID(found.resource.object_id)
    except ValueError:
        return None
    ours = role is not None and _WALLET.fullmatch(wallet) and str(workspace_id) == found.resource.object_id
    return Relation(workspace_id, wallet, role) if ours else None


def _name(role: MemberRole) -> str:
    return role.name.lower()


def _workspace(workspace_id: UUID) -> v1.ObjectReference:
    from authzed.api import v1

    return v1.ObjectReference(object_type="workspace", object_id=str(workspace_id))


def _user(wallet_address: str) -> v1.SubjectReference:
    from authzed.api import v1

    user = v1.ObjectReference(object_type="user", object_id=wallet_address.lower())
    return v1.SubjectReference(object=user)
