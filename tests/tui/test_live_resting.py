"""What nobody sees is not decoded: the Live screen lets its stream go while another screen is shown."""

from __future__ import annotations

import pytest
from frames import PLAIN, filled, shows
from scenes import NOW, RecordedVideo, picture, until

from luxxon_tui.app import ConsoleApp
from luxxon_tui.screens import live
from luxxon_tui.screens.live import LiveScreen
from luxxon_tui.store import Store
from luxxon_tui.store.state import is_open
from luxxon_tui.widgets.picture import Picture


class Streams:
    """Every stream that the console has opened."""

    def __init__(self) -> None:
        self.opened: list[RecordedVideo] = []

    def open(self) -> RecordedVideo:
        self.opened.append(RecordedVideo())
        return self.opened[-1]


def console(streams: Streams) -> tuple[ConsoleApp, Store]:
    store = filled()
    return ConsoleApp(
        store=store, open_video=streams.open, facts=PLAIN, clock=lambda: NOW, first="live"
    ), store


async def test_the_stream_rests_while_another_screen_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "REST_SECONDS", 0.05)
    streams = Streams()
    app, store = console(streams)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.loaded and bool(streams.opened))
        screen = app.screen
        assert isinstance(screen, LiveScreen)
        shown = screen.query_one(Picture)
        await until(lambda: shown.latest is not None)
        await pilot.press("3")
        await until(lambda: streams.opened[0].closed)
        last = shown.latest
        view = next(each for each in store.sessions.value.values() if is_open(each))
        assert is_open(view), "the session goes on"
        await pilot.press("2")
        assert shown.latest is not None, "there is a picture at once"
        await until(lambda: len(streams.opened) == 2)
        await until(lambda: shown.latest is not last)
        await shows(app, "Meter")


async def test_a_picture_of_before_a_rest_is_grey_and_not_saved_as_one_of_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "REST_SECONDS", 0.05)
    streams = Streams()
    app, _ = console(streams)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.loaded and bool(streams.opened))
        screen = app.screen
        assert isinstance(screen, LiveScreen)
        shown = screen.query_one(Picture)
        await until(lambda: shown.latest is not None)
        assert not shown._dimmed and screen.check_action("save_frame", ())
        silent = RecordedVideo()
        silent.frames.get_nowait()

        def opened() -> RecordedVideo:
            streams.opened.append(silent)
            return silent

        app._video = opened
        await pilot.press("3")
        await until(lambda: streams.opened[0].closed)
        await pilot.press("2")
        await until(lambda: len(streams.opened) == 2)
        await pilot.pause()
        assert shown.latest is not None and shown._dimmed, "it is not live"
        assert not screen.check_action("save_frame", ())
        silent.frames.put_nowait(picture())
        await until(lambda: not shown._dimmed)
        assert screen.check_action("save_frame", ())


async def test_a_glance_elsewhere_and_a_card_keep_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams()
    app, _ = console(streams)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.loaded and bool(streams.opened))
        screen = app.screen
        assert isinstance(screen, LiveScreen)
        shown = screen.query_one(Picture)
        await until(lambda: shown.latest is not None)
        drawn = shown.latest
        await pilot.press("3")
        streams.opened[0].frames.put_nowait(picture())
        await until(streams.opened[0].frames.empty)
        await pilot.pause()
        assert shown.latest is drawn, "nothing is drawn that nobody sees"
        await pilot.press("2")
        streams.opened[0].frames.put_nowait(picture())
        await until(lambda: shown.latest is not drawn)
        monkeypatch.setattr(live, "REST_SECONDS", 0.01)
        await pilot.press("question_mark")
        await until(lambda: app.screen is not screen)
        await pilot.pause(0.1)
        assert len(streams.opened) == 1 and not streams.opened[0].closed
