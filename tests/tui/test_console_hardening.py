"""Questions about money, answers that come late, wrong clocks: the console shows it and lives on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import frames
import httpx
import msgspec
import pytest
import told_market
from filmed import Cameras
from frames import BRUSSELS, PLAIN, TOKYO, shows
from scenes import NOW, WALLET, WORKSPACE, RecordedVideo, until
from told_market import SESSION_ID, Market, Stream, followed

from luxxon_core import profiles
from luxxon_core.access.schemas import Member
from luxxon_core.client import Luxxon
from luxxon_core.client.wallet import ChainClient
from luxxon_core.http.schemas import Config
from luxxon_core.kernel.errors import InvalidInput, LuxxonError
from luxxon_core.profiles import ProfileTable
from luxxon_core.testing import FakeMarketplace
from luxxon_tui.app import ConsoleApp
from luxxon_tui.connect.opening import Connected, Opener
from luxxon_tui.connect.server_link import ServerLink
from luxxon_tui.feed import StoreFeed
from luxxon_tui.screens import session_list, wallet_chain
from luxxon_tui.screens.cameras import CamerasScreen
from luxxon_tui.screens.live import LiveScreen
from luxxon_tui.screens.session_figures import Listing
from luxxon_tui.screens.workspace import WorkspaceScreen
from luxxon_tui.store import Readiness, Store, Who
from luxxon_tui.store.follow import Follower
from luxxon_tui.widgets.card import Card

URL = "http://market.test/api/v1"
PROFILE = ProfileTable(url="http://market.test", api_key="k")  # type: ignore[arg-type]


class Late(httpx.AsyncBaseTransport):
    """Answers at once as the market is, and tells some of it later."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.late: Callable[[str], bool] = lambda _path: False
        self.held: list[asyncio.Event] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = self.market(request)
        if self.late(request.url.path):
            gate = asyncio.Event()
            self.held.append(gate)
            await gate.wait()
        return response

    def release(self) -> None:
        self.late = lambda _path: False
        for gate in self.held:
            gate.set()


# -- money, and what is asked about it


async def test_a_question_ends_the_session_that_it_asked_about_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[str | None] = []

    async def end(self: StoreFeed) -> None:
        ended.append(self._id)

    monkeypatch.setattr(StoreFeed, "end", end)
    one = frames.session(1, "LIVE", BRUSSELS, 1, lasted=50)
    store = frames.filled((one, frames.session(2, "LIVE", TOKYO, 2, lasted=40)))
    app = ConsoleApp(store=store, open_video=RecordedVideo, facts=PLAIN, clock=lambda: NOW, first="live")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = app.screen
        assert isinstance(screen, LiveScreen)
        await until(lambda: screen.scene.live and screen.scene.session is not None)
        assert screen.scene.session is not None
        asked = screen.scene.session.id
        await pilot.press("e")
        assert isinstance(app.screen, Card)
        store.put(replace(store.sessions.value[asked], state="ENDED", ended_at=NOW))
        await until(lambda: screen.scene.session is not None and screen.scene.session.id != asked)
        await pilot.press("enter")
        await pilot.pause()
        assert not isinstance(app.screen, Card) and ended == []
        await pilot.press("e", "enter")
        await until(lambda: len(ended) == 1)


