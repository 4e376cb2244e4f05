"""Workspaces and their members by commands, against a running marketplace."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from twin_stage import Market, Shell, market_in

from luxxon_core.client.wallet import LocalWallet

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOMEBODY = "0x" + "aB" * 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    async with market_in(tmp_path_factory.mktemp("workspaces")) as opened:
        yield opened


@pytest.fixture
def owner(market: Market) -> Shell:
    return market.wallet_shell(LocalWallet.create())


async def test_a_workspace_is_made_shown_and_renamed(owner: Shell) -> None:
    slug = "of-the-twins"
    made = (await owner.says("workspace", "create", slug, "--role", "CONSUMER")).strip()
    told = await owner.told("workspace", "show")
    assert (told["id"], told["slug"], told["name"], told["roles"], told["role"]) == (
        *(made, slug, slug),
        *(["CONSUMER"], "OWNER"),
    )
    assert (await owner.told("workspace", "rename", "Zwillinge"))["name"] == "Zwillinge"
    assert await owner.says("workspace", "rename", "Twins & Co") == f"{slug}: Twins & Co\n"
    lines = (await owner.says("workspace", "show")).splitlines()
    shown = dict(line.split(None, 1) for line in lines)
    assert (shown["id"], shown["name"], shown["covers"]) == (made, "Twins & Co", "–")
    assert "your role OWNER" in lines
    head, line = (await owner.says("workspace", "list")).splitlines()
    assert head.split("  ")[0] == "ID"
    assert line.split(None, 4) == [made, slug, "OWNER", "OFFLINE", "Twins & Co"]
    assert [one["id"] for one in await owner.told("workspace", "list")] == [made]


async def test_a_new_workspace_is_on_both_sides_unless_told_otherwise(owner: Shell) -> None:
    made = await owner.told("workspace", "create", "both-sides", "--name", "Both")
    assert (made["roles"], made["name"]) == (["CONSUMER", "SUPPLIER"], "Both")


async def test_a_script_starts_from_nothing(owner: Shell) -> None:
    """As the console's first start does: a workspace, test money, a pool, a key."""
    await owner.says("workspace", "create", "from-nothing")
    given = await owner.told("wallet", "faucet")
    assert (given["usdc"], given["ethWei"]) == ("100000000", str(10**18))
    assert await owner.says("wallet", "faucet") == f"{given['address']}: 200.000000 USDC\n"
    await owner.says("wallet", "top-up", "2", "--yes")
    key = (await owner.says("keys", "mint", "first")).strip()
    assert await owner.having(LUXXON_API_KEY=key).told("sessions", "list") == []


async def test_of_several_workspaces_one_is_named(owner: Shell) -> None:
    for slug in ("first-one", "second-one"):
        await owner.says("workspace", "create", slug)
    assert "first-one, second-one" in await owner.refused("workspace", "show")
    assert (await owner.told("workspace", "show", "--workspace", "second-one"))["slug"] == "second-one"
    assert "--workspace" in await owner.refused("workspace", "members", "list", "--workspace", "another")


async def test_what_is_no_workspace_is_one_line(owner: Shell, market: Market) -> None:
    assert "none" in await owner.refused("workspace", "show")
    await owner.refused("workspace", "create", "NO")
    await owner.refused("workspace", "create", market.consumer.name)
    await owner.says("workspace", "create", "renamed-badly")
    await owner.refused("workspace", "rename", " ")
    await owner.refused("workspace", "create", "of-nobody", "--role", "KING")
    assert "luxxon wallet new" in await owner.having(LUXXON_WALLET="/nowhere.json").refused(
        "workspace", "list"
    )


async def test_members_come_change_and_go(owner: Shell, market: Market) -> None:
    await owner.says("workspace", "create", "of-members")
    friend = LocalWallet.create()
    added = await owner.told("workspace", "members", "add", friend.address.lower())
    assert (added["walletAddress"], added["role"]) == (friend.address, "VIEWER")
    guest = market.wallet_shell(friend)
    assert (await guest.told("workspace", "show"))["role"] == "VIEWER"
    assert await owner.says("workspace", "members", "role", friend.address, "ADMIN") == (
        f"{friend.address}: ADMIN\n"
    )
    members = await owner.told("workspace", "members", "list")
    assert {one["walletAddress"]: one["role"] for one in members}[friend.address] == "ADMIN"
    head, *lines = (await owner.says("workspace", "members", "list")).splitlines()
    assert head.split() == ["ADDRESS", "ROLE", "ADDED", "(UTC)"]
    assert [line.split()[1] for line in lines if friend.address in line] == ["ADMIN"]
    gone = await owner.told("workspace", "members", "remove", friend.address, "--yes")
    assert (gone["removed"], gone["walletAddress"]) == (True, friend.address)
    assert "none" in await guest.refused("workspace", "show")


async def test_nobody_becomes_less_by_being_added_again(owner: Shell) -> None:
    await owner.says("workspace", "create", "added-twice")
    await owner.says("workspace", "members", "add", SOMEBODY, "--role", "OWNER")
    assert "is OWNER already" in await owner.refused("workspace", "members", "add", SOMEBODY)
    await owner.says("workspace", "members", "add", SOMEBODY, "--role", "OWNER")
    stranger = "0x" + "12" * 20
    assert "is no member" in await owner.refused("workspace", "members", "role", stranger, "ADMIN")
    assert len(await owner.told("workspace", "members", "list")) == 2


async def test_the_last_owner_stays(owner: Shell) -> None:
    await owner.says("workspace", "create", "last-owner")
    ((me,),) = [[one["walletAddress"] for one in await owner.told("workspace", "members", "list")]]
    await owner.refused("workspace", "members", "remove", me, "--yes")
    await owner.refused("workspace", "members", "role", me, "ADMIN")
    assert len(await owner.told("workspace", "members", "list")) == 1


async def test_who_has_no_right_is_refused_in_one_line(owner: Shell, market: Market) -> None:
    await owner.says("workspace", "create", "no-rights")
    friend = LocalWallet.create()
    await owner.says("workspace", "members", "add", friend.address)
    guest = market.wallet_shell(friend)
    assert len(await guest.told("workspace", "members", "list")) == 2
    await guest.refused("workspace", "rename", "Mine")
    await guest.refused("workspace", "members", "add", SOMEBODY)
    await guest.refused("workspace", "members", "role", friend.address, "OWNER")
    assert (await owner.told("workspace", "show"))["name"] == "no-rights"


async def test_nobody_is_removed_without_a_yes(owner: Shell) -> None:
    await owner.says("workspace", "create", "unasked")
    await owner.says("workspace", "members", "add", SOMEBODY)
    code, out, err = await owner("workspace", "members", "remove", SOMEBODY)
    assert (code, out) == (130, "")
    assert SOMEBODY in err
    assert len(await owner.told("workspace", "members", "list")) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("members", "add", "0x12"), "40 hexadecimal digits"),
        (("members", "add", "alice"), "40 hexadecimal digits"),
        (("members", "add", SOMEBODY, "--role", "KING"), "KING"),
        (("members", "role", SOMEBODY, "viewer"), "viewer"),
        (("members", "remove"), "ADDRESS"),
        (("rename",), "NAME"),
    ],
)
async def test_wrong_input_is_one_line(owner: Shell, arguments: tuple[str, ...], words: str) -> None:
    assert words in await owner.refused("workspace", *arguments)
