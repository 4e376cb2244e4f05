"""The webhooks of the Workspace screen: where events are sent, how that goes, what can be done about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical

from luxxon_core.kernel.errors import LuxxonError
from luxxon_tui.actions import action
from luxxon_tui.rows import Row, Span, row
from luxxon_tui.screens import webhook_panels as panels
from luxxon_tui.screens.pane import ScreenPane, Thing
from luxxon_tui.screens.webhook_cards import WebhookCard, Wish
from luxxon_tui.screens.webhook_panels import Sent
from luxxon_tui.screens.workspace_cards import SecretCard
from luxxon_tui.widgets.choose import Choose
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.question import Question
from luxxon_tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.webhooks.schemas import Delivery, Webhook


def _hook(name: str, key: str, label: str, explained: str, what: str, *, show: bool = True) -> Binding:
    return action(f"workspace.{name}", key, label, explained, do=f"hook('{what}')", show=show)


ACTIONS = (
    _hook("webhooks", "w", "webhooks", "Where events are sent: show the list, or close it", "show"),
    _hook("webhooks_close", "escape", "close", "Close the list of webhooks", "close", show=False),
    _hook("webhook_new", "plus", "new webhook", "Send events to a URL; its secret is shown once", "create"),
    _hook("webhook_test", "t", "test", "Send a test to the chosen webhook", "test"),
    _hook("webhook_replay", "p", "replay", "Send the chosen webhook again what it did not get", "replay"),
    _hook("webhook_secret", "s", "secret", "Give the chosen webhook a new secret; asks", "rotate"),
    _hook("webhook_switch", "e", "on/off", "Enable or disable the chosen webhook", "switch"),
    _hook("webhook_delete", "x", "delete", "Delete the chosen webhook and its log; asks", "delete"),
)
SPANS = {
    "hour": ("what did not arrive in the last hour", timedelta(hours=1)),
    "day": ("what did not arrive in the last day", timedelta(days=1)),
    "week": ("what did not arrive in the last 7 days", timedelta(days=7)),
}
NEWEST = ("newest", "the newest delivery, whatever became of it")
SHOWN = {True: 10, False: 4}
"""Deliveries of the chosen one, on a tall screen or not."""
READ = 10
AT_ONCE = 4
"""Webhooks whose logs are read at the same time."""
AGAIN_SECONDS = 3.0
"""No event tells of deliveries: those of the chosen webhook are read so often while the list is open."""
TEST_SECONDS = 75.0
"""Longer than a receiver may take; then it is no longer waited for how a test goes."""
LOOK_SECONDS = 0.25


STYLE = """
    WorkspaceScreen Webhooks { display: none; width: 1fr; height: 1fr; margin-left: 3; }
    WorkspaceScreen.-hooks Webhooks { display: block; }
    WorkspaceScreen.-hooks #right { display: none; }
    WorkspaceScreen.-hooks.-narrow Webhooks { margin-left: 0; }
    WorkspaceScreen.-hooks.-narrow #left { height: auto; }
    WorkspaceScreen.-hooks.-narrow #members-head, WorkspaceScreen.-hooks.-narrow #members { display: none; }
