"""Keys that a user moves, keys that cannot be moved, and keys of everything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from frames import PLAIN, console, filled, pane, shows, text_of
from scenes import until
from textual.binding import Binding

from luxxon_tui.actions import action, key_name, keymap
from luxxon_tui.app import ConsoleApp
from luxxon_tui.screens.table import SCREENS
from luxxon_tui.store import Side
from luxxon_tui.widgets.footer import Footer

PLACES = {
    "app": [action("app.leave", "q", "quit", "Leave")],
    "live": [
        action("live.end", "e", "end", "End"),
        action("live.save_frame", "s", "save frame", "Save"),
        action("live.save_receipt", "s", "save receipt", "Save"),
    ],
    "sessions": [action("sessions.end", "e", "end", "End"), action("sessions.sort", "o", "sort", "Sort")],
}


def test_a_key_moves_on_its_own_screen_alone() -> None:
    checked = keymap({"live.end": "E", "sessions.end": "o"}, PLACES)
    assert checked.keys == {"live.end": "E"}
    assert checked.faults == ("sessions.end: o is the key of sessions.sort",)


def test_keys_may_change_places() -> None:
    checked = keymap({"sessions.end": "o", "sessions.sort": "e"}, PLACES)
    assert checked.faults == () and checked.keys == {"sessions.end": "o", "sessions.sort": "e"}


def test_who_shares_a_key_keeps_it_when_the_other_moves() -> None:
    checked = keymap({"live.save_frame": "S"}, PLACES)
    assert checked.faults == () and checked.keys == {"live.save_frame": "S", "live.save_receipt": "s"}


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ({"live.nothing": "x"}, "there is no action live.nothing"),
        ({"live.end": ""}, "live.end has no key"),
        ({"live.end": "q"}, "live.end: q is the key of app.leave"),
        ({"app.leave": "o"}, "app.leave: o is the key of sessions.sort"),
    ],
)
def test_what_cannot_be_is_told_and_left_as_it_was(wanted: dict[str, str], fault: str) -> None:
    checked = keymap(wanted, PLACES)
    assert checked.keys == {} and checked.faults == (fault,)


def test_every_action_is_named_once_and_explained() -> None:
    every = [*ConsoleApp.BINDINGS]
    for entry in SCREENS:
        every += [*entry.load().BINDINGS]
    named = [one for one in Binding.make_bindings(every) if one.id is not None]
    assert all("." in (one.id or "") for one in named)
    owners = {(one.id, one.action) for one in named}
    assert len({name for name, _ in owners}) == len(owners)
    shown = [one for one in named if one.show]
    assert [one.id for one in shown if not one.tooltip or one.tooltip.endswith(".")] == []


@pytest.mark.parametrize("entry", SCREENS, ids=lambda entry: entry.mode)
def test_the_defaults_of_a_screen_do_not_clash(entry: object) -> None:
    screen = entry.load()  # type: ignore[attr-defined]
    every = [*Binding.make_bindings([*ConsoleApp.BINDINGS]), *Binding.make_bindings(screen.BINDINGS)]
    own: dict[str, set[str]] = {}
    for one in every:
        if one.id and not one.id.startswith("cameras.preset_"):  # a digit after `g` alone
            own.setdefault(one.key, set()).add(one.id)
    shared = {key: names for key, names in own.items() if len({name.split(".")[0] for name in names}) > 1}
    assert shared.keys() <= {"r"}, "keys of everything belong to everything"  # retry: while offline alone


async def test_a_moved_key_works_and_the_footer_says_so() -> None:
    app = console(filled(), "sessions", context=replace(PLAIN, keymap={"sessions.sort": "O", "no.such": "x"}))
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await shows(app, "there is no action no.such")
        footer = pane(app).query_one(Footer)
        await until(lambda: "O sort" in "".join(span.text for row in footer.rows for span in row))
        await pilot.press("question_mark")
        await shows(app, "Sort by the next")
        assert "O  Sort by the next" in text_of(app)


async def test_keys_of_everything() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(120, 36)) as pilot:
        await shows(app, "CONFIRMED")
        await pilot.press("2")
        await until(lambda: app.current_mode == "live")
        await pilot.press("3")
        await until(lambda: app.current_mode == "sessions")
        await pilot.press("ctrl+r")
        assert app.store.side.value is Side.OPERATE
        await pilot.press("ctrl+p", *"00000004")
        await shows(app, "Session 00000004")
        await pilot.press("enter")
        await until(lambda: app.store.watched.value == filled().sessions.value[f"00000004{REST}"].id)


REST = "-53d1-4b6f-9a2e-0d1f6c5b7e21"


async def test_leaving_asks_once_while_something_is_live() -> None:
    app = console(filled(), "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("q")
        await shows(app, "Leave while a session is live?")
        await pilot.press("escape")
        await pilot.pause()
        assert app.is_running and app.return_code is None
        await pilot.press("q", "ctrl+c")
    assert app.return_code == 0


def test_keys_are_written_as_people_write_them() -> None:
    written = {"ctrl+p": "^p", "slash": "/", "escape": "esc", "shift+up": "shift+↑", "question_mark": "?"}
    assert {key: key_name(Binding(key, "x")) for key in written} == written
