"""The Workspace screen: its name, who acts in it, with which keys and cameras, and where events are sent."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.events import DescendantBlur, DescendantFocus

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui import format as fmt
from luxxon_tui.actions import action
from luxxon_tui.rows import EMPTY, Row, Span, row
from luxxon_tui.screens import workspace_panels as panels
from luxxon_tui.screens.pane import Empty, ScreenPane, Thing
from luxxon_tui.screens.workspace_cards import MintCard, Minting, SecretCard
from luxxon_tui.screens.workspace_devices import read_devices
from luxxon_tui.screens.workspace_panels import Device
from luxxon_tui.screens.workspace_webhooks import ACTIONS, STYLE, Webhooks
from luxxon_tui.store import Readiness
from luxxon_tui.widgets.ask import Ask
from luxxon_tui.widgets.choose import Choose
from luxxon_tui.widgets.field import NAME_LENGTH
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.question import Question
from luxxon_tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from luxxon_core.access.schemas import ApiKey, Member
    from luxxon_core.client import Luxxon

ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")


class WorkspaceScreen(ScreenPane):
    """Facts and members, API keys and devices: beside each other, or below each other where it is narrow."""

    NAME = "Workspace"
    WATCHES = ("workspace",)
    PARTS = (RowList,)
    CSS = (
        STYLE
        + """
    WorkspaceScreen #split { height: 1fr; }
    WorkspaceScreen #left { width: 50; height: 1fr; }
    WorkspaceScreen #right { width: 1fr; height: 1fr; margin-left: 3; }
    WorkspaceScreen.-narrow #split { layout: vertical; }
    WorkspaceScreen.-narrow #left { width: 1fr; height: 10; }
    WorkspaceScreen.-narrow #right { width: 1fr; margin-left: 0; }
    WorkspaceScreen #facts { margin-bottom: 1; }
    WorkspaceScreen RowList { height: 1fr; margin-bottom: 1; }
    WorkspaceScreen.-narrow #devices { height: 2; margin-bottom: 0; }
    WorkspaceScreen.-wide #devices { height: 8; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        action("workspace.rename", "n", "rename", "Give the workspace another name"),
        action("workspace.mint", "m", "mint key", "Mint an API key; its plaintext is shown once"),
        action("workspace.remove", "x", "revoke", "Revoke the chosen key, or remove the chosen member; asks"),
        action("workspace.add", "a", "add member", "Make a wallet a member"),
        action("workspace.role", "o", "role", "Give the chosen member another role"),
        action("workspace.copy", "c", "copy", "Copy the chosen member's address, or the key's id", show=False,
               do="copy_chosen"),
        action("workspace.copy_id", "i", "copy id", "Copy the workspace's id", show=False),
        *ACTIONS,
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._members: tuple[Member, ...] | None = None
        self._keys: tuple[ApiKey, ...] | None = None
        self._devices: tuple[Device, ...] | None = None
        self._faults = {"members": "", "keys": "", "devices": ""}
        self._read_for: object = None
        self._lists_of: object = None
        """Who the lists were read as, last."""

    def body(self) -> ComposeResult:
        with Horizontal(id="split"):
            with Vertical(id="left"):
                yield Lines(id="facts")
                yield Lines(id="members-head")
                yield RowList(id="members")
            with Vertical(id="right"):
                yield Lines(id="keys-head")
                yield RowList(id="keys")
                yield Lines(id="budget")
                yield Lines(id="devices-head")
                yield RowList(id="devices")
                yield Lines(id="webhooks-line")
            yield Webhooks()

    # -- what it shows

    @property
    def list_in_focus(self) -> str:
        """``members``, ``keys``, ``devices`` or ``webhooks``."""
        return str(self.focused.id) if isinstance(self.focused, RowList) else ""

    @property
    def member(self) -> Member | None:
        """Under the cursor of the members."""
        key = self._list("members").key
        return next((each for each in self._members or () if each.wallet_address == key), None)

    @property
    def api_key(self) -> ApiKey | None:
        """Under the cursor of the keys."""
        key = self._list("keys").key
        return next((each for each in self._keys or () if each.id == key), None)

    @property
    def webhooks(self) -> Webhooks:
        return self.query_one(Webhooks)

    def _list(self, name: str) -> RowList:
        return self.query_one(f"#{name}", RowList)

    def take(
        self,
        members: Sequence[Member] | None,
        keys: Sequence[ApiKey] | None,
        devices: Sequence[Device] | None,
    ) -> None:
        """Take what was read; None of what was not, or may not be."""
        self._members = None if members is None else tuple(members)
        self._keys = None if keys is None else tuple(keys)
        self._devices = None if devices is None else tuple(devices)
        self.due()

    def empty(self) -> Empty | None:
        who = self.store.who.value
        if who is not None and who.workspace_id is not None:
            return None
        return Empty("no workspace yet", ("This wallet acts for none: found one at the first start.",))

    def ticks(self) -> bool:
        """While a revoked key still works."""
        now = self.now()
        return any(panels.grace(key, now) or panels.just_ended(key, now) for key in self._keys or ())

    def draw(self) -> None:
        store, now, zone = self.store, self.now(), self.zone
        who, workspace, at = store.who.value, store.workspace.value, self.list_in_focus
        members, keys, devices = self._members, self._keys, self._devices
        self.query_one("#facts", Lines).redraw(lambda width: panels.facts(workspace, who, width))
        self._head("members", partial(panels.members_head, who, members, focused=at == "members"))
        self._head("keys", partial(panels.keys_head, who, keys, focused=at == "keys"))
        self._head("devices", partial(panels.devices_head, devices, focused=at == "devices"))
        self._show_budget()
        self._list("members").fill(panels.members_items(members, who, self._faults["members"], zone))
        self._list("keys").fill(panels.keys_items(keys, who, self._faults["keys"], now, zone))
        self._list("devices").fill(panels.devices_items(devices, self._faults["devices"]))
        self.webhooks.draw()
        self._read()

    def _show_budget(self) -> None:
        """Below the keys, of the chosen one."""
        rows = partial(panels.budget_rows, self.api_key, self.zone, brief=self.has_class("-narrow"))
        self.query_one("#budget", Lines).redraw(rows)

    def _head(self, name: str, head: Any) -> None:
        self.query_one(f"#{name}-head", Lines).redraw(lambda width: [head(width)])

    def things(self) -> Iterable[Thing]:
        """Keys, members and cameras."""
        for key in self._keys or ():
            state = "works" if key.revoked_at is None else "revoked"
            yield Thing(f"API key {key.label}", f"{key.prefix}… {state}", partial(self._show, "keys", key.id))
        for each in self._members or ():
            shown = partial(self._show, "members", each.wallet_address)
            yield Thing(f"Member {fmt.short_hash(each.wallet_address)}", each.role, shown)
        for device in self._devices or ():
            yield Thing(f"Device {device.name}", device.kind, partial(self._show, "devices", device.name))
        yield from self.webhooks.things()

    def _show(self, name: str, key: str) -> None:
        self.app.run_worker(self.console_app.action_screen("workspace"), name="show", exit_on_error=True)
        self._list(name).choose(key)
        self.set_focus(self._list(name))

    # -- reading

    def on_mount(self) -> None:
        self.set_focus(self._list("keys"))

    def on_screen_resume(self) -> None:
        self._read_for = None
        self.redraw()

    def _read(self) -> None:
        """Read the lists when the screen is shown, and when another one is acting; no event tells of them."""
        store = self.store
        who = store.who.value
        mark = who and (who.workspace_id, who.role, who.wallet)
        ready = store.readiness.value is Readiness.READY and store.offline is None
        if self.api is None or not ready or mark is None or mark == self._read_for:
            return
        before, self._read_for, self._lists_of = self._lists_of, mark, mark
        if before not in (None, mark):
            self._members = self._keys = None
            self.webhooks.forget()
        reading: Callable[[], Awaitable[None]] = self._read_now
        self.run_worker(reading, name="lists", group="lists", exclusive=True)

    async def _read_now(self) -> None:
        if self.api is not None:
            await self._read_all(self.api)

    async def _read_all(self, api: Luxxon) -> None:
        who = self.store.who.value
        if who is not None and who.is_wallet and who.workspace_id is not None:
            members = api.workspaces.members(who.workspace_id)
            self._members = await self._told("members", members, self._members)
            self._keys = await self._told("keys", api.workspaces.api_keys(who.workspace_id), self._keys)
            self.due()
        self._devices = await self._told("devices", read_devices(api, self.store), self._devices)
        self.due()
        await self.webhooks.read()

    async def _told(self, name: str, reading: Coroutine[Any, Any, Any], before: Any) -> Any:
        """What was read; what was there before, and why, where it was refused."""
        try:
            found = await reading
        except LuxxonError as error:
            self._faults[name] = error.message
            return before
        self._faults[name] = ""
        return tuple(found)

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_mounted:
            return True
        who, at, hooks = self.store.who.value, self.list_in_focus, self.webhooks
        here = self.condition() is None and self.store.offline is None
        owner, admin = panels.ranks(who, "OWNER"), panels.ranks(who, "ADMIN")
        key = self.api_key
        removable = owner and self.member is not None
        if at != "members":
            removable = admin and key is not None and key.revoked_at is None and at == "keys"
        allowed = {
            "rename": here and panels.renames(who),
            "mint": here and admin and not hooks.opened,
            "add": here and owner,
            "role": here and owner and at == "members" and self.member is not None,
            "remove": here and removable,
            "open": at in ("members", "keys"),
            "hook": action == "hook" and hooks.may(str(parameters[0])),
        }
        return allowed.get(action, True)

    def on_descendant_focus(self, _event: DescendantFocus) -> None:
        self.due()

    def on_descendant_blur(self, _event: DescendantBlur) -> None:
        self.due()

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._show_budget()
        self.refresh_bindings()

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        event.stop()
        self.action_copy_chosen()

    def action_copy_chosen(self) -> None:
        """The member's address or the key's id; a key's plaintext is not known any more."""
        member, key = self.member, self.api_key
        if self.list_in_focus == "members" and member is not None:
            self.copy(member.wallet_address, "address copied")
        elif self.list_in_focus == "keys" and key is not None:
            self.copy(key.id, "key id copied")
        elif self.list_in_focus == "webhooks":
            self.webhooks.copy()

    def action_copy_id(self) -> None:
        who = self.store.who.value
        if who is not None and who.workspace_id is not None:
            self.copy(who.workspace_id, "workspace id copied")

    def action_hook(self, what: str) -> None:
        self.webhooks.act(what)

    def _acting(self) -> tuple[Luxxon, str] | None:
        who = self.store.who.value
        if self.api is None or who is None or who.workspace_id is None:
            return None
        return self.api, who.workspace_id

    def action_rename(self) -> None:
        if (acting := self._acting()) is not None:
            self.call(self._rename(*acting), "not renamed", group="change")

    async def _rename(self, api: Luxxon, workspace: str) -> None:
        known = self.store.workspace.value
        before = known.name if known else ""
        name = await self._asked(Ask("Rename the workspace", value=before, most=NAME_LENGTH))
        if name and (known is None or name != known.name):
            await api.workspaces.update(workspace, name=name)
            if self.follower is not None:
                await self.follower.refresh_workspace()

    async def _asked(self, card: Ask) -> str:
        typed: str | None = await self.app.push_screen_wait(card)
        return (typed or "").strip()

    def action_add(self) -> None:
        if (acting := self._acting()) is not None:
            self.call(self._add(*acting), "not added", group="change")

    async def _add(self, api: Luxxon, workspace: str) -> None:
        wrong = typed = ""
        while not ADDRESS.fullmatch(typed):
            typed = await self._asked(Ask("Add a member", "The wallet's address", wrong=wrong, value=typed))
            if not typed:
                return
            wrong = "That is no address: 0x and 40 hexadecimal digits"
        role = await self._role_of(typed, "VIEWER")
        if role is not None:
            await api.workspaces.put_member(workspace, typed, role)
            await self._again(api)

    async def _role_of(self, address: str, role: str) -> str | None:
        card = Choose(f"Role of {fmt.short_hash(address)}", panels.ROLES, role)
        chosen: str | None = await self.app.push_screen_wait(card)
        return chosen

    def action_role(self) -> None:
        if (acting := self._acting()) is not None and (member := self.member) is not None:
            self.call(self._role(*acting, member), "the role was not changed", group="change")

    async def _role(self, api: Luxxon, workspace: str, member: Member) -> None:
        role = await self._role_of(member.wallet_address, member.role)
        if role is not None and role != member.role:
            await api.workspaces.put_member(workspace, member.wallet_address, role)
            await self._again(api)

    async def _again(self, api: Luxxon) -> None:
        """Read the lists, and one's own role, which may have changed."""
        if self.follower is not None:
            await self.follower.refresh_workspace()
        await self._read_all(api)

    def action_remove(self) -> None:
        acting, member, key = self._acting(), self.member, self.api_key
        if acting is None:
            return
        if self.list_in_focus == "members" and member is not None:
            self.call(self._remove(*acting, member), "not removed", group="change")
        elif self.list_in_focus == "keys" and key is not None:
            self.call(self._revoke(*acting, key), "not revoked", group="change")

    async def _remove(self, api: Luxxon, workspace: str, member: Member) -> None:
        facts: tuple[Row | str, ...] = (
            row(member.wallet_address),
            f"It is {member.role}; its keys go on working.",
        )
        if await self.confirmed(Question("Remove the member?", facts, "remove", "leave it")):
            await api.workspaces.remove_member(workspace, member.wallet_address)
            await self._again(api)

    async def _revoke(self, api: Luxxon, workspace: str, key: ApiKey) -> None:
        facts = (
            row(key.label, Span(f"  {key.prefix}…", "muted")),
            EMPTY,
            f"It works for {panels.GRACE} s more, so that another can take its place,",
            "and then never again.",
        )
        if await self.confirmed(Question("Revoke the key?", facts, "revoke", "keep it")):
            ended = await api.workspaces.revoke_api_key(workspace, key.id)
            self._keys = tuple(ended if each.id == ended.id else each for each in self._keys or ())
            self.due()

    def action_mint(self) -> None:
        if (acting := self._acting()) is not None:
            self.call(self._mint(*acting), "not minted", group="change")

    async def _mint(self, api: Luxxon, workspace: str) -> None:
        config = self.store.config.value
        environment = config.environment if config else "TEST"
        wish: Minting | None = await self.app.push_screen_wait(MintCard(environment))
        if wish is None:
            return
        made = await api.workspaces.create_api_key(workspace, environment=environment, **wish._asdict())
        card = SecretCard(made.label, made.plaintext)
        minted = made.id
        del made
        await self.app.push_screen_wait(card)
        self._keys = await self._told("keys", api.workspaces.api_keys(workspace), self._keys)
        self.redraw()
        self._list("keys").choose(minted)