"""
"""Of the screen: the list takes the place of keys and devices, on a narrow one of the members too."""


class Webhooks(Vertical):
    """The list, the chosen webhook below it; closed until ``w`` opens it in the place of keys and devices."""

    def __init__(self) -> None:
        super().__init__(id="hooks")
        self._webhooks: tuple[Webhook, ...] | None = None
        self._sent: dict[str, Sent] = {}
        self._fault = ""

    def compose(self) -> ComposeResult:
        yield Lines(id="webhooks-head")
        yield RowList(id="webhooks")
        yield Lines(id="webhook")

    def on_mount(self) -> None:
        self.set_interval(AGAIN_SECONDS, self._look_again)

    # -- what it shows

    @property
    def pane(self) -> ScreenPane:
        screen = self.screen
        assert isinstance(screen, ScreenPane)
        return screen

    @property
    def opened(self) -> bool:
        return self.pane.has_class("-hooks")

    @property
    def chosen(self) -> Webhook | None:
        """Under the cursor."""
        key = self.query_one("#webhooks", RowList).key
        return next((each for each in self._webhooks or () if each.id == key), None)

    def take(self, webhooks: Iterable[Webhook] | None, sent: dict[str, Sent]) -> None:
        """Take what was read; None of what was not."""
        self._webhooks = None if webhooks is None else tuple(webhooks)
        self._sent = dict(sent)
        self.pane.due()

    def forget(self) -> None:
        """Somebody else acts now."""
        self._webhooks, self._sent, self._fault = None, {}, ""

    def show(self, opened: bool) -> None:
        """Open or close the list."""
        pane = self.pane
        pane.set_class(opened, "-hooks")
        pane.set_focus(pane.query_one("#webhooks" if opened else "#keys", RowList))
        if opened and (api := self._api()) is not None:
            work: Callable[[], Awaitable[None]] = partial(self._read_open, api)
            pane.run_worker(work, name="webhooks", group="webhooks", exclusive=True)
        pane.due()

    def draw(self) -> None:
        """Put what is known into the widgets, the line for the closed list among them."""
        pane, rows = self.pane, self.query_one("#webhooks", RowList)
        who, webhooks, now, zone = pane.store.who.value, self._webhooks, pane.now(), pane.zone
        pane.query_one("#webhooks-line", Lines).redraw(lambda width: [panels.summary(webhooks, width)])
        focused = pane.focused is rows
        self.query_one("#webhooks-head", Lines).redraw(
            lambda width: [panels.head(who, webhooks, width, focused=focused)]
        )
        rows.fill(panels.items(webhooks, self._sent, who, self._fault, now, zone))
        self._draw_chosen()

    def _draw_chosen(self) -> None:
        pane, chosen = self.pane, self.chosen
        sent = None if chosen is None else self._sent.get(chosen.id)
        fault = "" if self._webhooks is None else self._fault
        detail = partial(panels.detail, chosen, sent, pane.now(), pane.zone)
        listed = SHOWN[pane.tall]
        self.query_one("#webhook", Lines).redraw(lambda width: detail(width, fault=fault, listed=listed))

    def things(self) -> Iterable[Thing]:
        """For the palette."""
        for each in self._webhooks or ():
            _, word = panels.state_of(each, self.pane.now(), self.pane.zone)
            yield Thing(f"Webhook {each.url}", word, partial(self._find, each.id))

    def _find(self, webhook_id: str) -> None:
        pane = self.pane
        pane.app.run_worker(pane.console_app.action_screen("workspace"), name="show", exit_on_error=True)
        self.show(True)
        self.query_one("#webhooks", RowList).choose(webhook_id)

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._draw_chosen()
        self.pane.refresh_bindings()

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        event.stop()
        self.copy()

    def copy(self) -> None:
        """The chosen one's id, which the command line and the API ask for."""
        if (chosen := self.chosen) is not None:
            self.pane.copy(chosen.id, "webhook id copied")

    # -- reading

    def _api(self) -> Luxxon | None:
        pane = self.pane
        ready = pane.condition() is None and pane.store.offline is None
        return pane.api if ready and panels.reads(pane.store.who.value) else None

    async def read(self) -> None:
        """Read the list, and while it is open what was sent."""
        if (api := self._api()) is not None:
            try:
                self._webhooks = tuple(await api.webhooks.list())
            except LuxxonError as error:
                self._fault = error.message
            else:
                self._fault = ""
                if self.opened:
                    await self._read_logs(api, self._webhooks)
            self.pane.due()

    async def _read_open(self, api: Luxxon) -> None:
        if self._webhooks is None:
            await self.read()
        else:
            await self._read_logs(api, self._webhooks)

    async def _read_logs(self, api: Luxxon, webhooks: Iterable[Webhook]) -> None:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(webhook_id: str) -> None:
            async with room:
                await self._read_log(api, webhook_id)

        await asyncio.gather(*(one(each.id) for each in webhooks))

    async def _read_log(self, api: Luxxon, webhook_id: str) -> None:
        """What was sent to one; what was known of it stays where it is refused."""
        try:
            newest = await api.webhooks.deliveries(webhook_id, limit=READ)
            pending = await api.webhooks.deliveries(webhook_id, state="PENDING", limit=panels.PENDING_READ)
        except LuxxonError as error:
            self._fault = error.message
        else:
            self._sent[webhook_id] = Sent(tuple(newest), len(pending))
        self.pane.due()

    def _look_again(self) -> None:
        pane = self.pane
        chosen, api = self.chosen, self._api()
        if self.opened and pane.is_current and chosen is not None and api is not None:
            work: Callable[[], Awaitable[None]] = partial(self._read_one, api, chosen.id)
            pane.run_worker(work, name="webhook", group="webhook", exclusive=True)

    async def _read_one(self, api: Luxxon, webhook_id: str) -> None:
        try:
            found = await api.webhooks.get(webhook_id)
        except LuxxonError as error:
            self._fault = error.message
            self.pane.due()
            return
        self._fault = ""
        self._put(found)
        await self._read_log(api, webhook_id)

    def _put(self, found: Webhook) -> None:
        self._webhooks = tuple(found if each.id == found.id else each for each in self._webhooks or ())
        self.pane.due()

    # -- doing

    def may(self, what: str) -> bool:
        """Whether an action makes sense now."""
        pane = self.pane
        if what == "show":
            return pane.condition() is None
        if what == "close":
            return self.opened
        if self._api() is None or not panels.manages(pane.store.who.value):
            return False
        return what == "create" or (self.opened and self._may_with_chosen(what))

    def _may_with_chosen(self, what: str) -> bool:
        chosen = self.chosen
        if chosen is None or (what in ("test", "replay") and not chosen.enabled):
            return False
        # its key removes a member as well, who may be there to stay
        return what != "delete" or self.pane.focused is not self.pane.query_one("#members")

    def act(self, what: str) -> None:
        """``show``, ``close``, ``create``, ``test``, ``replay``, ``rotate``, ``switch`` or ``delete``."""
        api, chosen = self._api(), self.chosen
        if not self.may(what):
            return
        if what in ("show", "close"):
            self.show(not self.opened)
        elif api is not None and what == "create":
            self._call(self._create(api), "no webhook was made")
        elif api is not None and chosen is not None:
            works = {
                "test": (self._test, "not tested"),
                "replay": (self._replay, "not sent again"),
                "rotate": (self._rotate, "the secret was not changed"),
                "switch": (self._switch, "not changed"),
                "delete": (self._delete, "not deleted"),
            }
            work, failing = works[what]
            self._call(work(api, chosen), failing, group="test" if what == "test" else "change")

    def _call(self, work: Coroutine[Any, Any, None], failing: str, group: str = "change") -> None:
        self.pane.call(work, failing, group=f"webhook {group}")

    async def _create(self, api: Luxxon) -> None:
        wish, wrong = Wish(), ""
        while True:
            card = WebhookCard(wish, wrong)
            typed: Wish | None = await self.app.push_screen_wait(card)
            if typed is None:
                return
            try:
                made = await api.webhooks.create(typed.url, events=typed.events)
            except LuxxonError as error:
                wish, wrong = typed, error.message
            else:
                break
        made_id, card_of_secret = made.id, SecretCard(_host(made.url), made.secret, "secret")
        del made
        await self.app.push_screen_wait(card_of_secret)
        await self.read()
        self.show(True)
        self.draw()
        self.query_one("#webhooks", RowList).choose(made_id)

    async def _test(self, api: Luxxon, webhook: Webhook) -> None:
        delivery = await api.webhooks.test(webhook.id)
        try:
            async with asyncio.timeout(TEST_SECONDS):
                while delivery.state == "PENDING":
                    await self._read_log(api, webhook.id)
                    await asyncio.sleep(LOOK_SECONDS)
                    delivery = await api.webhooks.delivery(webhook.id, delivery.id)
        except TimeoutError:
            pass
        self._tell_test(delivery)
        await self._read_one(api, webhook.id)

    def _tell_test(self, delivery: Delivery) -> None:
        severity = "error" if delivery.state == "FAILED" else "information"
        told = f"test: {panels.outcome(delivery)}"
        self.pane.notify(told, severity=severity, markup=False)  # type: ignore[arg-type]  # one of Textual's

    async def _replay(self, api: Luxxon, webhook: Webhook) -> None:
        options = [*((name, words) for name, (words, _) in SPANS.items()), NEWEST]
        card = Choose(f"Send {_host(webhook.url)} again", options, "hour")
        name: str | None = await self.app.push_screen_wait(card)
        if name is None:
            return
        if name in SPANS:
            count = await self._replay_since(api, webhook, SPANS[name][1])
        else:
            newest = await api.webhooks.deliveries(webhook.id, limit=1)
            count = (await api.webhooks.replay(webhook.id, delivery_id=newest[0].id)).count if newest else 0
        self.pane.notify(f"{count} to be sent" if count else "there is nothing to be sent", timeout=4)
        await self._read_log(api, webhook.id)

    async def _replay_since(self, api: Luxxon, webhook: Webhook, span: timedelta) -> int:
        since, count = self.pane.now() - span, 0
        while True:  # what was made is pending, and not made again
            started = await api.webhooks.replay(webhook.id, since=since)
            count += started.count
            if started.complete or not started.count:
                return count

    async def _rotate(self, api: Luxxon, webhook: Webhook) -> None:
        facts: tuple[Row | str, ...] = (row(webhook.url), "For 24 hours the old one signs as well.")
        if await self.pane.confirmed(Question("Make a new secret?", facts, "new secret", "keep it")):
            made = await api.webhooks.rotate(webhook.id)
            card = SecretCard(_host(made.url), made.secret, "secret")
            del made
            await self.app.push_screen_wait(card)
            await self._read_one(api, webhook.id)

    async def _switch(self, api: Luxxon, webhook: Webhook) -> None:
        if webhook.enabled:
            facts: tuple[Row | str, ...] = (
                row(webhook.url),
                "What is pending is given up; p sends it once it is enabled again.",
            )
            if not await self.pane.confirmed(Question("Disable the webhook?", facts, "disable", "leave it")):
                return
        self._put(await api.webhooks.update(webhook.id, enabled=not webhook.enabled))
        if not webhook.enabled:
            self.pane.notify("enabled: p sends what it missed", timeout=4)
        await self._read_log(api, webhook.id)

    async def _delete(self, api: Luxxon, webhook: Webhook) -> None:
        facts = (row(Span(webhook.url)), "The log of its deliveries goes with it; nothing is sent any more.")
        if await self.pane.confirmed(Question("Delete the webhook?", facts, "delete", "keep it")):
            await api.webhooks.delete(webhook.id)
            self._sent.pop(webhook.id, None)
            await self.read()


def _host(url: str) -> str:
    return urlsplit(url).netloc or url
