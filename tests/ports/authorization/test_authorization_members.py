"""The rules of members: the last owner stays, whoever acts at once."""

from __future__ import annotations

import asyncio

import pytest
from authorization_stage import ADMIN, ALLOWED, NOON, OWNER, VIEWER, Stage, roles, wallet

from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.postgres.permissions import MemberTable, Rules
from luxxon_core.adapters.spicedb.schema import schema_text
from luxxon_core.kernel.errors import Conflict, NotAuthorized, NotFound


async def test_adding_twice_is_adding_once(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    member = wallet()
    first, _ = await stage.memberships.put(workspace, owner, member, ADMIN, NOON)
    again, _ = await stage.memberships.put(workspace, owner, member, ADMIN, NOON.replace(hour=13))
    assert again == first
    assert await roles(stage, workspace) == {owner: OWNER, member: ADMIN}


async def test_the_last_owner_stays(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    for role in (ADMIN, VIEWER):
        with pytest.raises(Conflict, match="member:lastOwner"):
            await stage.memberships.put(workspace, owner, owner.lower(), role, NOON)
    with pytest.raises(Conflict, match="member:lastOwner"):
        await stage.memberships.remove(workspace, owner, owner, NOON)
    second = wallet()
    await stage.memberships.put(workspace, owner, second, OWNER, NOON)
    await stage.memberships.remove(workspace, owner, owner, NOON)
    assert await roles(stage, workspace) == {second: OWNER}
    assert await stage.may(owner, workspace) == set()


async def test_whoever_is_no_member_cannot_be_removed(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    for unknown in (wallet(), "nobody", ""):
        with pytest.raises(NotFound, match="member:wallet"):
            await stage.memberships.remove(workspace, owner, unknown, NOON)


async def test_two_owners_who_remove_each_other_at_once_leave_one(stage: Stage) -> None:
    for _ in range(8):
        workspace, first = await stage.workspace()
        second = wallet()
        await stage.memberships.put(workspace, first, second, OWNER, NOON)
        done = await asyncio.gather(
            stage.memberships.remove(workspace, first, second, NOON),
            stage.memberships.remove(workspace, second, first, NOON),
            return_exceptions=True,
        )
        (lost,) = [one for one in done if isinstance(one, BaseException)]
        assert isinstance(lost, Conflict)
        ((left, role),) = (await roles(stage, workspace)).items()
        assert role is OWNER
        assert await stage.may(left, workspace) == ALLOWED[OWNER]
        assert await stage.may(second if left == first else first, workspace) == set()


async def test_an_owner_who_is_removed_meanwhile_removes_nobody(stage: Stage) -> None:
    workspace, first = await stage.workspace()
    second, third = wallet(), wallet()
    for member in (second, third):
        await stage.memberships.put(workspace, first, member, OWNER, NOON)
    done = await asyncio.gather(
        stage.memberships.remove(workspace, first, second, NOON),
        stage.memberships.remove(workspace, second, first, NOON),
        return_exceptions=True,
    )
    (lost,) = [one for one in done if isinstance(one, BaseException)]
    assert isinstance(lost, NotAuthorized)
    assert len(await roles(stage, workspace)) == 2


async def test_owners_who_all_step_down_at_once_leave_one(stage: Stage) -> None:
    workspace, first = await stage.workspace()
    owners = [first, *(wallet() for _ in range(5))]
    for owner in owners[1:]:
        await stage.memberships.put(workspace, first, owner, OWNER, NOON)
    done = await asyncio.gather(
        *(stage.memberships.put(workspace, owner, owner, VIEWER, NOON) for owner in owners),
        return_exceptions=True,
    )
    (lost,) = [one for one in done if isinstance(one, BaseException)]
    assert isinstance(lost, Conflict)
    found = await roles(stage, workspace)
    assert sorted(found.values()) == [VIEWER] * 5 + [OWNER]
    assert {who: await stage.may(who, workspace) for who in owners} == {
        who: ALLOWED[role] for who, role in found.items()
    }


async def test_the_member_table_needs_no_notes(database: Database) -> None:
    table = MemberTable(database, Rules.parse(schema_text()))
    stage = Stage(database, table, table)
    workspace, owner = await stage.workspace()
    await stage.memberships.put(workspace, owner, wallet(), VIEWER, NOON)
    assert await stage.waiting() == 0


async def test_a_deleted_workspace_has_no_members_in_the_table(database: Database) -> None:
    table = MemberTable(database, Rules.parse(schema_text()))
    stage = Stage(database, table, table)
    workspace, owner = await stage.workspace()
    await stage.rows("update workspace set deleted_at = now() where id = $1", workspace)
    assert await stage.may(owner, workspace) == set()
