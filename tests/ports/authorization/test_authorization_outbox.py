"""Changes of members on their way to SpiceDB, and comparing what it holds with the member table."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from authorization_stage import (
    ADMIN,
    ALLOWED,
    MANAGE_MEMBERS,
    NOON,
    OWNER,
    QUICKLY,
    VIEW,
    VIEWER,
    SpiceStage,
    roles,
    wallet,
)
from spicedb_service import TOKEN

from luxxon_core.access.ports import Relation
from luxxon_core.adapters.postgres import outbox as outbox_module
from luxxon_core.adapters.postgres.outbox import PgOutbox, Told
from luxxon_core.adapters.spicedb import authorization as spicedb_module
from luxxon_core.kernel.errors import AuthzError, NotFound
from luxxon_core.kernel.ids import new_id

# -- notes, and who tells them ----------------------------------------------------------------------------


async def test_what_was_committed_before_a_crash_is_told_later(spice: SpiceStage) -> None:
    workspace, owner = await spice.workspace()
    member = wallet()
    spice.relationships.failing = AuthzError("authz:unavailable")
    _, token = await spice.memberships.put(workspace, owner, member, ADMIN, NOON)
    assert token is None
    assert await spice.waiting() == 1
    assert await spice.may(member, workspace) == set()
    with pytest.raises(AuthzError):
        await spice.outbox.apply_outbox(NOON)
    assert await spice.waiting() == 1
    spice.relationships.failing = None
    assert await spice.outbox.apply_outbox(NOON) == 1
    assert await spice.may(member, workspace) == ALLOWED[ADMIN]
    assert await spice.waiting() == 0
    assert await spice.outbox.apply_outbox(NOON) == 0


async def test_nobody_is_refused_whom_the_service_has_not_heard_of(spice: SpiceStage) -> None:
    """As after a busy service kept its writer waiting: the maker of a workspace has been answered by then."""
    workspace, owner = await spice.workspace()
    member, stranger, told = wallet(), wallet(), Told(spice.spicedb, spice.outbox)
    spice.relationships.failing = AuthzError("authz:timeout")
    await spice.memberships.put(workspace, owner, member, ADMIN, NOON)
    with pytest.raises(AuthzError, match="authz:behind"):
        await told.check(member, workspace, VIEW, None)
    assert not (await told.check(stranger, workspace, VIEW, None)).allowed
    spice.relationships.failing = None
    checked = await told.check(member.lower(), workspace, VIEW, None)
    assert checked.allowed and checked.token
    assert await spice.waiting() == 0
    assert not (await told.check(member, workspace, MANAGE_MEMBERS, None)).allowed


async def test_a_change_that_is_rolled_back_is_never_told(spice: SpiceStage) -> None:
    workspace, _ = await spice.workspace()
    member = wallet()
    with pytest.raises(NotFound):
        async with spice.database.begin() as tx:
            await spice.memberships.add_owner(tx, workspace, member, NOON)
            raise NotFound
    await spice.outbox.flush(workspace)
    assert await spice.may(member, workspace) == set()


async def test_a_new_change_waits_for_the_telling_of_an_old_one(spice: SpiceStage) -> None:
    workspace, owner = await spice.workspace()
    member = wallet()
    spice.relationships.gate = asyncio.Event()
    granting = asyncio.create_task(spice.memberships.put(workspace, owner, member, OWNER, NOON))
    await spice.relationships.at_the_gate.wait()
    async with asyncio.timeout(QUICKLY):
        assert await spice.outbox.apply_outbox(NOON) == 0  # another process leaves what is being told alone
        removing = asyncio.create_task(spice.memberships.remove(workspace, owner, member, NOON))
        while member in await roles(spice, workspace):
            await asyncio.sleep(0.01)
        spice.relationships.gate.set()
        (_, granted), (_, removed) = await granting, await removing
    assert granted
    assert removed
    assert await spice.may(member, workspace, removed) == set()
    assert await spice.waiting() == 0


async def test_a_request_does_not_wait_for_ever(spice: SpiceStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "PATIENCE_SECONDS", 0.2)
    workspace, owner = await spice.workspace()
    member = wallet()
    spice.relationships.gate = asyncio.Event()
    async with asyncio.timeout(QUICKLY):
        _, token = await spice.memberships.put(workspace, owner, member, ADMIN, NOON)
    assert token is None
    spice.relationships.gate = None
    assert await spice.outbox.apply_outbox(NOON) == 1
    assert await spice.may(member, workspace) == ALLOWED[ADMIN]


async def test_many_changes_at_once_end_as_the_member_table_says(spice: SpiceStage) -> None:
    workspace, owner = await spice.workspace()
    members = [wallet() for _ in range(4)]
    elsewhere = PgOutbox(spice.database, spice.relationships)
    done = asyncio.Event()

    async def keep_telling(outbox: PgOutbox) -> None:
        while not done.is_set():
            await outbox.apply_outbox(NOON)

    async def change(number: int) -> None:
        member, role = members[number % 4], (VIEWER, ADMIN, OWNER, None)[number * 7 // 4 % 4]
        if role is not None:
            await spice.memberships.put(workspace, owner, member, role, NOON)
        elif member in await roles(spice, workspace):
            try:
                await spice.memberships.remove(workspace, owner, member, NOON)
            except NotFound:
                assert member not in await roles(spice, workspace)

    tellers = [asyncio.create_task(keep_telling(one)) for one in (spice.outbox, elsewhere)]
    await asyncio.gather(*(change(number) for number in range(40)))
    done.set()
    await asyncio.gather(*tellers)
    while await spice.outbox.apply_outbox(NOON):
        pass
    assert await spice.waiting() == 0
    found = await roles(spice, workspace)
    for member in members:
        assert await spice.may(member, workspace) == ALLOWED[found.get(member)]
    assert await spice.outbox.reconcile(NOON) == 0


async def test_a_refused_workspace_holds_no_other_up(spice: SpiceStage) -> None:
    spice.relationships.failing = AuthzError("authz:unavailable")
    (bad, _), (good, owner) = await spice.workspace(), await spice.workspace()
    spice.relationships.failing = None
    spice.relationships.refusing = {bad}
    with pytest.raises(AuthzError, match="authz:refused"):
        await spice.outbox.apply_outbox(NOON)
    assert await spice.may(owner, good) == ALLOWED[OWNER]
    assert await spice.waiting() == 1


# -- comparing --------------------------------------------------------------------------------------------


async def held(spice: SpiceStage) -> set[tuple[UUID, str, str]]:
    """Every relation in SpiceDB."""
    found, cursor = set(), None
    while True:
        page, cursor = await spice.spicedb.page(cursor)
        found |= {(one.workspace_id, one.wallet_address, one.role.name) for one in page if one.role}
        if cursor is None:
            return found


async def said(spice: SpiceStage) -> set[tuple[UUID, str, str]]:
    rows = await spice.rows(
        "select m.workspace_id, lower(m.wallet_address), m.role from workspace_member m "
        "join workspace w on w.id = m.workspace_id where deleted_at is null"
    )
    return {tuple(row.values()) for row in rows}  # type: ignore[misc]


@pytest.mark.parametrize("page", [500, 3])
async def test_differences_are_repaired_both_ways(
    spice: SpiceStage, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "PAGE", page)
    monkeypatch.setattr(spicedb_module, "PAGE", page)
    workspaces = [await spice.workspace() for _ in range(7)]
    for workspace, owner in workspaces:
        await spice.memberships.put(workspace, owner, wallet(), VIEWER, NOON)
    assert await held(spice) == await said(spice)
    (lost, lost_owner), (wrong, wrong_owner), (more, _), (deleted, _), *_ = workspaces
    await spice.spicedb.write(
        [
            Relation(lost, lost_owner, None),  # it forgot one,
            Relation(wrong, wrong_owner, VIEWER),  # has another wrong,
            Relation(more, wallet(), OWNER),  # one that is no member,
            Relation(new_id(), wallet(), OWNER),  # and one of no workspace at all
        ]
    )
    await spice.rows("update workspace set deleted_at = now() where id = $1", deleted)
    assert await spice.outbox.reconcile(NOON, repair=False) == 1 + 2 + 1 + 1 + 2
    assert await held(spice) != await said(spice)
    assert await spice.outbox.reconcile(NOON) >= 6
    assert await held(spice) == await said(spice)
    assert await spice.outbox.reconcile(NOON) == 0
    assert await spice.waiting() == 0


async def test_a_wallet_with_two_roles_keeps_the_one_of_the_table(spice: SpiceStage) -> None:
    from authzed.api import v1

    workspace, owner = await spice.workspace()
    member = wallet()
    await spice.memberships.put(workspace, owner, member, VIEWER, NOON)
    second = v1.RelationshipUpdate(
        operation=v1.RelationshipUpdate.OPERATION_TOUCH,
        relationship=v1.Relationship(
            resource=v1.ObjectReference(object_type="workspace", object_id=str(workspace)),
            relation="owner",
            subject=v1.SubjectReference(
                object=v1.ObjectReference(object_type="user", object_id=member.lower())
            ),
        ),
    )
    metadata = (("authorization", f"Bearer {TOKEN}"),)
    await spice.spicedb._api.WriteRelationships(
        v1.WriteRelationshipsRequest(updates=[second]), metadata=metadata
    )
    assert await spice.may(member, workspace) == ALLOWED[OWNER]
    assert await spice.outbox.reconcile(NOON) == 1
    assert await spice.may(member, workspace) == ALLOWED[VIEWER]
