"""The permission schema as the embedded authorizer reads it."""

from __future__ import annotations

import re

import pytest

from luxxon_core.adapters.postgres.permissions import Rules
from luxxon_core.adapters.spicedb.schema import same_schema, schema_text
from luxxon_core.http.principal import MemberRole, Permission
from luxxon_core.kernel.errors import StartError

OWNER, ADMIN, VIEWER = MemberRole.OWNER, MemberRole.ADMIN, MemberRole.VIEWER


def test_the_schema_says_what_the_contract_says() -> None:
    assert Rules.parse(schema_text()).roles == {
        Permission.VIEW: {VIEWER, ADMIN, OWNER},
        Permission.OPERATE: {ADMIN, OWNER},
        Permission.MANAGE_KEYS: {ADMIN, OWNER},
        Permission.MANAGE_MEMBERS: {OWNER},
    }


def test_a_permission_may_be_made_of_others() -> None:
    schema = schema_text().replace("view = viewer + admin + owner", "view = operate + viewer")
    schema = schema.replace("operate = admin + owner", "operate = manage_members + admin")
    assert Rules.parse(schema) == Rules.parse(schema_text())


def test_what_the_schema_grants_is_what_is_granted() -> None:
    schema = schema_text().replace("operate = admin + owner", "operate = owner")
    assert Rules.parse(schema).roles[Permission.OPERATE] == {OWNER}


def test_comments_and_layout_say_nothing() -> None:
    schema = "/* who\n may what */" + schema_text().replace("\n", " // a note {\n\n")
    assert Rules.parse(schema) == Rules.parse(schema_text())
    assert same_schema(schema, schema_text())
    assert not same_schema(schema_text().replace("admin + owner", "admin"), schema_text())


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("admin + owner", "admin & owner", r"line 7: '&'"),
        ("admin + owner", "admin - owner", r"line 7: '-'"),
        ("admin + owner", "(admin + owner)", r"line 7: '\('"),
        ("admin + owner", "owner->view", r"line 7: '-'"),
        ("owner: user", "owner: user | workspace", r"line 4: '\|'"),
        ("owner: user", "owner: user:*", r"line 4: '\*'"),
        ("owner: user", "owner: user#member", r"line 4: '#'"),
        ("owner: user", "owner: workspace", "only a user"),
        ("owner: user", "owner: user with caveat", "'with' stands where"),
        ("admin + owner", "admin +", "stands where|not defined"),
        ("admin + owner", "admin owner", "'owner' stands where"),
        ("manage_members = owner", "manage_members = stranger", "stranger is not defined"),
        ("manage_members = owner", "manage_members = manage_members", "defined by itself"),
        ("manage_members = owner", "manage_all = owner", "no permission manage_members"),
        ("manage_members = owner", "view = owner", "'view' stands where a new name should"),
        ("relation viewer: user", "relation guest: user", "the relations of a workspace must be"),
        ("definition user {}", "definition user { relation friend: user }", "user with nothing in it"),
        ("definition user {}", "", "user with nothing in it"),
        ("definition user {}", "definition user {} caveat late() { true }", r"line 1: '\('"),
        ("}\n", "", "the end"),
        ("workspace", "place", "it must define workspace"),
    ],
)
def test_what_is_not_understood_is_refused(old: str, new: str, reason: str) -> None:
    schema = schema_text()
    assert old in schema
    schema = schema[:-2] if (old, new) == ("}\n", "") else schema.replace(old, new)
    with pytest.raises(StartError) as caught:
        Rules.parse(schema)
    assert re.search(reason, caught.value.message)
    assert "\n" not in caught.value.message