async def test_nothing_else_opens_over_a_question() -> None:
    app = frames.console(frames.filled(), "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("e")
        await until(lambda: isinstance(app.screen, Card))
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert isinstance(app.screen, Card) and len(app.screen_stack) == 2
        await pilot.press("escape", "ctrl+p")
        await shows(app, "Sort by the next")


@pytest.mark.parametrize("rpc_url", ["http://[::1", "http://a:b", "nope", ""])
async def test_a_chain_without_an_address_is_a_refusal(rpc_url: str) -> None:
    config = Config("TEST", 1, "x", rpc_url, "", "0x" + "1" * 40, "0x" + "2" * 40)
    with pytest.raises(LuxxonError):
        await wallet_chain.facts_of(await wallet_chain.open_chain(config), WALLET)


async def test_a_chain_that_was_left_is_a_refusal() -> None:
    config = Config("TEST", 1, "x", "http://127.0.0.1:1", "", "0x" + "1" * 40, "0x" + "2" * 40)
    async with ChainClient(config) as chain:
        pass
    with pytest.raises(LuxxonError, match="closed"):
        await chain.eth(WALLET)


# -- answers that come late


async def test_an_answer_from_before_the_end_does_not_make_a_session_live_again() -> None:
    market = Market()
    late = Late(market)
    async with Luxxon(URL, api_key="lxxn_test_k", transport=late) as api:
        store, key = Store(), str(SESSION_ID)
        follower = Follower(api, store, lambda: NOW)
        running = asyncio.create_task(follower.run())
        try:
            await until(lambda: key in store.sessions.value and store.sessions.value[key].billed)
            late.late = lambda path: path.endswith("receipt")
            market.tell("session.state", session=market.session())  # it is LIVE: its bill is read
            await until(lambda: bool(late.held))
            market.state = "ENDED"
            market.tell("session.state", session=market.session())
            await until(lambda: store.sessions.value[key].state == "ENDED")
            late.release()
            await until(lambda: not follower._billing)
            view = store.sessions.value[key]
            assert view.state == "ENDED" and view.ended_at == NOW, "the bill is read again"
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_what_a_former_follower_is_answered_does_not_come_to_the_next() -> None:
    market = Market(others=150)
    async with followed(market) as following:
        await following.ready()
        page = asyncio.create_task(following.follower.older())
        following.follower.part()
        following.store.forget()
        await page
        assert not following.store.sessions.value


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> Market:
    """A market behind every profile, the streams of which take a moment to close."""

    class Slow(Stream):
        async def aclose(self) -> None:
            await asyncio.sleep(0.3)

    market = Market()
    unknown = {**told_market.FORBIDDEN, "code": "SESSION_NOT_FOUND", "detail": "session:unknown"}

    def answer(request: httpx.Request) -> httpx.Response:
        if not market.state and "/sessions/" in request.url.path:
            return httpx.Response(404, json=unknown)
        return market(request)

    @asynccontextmanager
    async def opened(_self: Opener, _profile: ProfileTable) -> AsyncIterator[Connected]:
        async with Luxxon(URL, api_key="lxxn_test_k", transport=httpx.MockTransport(answer)) as api:
            yield Connected(api)

    monkeypatch.setattr(told_market, "Stream", Slow)
    monkeypatch.setattr(Opener, "open", opened)
    return market


def closed(api: Luxxon | None) -> bool:
    return api is None or api._connection.http.is_closed


async def test_a_profile_that_takes_long_to_leave_does_not_take_the_next_one_with_it(opening: Market) -> None:
    app = ConsoleApp(facts=PLAIN, profile=PROFILE, profile_name="one", first="sessions")
    async with app.run_test(size=(120, 36)):
        await until(lambda: app.store.readiness.value is Readiness.READY)
        former, follower = app.api, app.follower
        app.open_profile("two", PROFILE)
        await until(lambda: app.follower not in (None, follower))
        await until(lambda: app.store.readiness.value is Readiness.READY)
        await until(lambda: closed(former))
        await asyncio.sleep(0)
        assert not closed(app.api) and app.follower is not None


async def test_the_picture_of_a_former_profile_ends_with_it(opening: Market) -> None:
    app = ConsoleApp(facts=PLAIN, profile=PROFILE, profile_name="one", first="live")
    async with app.run_test(size=(120, 36)) as pilot:
        live = app.screen
        assert isinstance(live, LiveScreen)
        await until(lambda: live._watching is not None)
        await pilot.press("3")
        former = app.api
        opening.state = ""
        app.open_profile("two", PROFILE)
        await until(lambda: closed(former) and app.store.readiness.value is Readiness.READY)
        await until(lambda: live._watching is None)
        assert app.is_running
        assert former is not None
        with pytest.raises(LuxxonError, match="closed"):
            await former.wallet.get()


async def test_a_sign_in_that_is_renewed_goes_on_acting_for_the_chosen_workspace() -> None:
    acted: list[str] = []
    refuse = False

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal refuse
        if request.url.path.endswith("/workspace/select"):
            acted.append(msgspec.json.decode(request.content)["workspaceId"])
            told = {"workspaceId": acted[-1], "walletAddress": WALLET, "role": "OWNER"}
            return httpx.Response(200, json={"status": "success", "data": told})
        if refuse and request.url.path.endswith("/events"):
            refuse = False
            body = {"status": "error", "code": "NOT_AUTHENTICATED", "message": "No", "requestId": "r"}
            return httpx.Response(401, json=body)
        return market(request)

    market = Market()
    store = Store()
    link = ServerLink(store, lambda: NOW, never, 0)
    async with Luxxon(URL, transport=httpx.MockTransport(answer)) as api:

        async def renew() -> None:
            await api.auth.select_workspace("profiles-own")

        running = asyncio.create_task(link._followed(Connected(api, renew=renew)))
        try:
            await until(lambda: store.readiness.value is Readiness.READY)
            await link.act_for("chosen")
            await until(lambda: store.readiness.value is Readiness.READY and len(market.streams) == 2)
            refuse = True
            market.streams[-1].queue.put_nowait(None)
            await until(lambda: isinstance(store.offline, object) and store.offline is not None)
            link.retry()
            await until(lambda: store.readiness.value is Readiness.FAILED)
            link.retry()
            await until(lambda: store.readiness.value is Readiness.READY)
            assert acted == ["chosen", "profiles-own", "chosen"]
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def never(_path: Path, _wrong: str) -> str | None:
    return None


async def test_lists_of_a_workspace_are_not_shown_for_the_next_one() -> None:
    def members(request: httpx.Request) -> httpx.Response:
        if "second" in request.url.path:
            return httpx.Response(403, json=told_market.FORBIDDEN)
        one = {"walletAddress": WALLET, "role": "OWNER", "createdAt": "2026-05-13T14:00:00.000Z"}
        found = [one] if request.url.path.endswith("/members") else []
        return httpx.Response(200, json={"status": "success", "data": found})

    store = frames.filled(())
    store.who.set(Who(WORKSPACE, "first", "first", role="OWNER", wallet=WALLET))
    app = frames.console(store, "workspace")
    async with Luxxon(URL, transport=httpx.MockTransport(members)) as api:
        app.server.connected = Connected(api)
        async with app.run_test(size=(120, 36)) as pilot:
            screen = app.screen
            assert isinstance(screen, WorkspaceScreen)
            await until(lambda: bool(screen._members))
            assert isinstance(screen._members, tuple) and isinstance(screen._members[0], Member)
            await pilot.press("3")
            store.who.set(Who("second", "second", "second", role="VIEWER", wallet=WALLET))
            await pilot.press("7")
            await until(lambda: bool(screen._faults["members"]))
            assert not screen._members


async def test_a_camera_goes_offline_with_the_workspace_that_offered_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cameras, market = Cameras(found=("ptz",)), FakeMarketplace(workspace_id=WORKSPACE)
    monkeypatch.setattr(CamerasScreen, "FINDER", lambda: cameras)
    monkeypatch.setattr(CamerasScreen, "IDENTITIES", lambda _api: cameras)
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "luxxon.toml"))
    app = frames.console(frames.filled(()), "cameras")
    app.server.connected = Connected(market)  # type: ignore[arg-type]
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: isinstance(app.screen, CamerasScreen) and app.screen.desk.found)
        await pilot.press("space")
        await until(lambda: market.availability_state == "ONLINE" and market.listeners == 1)
        await pilot.press("3")
        who = app.store.who.value
        assert who is not None
        app.store.who.set(replace(who, workspace_id="another"))
        await until(lambda: market.availability_state == "OFFLINE")
        assert app.is_running


