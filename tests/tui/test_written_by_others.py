"""What others have written reaches the terminal as text and nothing else, and breaks no screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import frames
import msgspec
import pytest
from frames import PLAIN, SIZES, shows, text_of
from rich.cells import cell_len
from scenes import NOW, RecordedVideo, until

from luxxon_tui import browser
from luxxon_tui.app import ConsoleApp
from luxxon_tui.rows import Span, plain, row, strip_of
from luxxon_tui.save import save_receipt
from luxxon_tui.store import Readiness
from luxxon_tui.store.state import Happening
from luxxon_tui.themes import PALETTES
from luxxon_tui.views import Failure, Loss
from luxxon_tui.widgets.ask import Ask

EVIL = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\nz"
MARKUP = "no [/such] tag [red]and[/red] [@click=app.leave]a link[/]"
WIDE = "漢字e\u0301\N{WOMAN}\u200d\N{GIRL}[red][/x]\x1b[2J\u202e\n\tש" * 6


def written(app: ConsoleApp) -> str:
    """What goes to the terminal."""
    strips = app.screen._compositor.render_strips()
    return "".join(strip.render(app.console) for strip in strips)


def test_what_a_terminal_would_obey_is_left_out_and_takes_no_room() -> None:
    spans = row(Span(EVIL, link=f"https://x.test/{EVIL}"), WIDE)
    strip = strip_of(spans, PALETTES["luxxon-dark"], 200)
    assert strip.cell_length == 200 == cell_len(strip.text)
    styled = "".join(segment.text + str(segment.style and segment.style.link) for segment in strip)
    assert not any(sign in styled for sign in "\x1b\x07\x9b\u202e\n\t")
    assert plain("Bogotá, 東京\u00a0é") == "Bogotá, 東京\u00a0é"
    assert plain("\ud800.jpg").encode() == "\ufffd.jpg".encode(), "the name of a file need not be UTF-8"


@pytest.mark.parametrize("words", [MARKUP, "at [10:20]", EVIL])
async def test_a_toast_says_what_it_was_given(words: str) -> None:
    app = frames.console(frames.filled(), "sessions")
    async with app.run_test(size=(120, 36), notifications=True):
        app.screen.notify(f"not ended: {words}", title=words)
        await shows(app, "not ended: " + plain(words)[:12])
        assert "\x1b]0;" not in written(app) and "@click" not in str(app.screen.tree).lower()
        assert words is EVIL or plain(words)[:20] in text_of(app)


@pytest.mark.parametrize("name", [MARKUP, EVIL])
async def test_the_palette_shows_names_as_they_are(name: str) -> None:
    store = frames.filled()
    who = store.who.value
    assert who is not None
    store.who.set(replace(who, memberships=(("other", name, "OWNER"),)))
    app = frames.console(store, "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("ctrl+p")
        await shows(app, "Sort by the next")
        await pilot.press(*"workspace", "colon")
        await shows(app, f"Workspace: {plain(name)}"[:40])
        assert "\x1b]0;" not in written(app)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("screen", ["map", "live", "sessions", "wallet", "activity", "workspace"])
async def test_no_name_breaks_a_screen(screen: str, size: tuple[int, int]) -> None:
    store = frames.filled()
    who, config, workspace = store.who.value, store.config.value, store.workspace.value
    assert who is not None
    store.who.set(replace(who, workspace_name=WIDE, workspace_slug=WIDE))
    store.config.set(msgspec.structs.replace(config, chain_name=WIDE, explorer_url="https://" + WIDE))  # type: ignore[type-var]
    store.workspace.set(msgspec.structs.replace(workspace, name=WIDE, slug=WIDE))  # type: ignore[type-var]
    store.places.set(dict.fromkeys(store.places.value, WIDE))
    told = {"losses": (Loss(WIDE, 1, 2),), "fault": WIDE, "tx_hash": WIDE}
    store.put(*(replace(view, **told) for view in frames.SESSIONS))  # type: ignore[arg-type]
    store.note(Happening(NOW, WIDE, frames.SESSIONS[0].id, WIDE))
    store.log(WIDE)
    app = ConsoleApp(store=store, open_video=RecordedVideo, facts=PLAIN, clock=lambda: NOW, first=screen)

    def fits() -> bool:
        strips = app.screen._compositor.render_strips()
        return all(strip.cell_length == cell_len(strip.text) == size[0] for strip in strips)

    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert fits() and "\x1b[2J" not in written(app)
        store.failure.set(Failure(WIDE, WIDE, WIDE))
        store.readiness.set(Readiness.FAILED)
        await pilot.pause()
        assert fits() and "\x1b[2J" not in written(app)


async def test_a_name_to_change_comes_without_what_a_terminal_would_obey() -> None:
    app = frames.console(frames.filled(), "sessions")
    async with app.run_test() as pilot:
        app.push_screen(Ask("Rename", value=EVIL))
        await pilot.pause()
        assert "owned" in text_of(app) and "\x1b]0;" not in written(app)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)", "--help"])
async def test_only_pages_are_opened(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = frames.console(frames.filled(), "sessions")
    opened: list[str] = []

    async def take(address: str) -> bool:
        opened.append(address)
        return True

    async with app.run_test():
        monkeypatch.setenv("BROWSER", "any")
        monkeypatch.setattr(browser, "opened", take)
        monkeypatch.setattr(browser, "sees_files", lambda _environment: False)
        app.open_url(url)
        app.open_url("https://sepolia.basescan.org/tx/0x1")
        await until(lambda: bool(opened))
        assert opened == ["https://sepolia.basescan.org/tx/0x1"]


def test_a_file_is_named_by_no_path_and_none_is_written_over(tmp_path: Path) -> None:
    session = replace(frames.SESSIONS[3], id="../../../etc/cron.d")
    paths = [save_receipt(session, tmp_path / "saved", NOW) for _ in range(3)]
    assert len(set(paths)) == 3 and all(path.parent == tmp_path / "saved" for path in paths)
