"""Who may do what: SpiceDB and the member table give the same answers."""

from __future__ import annotations

import pytest
from authorization_stage import (
    ADMIN,
    ALLOWED,
    NOON,
    OWNER,
    VIEW,
    VIEWER,
    SpiceStage,
    Stage,
    spice_stage,
    wallet,
)
from spicedb_service import SpiceDbService

from luxxon_core.http.principal import Permission
from luxxon_core.kernel.ids import new_id


async def test_each_role_may_what_the_schema_says_and_a_stranger_nothing(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    members = {OWNER: owner, ADMIN: wallet(), VIEWER: wallet(), None: wallet()}
    for role in (ADMIN, VIEWER):
        await stage.memberships.put(workspace, owner, members[role], role, NOON)
    assert {role: await stage.may(who, workspace) for role, who in members.items()} == ALLOWED


async def test_a_role_counts_in_its_own_workspace_only(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    other, _ = await stage.workspace()
    assert await stage.may(owner, other) == set()
    assert await stage.may(owner, new_id()) == set()
    assert await stage.may(owner, workspace) == ALLOWED[OWNER]


async def test_an_address_is_the_same_in_any_letter_case(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    admin = wallet()
    await stage.memberships.put(workspace, owner, admin.lower(), ADMIN, NOON)
    await stage.memberships.put(workspace, owner, "0x" + admin[2:].upper(), VIEWER, NOON)
    assert [one.wallet_address for one in await stage.memberships.of_workspace(workspace)] == sorted(
        [owner, admin]
    )
    for form in (admin, admin.lower(), "0x" + admin[2:].upper()):
        assert await stage.may(form, workspace) == ALLOWED[VIEWER]


@pytest.mark.parametrize("sent", ["none", "new", "old"])
async def test_a_change_is_seen_at_once(stage: Stage, sent: str) -> None:
    workspace, owner = await stage.workspace()
    member = wallet()
    _, old = await stage.memberships.put(workspace, owner, member, VIEWER, NOON)

    async def now_may(token: str | None) -> set[Permission]:
        return await stage.may(member, workspace, {"none": None, "new": token, "old": old}[sent])

    for role in (VIEWER, ADMIN, OWNER, ADMIN, VIEWER):
        _, token = await stage.memberships.put(workspace, owner, member, role, NOON)
        assert token is not None
        assert await now_may(token) == ALLOWED[role]
    await stage.memberships.put(workspace, owner, member, OWNER, NOON)
    _, token = await stage.memberships.remove(workspace, owner, member, NOON)
    assert token is not None
    assert await now_may(token) == set()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "no token",
        "aGVsbG8=",
        "GhUKEzE2NzA4NzQ5OTAwMDAwMDAwMDA=",
        "GhUKEzk2NzA4NzQ5OTAwMDAwMDAwMDA=",
        "GgYKBDEyMzQ=",
        "eGlkIDEyMzQ=",
        "A" * 500,
        "A" * 10_000,
        "é\udcff\x00",
    ],
    ids=["empty", "text", "base64", "past", "future", "foreign", "ours", "long", "10 kB", "bytes"],
)
async def test_a_token_that_is_none_of_ours_harms_nothing(stage: Stage, token: str) -> None:
    workspace, owner = await stage.workspace()
    assert await stage.may(wallet(), workspace, token) == set()
    assert await stage.may(owner, workspace, token) == ALLOWED[OWNER]
    answer = await stage.authorizer.check(owner, workspace, VIEW, token)
    assert answer.token


async def test_another_process_refuses_nobody_for_an_old_token_and_lets_nobody_act(
    spice: SpiceStage, engine: SpiceDbService
) -> None:
    """It knows nothing of what this one has just written."""
    workspace, owner = await spice.workspace()
    member = wallet()
    old = (await spice.authorizer.check(owner, workspace, VIEW, None)).token
    async with spice_stage(spice.database, engine.endpoint) as other:
        for token in (old, "GhUKEzE2NzA4NzQ5OTAwMDAwMDAwMDA=", "GgYKBDEyMzQ="):
            _, granted = await spice.memberships.put(workspace, owner, member, ADMIN, NOON)
            assert await other.may(member, workspace, token) == ALLOWED[ADMIN]
            assert await other.may(owner, workspace, token) == ALLOWED[OWNER]
            _, new = await spice.memberships.remove(workspace, owner, member, NOON)
            assert await other.may(member, workspace, token) <= {VIEW}
            assert await other.may(member, workspace, granted) <= {VIEW}
            assert await other.may(member, workspace, new) == set()


async def test_tokens_are_short_printable_text(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    _, written = await stage.memberships.put(workspace, owner, wallet(), VIEWER, NOON)
    checked = (await stage.authorizer.check(owner, workspace, VIEW, None)).token
    for token in (written, checked):
        assert token is not None
        assert 0 < len(token) < 200
        assert token.isascii()
        assert token.isprintable()