# -- clocks, files


@pytest.mark.parametrize("behind", [timedelta(minutes=40), timedelta(hours=3), timedelta(days=40)])
def test_a_clock_that_is_behind_the_servers_is_no_fault(behind: timedelta) -> None:
    now = NOW - behind
    listing = Listing((frames.session(1, "LIVE", BRUSSELS, 1, lasted=50),), {}, now, PLAIN.zone)
    assert session_list.today_rows(listing, 60, 9)


@pytest.mark.parametrize("url", ["http://[::1", "http://a:b"])
async def test_a_profile_whose_address_is_none_is_told(url: str) -> None:
    opener = Opener(never, str, str, str)
    with pytest.raises(InvalidInput, match="no address"):
        async with opener.open(ProfileTable(url=url, api_key="k")):  # type: ignore[arg-type]
            pass


async def test_choices_that_are_kept_at_once_are_all_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(tmp_path / "luxxon.toml"))

    def several(name: str) -> None:
        for number in range(8):
            profiles.keep_profile(f"{name}-{number}", PROFILE, chosen=False)

    keeping: list[Any] = [asyncio.to_thread(several, name) for name in ("a", "b", "c")]
    await asyncio.gather(*keeping, asyncio.to_thread(profiles.keep, theme="luxxon-light"))
    kept = profiles.load_console()
    assert len(kept.profiles) == 24 and kept.theme == "luxxon-light"
