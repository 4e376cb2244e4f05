"""Which change would leave a workspace without an owner."""

from __future__ import annotations

import pytest

from luxxon_core.access.domain import spare_last_owner
from luxxon_core.http.principal import MemberRole
from luxxon_core.kernel.errors import Conflict

OWNER, ADMIN, VIEWER = MemberRole.OWNER, MemberRole.ADMIN, MemberRole.VIEWER


@pytest.mark.parametrize("role", [ADMIN, VIEWER, None])
def test_the_only_owner_is_spared(role: MemberRole | None) -> None:
    with pytest.raises(Conflict, match="member:lastOwner"):
        spare_last_owner(["0xA"], "0xA", role)


@pytest.mark.parametrize(
    ("owners", "wallet", "role"),
    [
        (["0xA"], "0xA", OWNER),
        (["0xA"], "0xB", None),
        (["0xA"], "0xB", OWNER),
        (["0xA", "0xB"], "0xA", None),
        (["0xA", "0xB"], "0xB", VIEWER),
    ],
)
def test_any_other_change_is_fine(owners: list[str], wallet: str, role: MemberRole | None) -> None:
    spare_last_owner(owners, wallet, role)
