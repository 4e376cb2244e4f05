"""What the keys do, what covers the picture, what a slow or colourless terminal gets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from rich.cells import cell_len
from scenes import (
    CONTEXT,
    ENDED,
    LIVE,
    OFFLINE,
    SESSION,
    STALLED,
    WAITING,
    RecordedFeed,
    RecordedVideo,
    console,
    picture,
    settle,
    tell,
    until,
    watching,
)
from textual.widgets import Static

from luxxon_core.kernel.errors import InvalidState, VideoError
from luxxon_tui.app import ConsoleApp
from luxxon_tui.context import ConsoleContext
from luxxon_tui.picture.terminal import Terminal
from luxxon_tui.screens.live import LiveScreen
from luxxon_tui.views import Online
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.footer import Footer
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.picture import COARSE, COARSE_FRAMES, DROPPED_LIMIT, Picture


def screen_of(app: ConsoleApp) -> LiveScreen:
    screen = app.screen_stack[0]
    assert isinstance(screen, LiveScreen)
    return screen


def footer_of(app: ConsoleApp) -> str:
    return "".join(span.text for row in screen_of(app).query_one(Footer).rows for span in row)


def text_of(app: ConsoleApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


async def test_ending_asks_once_and_can_be_refused() -> None:
    feed = RecordedFeed(LIVE)
    app = watching(feed)
    async with app.run_test() as pilot:
        await settle(app, LIVE)
        await pilot.press("e")
        assert isinstance(app.screen, Card)
        assert "0.101000 USDC" in text_of(app)
        await pilot.press("escape")
        assert not isinstance(app.screen, Card) and feed.ended == 0
        await pilot.press("e", "e", "e")
        assert isinstance(app.screen, Card), "a key that is held down asks, and answers nothing"
        await pilot.press("enter")
        await until(lambda: feed.ended == 1)
        assert not isinstance(app.screen, Card)


async def test_a_click_on_end_now_ends() -> None:
    feed = RecordedFeed(LIVE)
    app = watching(feed)
    async with app.run_test() as pilot:
        await settle(app, LIVE)
        await pilot.press("e")
        lines = app.screen.query_one(Lines)
        texts = ["".join(span.text for span in row) for row in lines.rows]
        y = next(y for y, text in enumerate(texts) if "end now" in text)
        await pilot.click(lines, offset=(texts[y].index("end now"), y))
        await until(lambda: feed.ended == 1)


async def test_the_question_goes_with_the_session() -> None:
    feed = RecordedFeed(LIVE)
    app = watching(feed)
    async with app.run_test() as pilot:
        await settle(app, LIVE)
        await pilot.press("e")
        assert isinstance(app.screen, Card)
        feed.queue.put_nowait(ENDED)
        await until(lambda: app.screen is screen_of(app))
        assert feed.ended == 0


async def test_a_session_that_has_ended_by_itself_is_no_error() -> None:
    class Late(RecordedFeed):
        async def end(self) -> None:
            raise InvalidState("session:ended")

    feed = Late(LIVE)
    app = watching(feed)
    async with app.run_test(notifications=True) as pilot:
        await settle(app, LIVE)
        await pilot.press("e", "enter")
        await until(lambda: feed.retried == 1)
        await pilot.pause()
        assert "not ended" not in text_of(app)


async def test_keys_follow_the_state() -> None:
    app = console(WAITING)
    async with app.run_test() as pilot:
        await settle(app, WAITING)
        await pilot.pause()
        assert "e end" not in footer_of(app) and "s save" not in footer_of(app)
        tell(app, LIVE)
        await until(lambda: "s save frame" in footer_of(app))
        assert "e end" in footer_of(app) and "r retry" not in footer_of(app)
        tell(app, OFFLINE)
        await pilot.pause()
        assert "e end" not in footer_of(app) and "r retry" in footer_of(app)
        tell(app, ENDED)
        await pilot.pause()
        assert "s save receipt" in footer_of(app) and "e end" not in footer_of(app)


async def test_offline_keeps_figures_counts_down_and_retries() -> None:
    feed = RecordedFeed(LIVE)
    app = watching(feed)
    async with app.run_test() as pilot:
        await settle(app, OFFLINE, stream=STALLED)
        await pilot.pause()
        text = text_of(app)
        assert "▲ offline  what you see is from 14:02:03" in text and "retry 3 in 0:04" in text
        assert "NO LINK" in text and "at 14:02:03" in text and "clean 101 s" in text
        await pilot.press("r")
        assert feed.retried == 1
        tell(app, replace(LIVE, link=Online(9)))
        await pilot.pause()
        assert "offline" not in text_of(app) and "━" in text_of(app)


async def test_a_frame_is_saved_at_its_full_size(tmp_path: Path) -> None:
    app = console(LIVE, frame=picture(640, 360), context=replace(CONTEXT, save_folder=tmp_path / "pictures"))
    async with app.run_test(notifications=True) as pilot:
        await settle(app, LIVE)
        for number in (1, 2):
            await pilot.press("s")
            await until(lambda number=number: len(names(tmp_path, "pictures/*")) == number)
        frames = names(tmp_path, "pictures/*")
        assert frames == ["luxxon-1c9e7a40-20260513-140211-2.jpg", "luxxon-1c9e7a40-20260513-140211.jpg"]
        with Image.open(tmp_path / "pictures" / frames[1]) as saved:
            assert (saved.format, saved.size) == ("JPEG", (640, 360))
        await pilot.pause()
        assert "saved" in text_of(app)


async def test_a_frame_that_cannot_be_saved_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    app = console(LIVE, context=replace(CONTEXT, save_folder=tmp_path / "file" / "below"))
    async with app.run_test(notifications=True) as pilot:
        await settle(app, LIVE)
        await pilot.press("s")
        await until(lambda: "not saved" in text_of(app))


async def test_a_receipt_is_saved_with_exact_amounts(tmp_path: Path) -> None:
    app = console(ENDED, context=replace(CONTEXT, save_folder=tmp_path))
    async with app.run_test() as pilot:
        await settle(app, ENDED)
        await pilot.press("s")
        await until(lambda: bool(names(tmp_path, "*.json")))
    bill = json.loads((tmp_path / names(tmp_path, "*.json")[0]).read_text())
    assert bill["chargedMicroUsdc"] == "170000" and bill["settlement"] == "SUBMITTED"
    assert [window["reason"] for window in bill["windows"]] == ["NETWORK_ERROR", "OUTSIDE_GEOFENCE"]
    assert int(bill["toAmountMicroUsdc"]) + int(bill["feeAmountMicroUsdc"]) == 170_000


async def test_copying_the_url_reaches_the_clipboard() -> None:
    app = console(LIVE)
    async with app.run_test() as pilot:
        await settle(app, LIVE)
        await pilot.press("c")
        assert app.clipboard == SESSION.stream_url


async def test_full_screen_and_back() -> None:
    app = console(LIVE)
    async with app.run_test() as pilot:
        await settle(app, LIVE)
        await pilot.press("f")
        await pilot.pause()
        assert screen_of(app).query_one(Picture).size == (80, 22)
        assert "Meter" not in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert screen_of(app).query_one(Picture).size == (52, 15) and "Meter" in text_of(app)


async def test_full_screen_still_tells_when_the_link_is_down() -> None:
    app = console(LIVE)
    async with app.run_test() as pilot:
        await settle(app, LIVE)
        await pilot.press("f")
        await pilot.pause()
        assert "offline" not in text_of(app)
        tell(app, OFFLINE)
        await pilot.pause()
        lines = text_of(app).split("\n")
        assert lines[0].startswith(" ▲ offline  what you see is from 14:02:03")
        assert "luxxon" not in lines[1] and "Live" not in lines[1]
        tell(app, LIVE)
        await pilot.pause()
        assert "offline" not in text_of(app)


async def test_a_resize_under_a_card_is_made_up_for() -> None:
    app = console(LIVE)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(app, LIVE)
        await pilot.press("question_mark")
        await pilot.resize_terminal(120, 36)
        await pilot.press("escape")
        await pilot.pause()
        assert screen_of(app).query_one("#side").size.width == 34


async def test_keys_and_palette_open_and_close() -> None:
    app = console(LIVE)
    async with app.run_test() as pilot:
        await settle(app, LIVE)
        await pilot.press("question_mark")
        assert "End the session; asks once" in text_of(app)
        await pilot.press("escape", "ctrl+p")
        await until(lambda: "Full screen" in text_of(app))
        assert "Theme: light" in text_of(app) or "Save frame" in text_of(app)
        await pilot.press("escape")
        await until(lambda: app.screen is screen_of(app))
        await pilot.press("q")
        assert "Leave while a session is live?" in text_of(app)
        await pilot.press("enter")
    assert app.return_code == 0


async def test_a_theme_repaints_every_row() -> None:
    app = console(LIVE)
    async with app.run_test() as pilot:
        await settle(app, LIVE)
        await pilot.pause()
        app.theme = "luxxon-light"
        await pilot.pause()
        grounds = {
            style.bgcolor.get_truecolor().hex
            for lines in screen_of(app).query(Lines)
            for strip in lines.render_lines(lines.size.region)
            for _, style, _ in strip
            if style is not None and style.bgcolor is not None
        }
    assert grounds == {"#fafbfc", "#f0f3f6", "#e8ecf1"}


async def test_no_colour_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = console(OFFLINE, stream=STALLED)
    async with app.run_test() as pilot:
        await settle(app, OFFLINE, stream=STALLED)
        await pilot.pause()
        colours = {
            tuple(colour.get_truecolor())
            for strip in app.screen._compositor.render_strips()
            for _, style, _ in strip
            if style is not None
            for colour in (style.color, style.bgcolor)
            if colour is not None
        }
    assert colours and all(red == green == blue for red, green, blue in colours)


async def test_a_slow_terminal_gets_fewer_frames_and_then_coarser_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = console(LIVE)
    async with app.run_test() as pilot:
        await settle(app, LIVE)
        shown = screen_of(app).query_one(Picture)
        assert shown.driver_name == "quadrants"
        drawn = shown.drawn
        monkeypatch.setattr(Terminal, "pending", lambda _self: 1)
        newest = picture(320, 180)
        assert not any([shown.show(picture()) for _ in range(DROPPED_LIMIT - 1)] + [shown.show(newest)])
        assert shown.drawn == drawn and shown.latest is newest
        monkeypatch.setattr(Terminal, "pending", lambda _self: 0)
        assert shown.show(picture())
        await pilot.pause()
        assert shown.driver_name == "half-blocks"
        while shown.drawn < drawn + COARSE_FRAMES:
            assert shown.show(newest) and shown.driver_name == "half-blocks"
        assert shown.show(newest)
        assert shown.driver_name == "quadrants"


async def test_another_size_gets_the_fine_picture_again() -> None:
    app = console(LIVE)
    async with app.run_test() as pilot:
        await settle(app, LIVE)
        shown = screen_of(app).query_one(Picture)
        shown._way, shown._fine_from, shown._painter = COARSE, 1_000, None
        shown.show(picture())
        assert shown.driver_name == "half-blocks"
        await pilot.resize_terminal(90, 24)
        await pilot.pause()
        assert shown.driver_name == "quadrants"


async def test_rows_go_past_the_compositor_only_when_nothing_covers_them() -> None:
    app = console(LIVE)
    async with app.run_test(notifications=True, size=(120, 36)) as pilot:
        await settle(app, LIVE)
        await pilot.pause()
        terminal = screen_of(app).query_one(Picture)._terminal
        assert terminal.uncovered()
        cover = Static("covers")
        cover.styles.layer = cover.styles.overlay = "screen"
        cover.styles.width = cover.styles.height = 4
        await screen_of(app).query_one("#main").mount(cover, before=0)
        await pilot.pause()
        covered = cover.region.overlaps(screen_of(app).query_one(Picture).region)
        assert covered and not terminal.uncovered()
        await cover.remove()
        await pilot.pause()
        assert terminal.uncovered()
        await pilot.press("question_mark")
        assert not terminal.uncovered()


async def test_a_stream_that_ends_is_closed_and_the_session_goes_on() -> None:
    class Ending(RecordedVideo):
        async def frame(self) -> Image.Image:
            if self.frames.empty():
                raise VideoError("viewer:ended", "the stream has ended")
            return await super().frame()

    video = Ending()
    app = watching(RecordedFeed(LIVE), lambda: video)
    async with app.run_test():
        await until(lambda: video.closed)
        assert app.is_running


async def test_the_picture_reopens_while_the_session_is_live() -> None:
    class Ending(RecordedVideo):
        async def frame(self) -> Image.Image:
            raise VideoError("viewer:ended", "the stream has ended")

    videos: list[RecordedVideo] = [Ending(), RecordedVideo()]
    opened: list[RecordedVideo] = []

    def open_video() -> RecordedVideo:
        opened.append(videos[len(opened)])
        return opened[-1]

    feed = RecordedFeed(LIVE)
    app = watching(feed, open_video)
    async with app.run_test():
        await until(lambda: videos[0].closed)
        feed.queue.put_nowait(LIVE)
        await until(lambda: screen_of(app).query_one(Picture).latest is not None)
        assert len(opened) == 2


async def test_leaving_closes_the_stream() -> None:
    video = RecordedVideo()
    app = watching(RecordedFeed(LIVE), lambda: video)
    async with app.run_test() as pilot:
        await settle(app, LIVE)
        await pilot.press("q", "enter")
    assert video.closed


async def test_the_empty_console_says_what_to_do() -> None:
    app = ConsoleApp(facts=ConsoleContext(), first="live")
    async with app.run_test() as pilot:
        await pilot.pause()
        assert "luxxon demo" in text_of(app) and "nothing live yet" in text_of(app)


async def test_glyphs_take_one_cell() -> None:
    for glyph in "●◌◐✓○▲✕◉◎╋▸→←▄▂▀▴━─▎×·…–−":
        assert cell_len(glyph) == 1
