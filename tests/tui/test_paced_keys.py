"""Keys that come in one burst: each finds what the one before it has opened; none answers a question that did
not stand yet when it was pressed."""

from __future__ import annotations

from typing import Any

import pytest
from frames import console, stored, text_of
from scenes import until
from textual import events
from textual.widgets import Input

from luxxon_tui import paced
from luxxon_tui.app import ConsoleApp
from luxxon_tui.widgets import card
from luxxon_tui.widgets.ask import Ask
from luxxon_tui.widgets.card import Card
from luxxon_tui.widgets.question import Question, question_card

pytestmark = pytest.mark.held_keys


def burst(app: ConsoleApp, keys: str) -> None:
    """What a paste into a terminal without bracketed paste, or a slow line, gives: all at once."""
    for key in keys:
        name = {"\r": "enter", "/": "slash", ".": "full_stop"}.get(key, key)
        app.post_message(events.Key(name, None if key == "\r" else key))


def clocked(monkeypatch: pytest.MonkeyPatch, now: list[float]) -> None:
    """Time as the test has it."""
    for module in (paced, card):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])


class Opening(ConsoleApp):
    """A console in which ``x`` opens a card from a worker, and ``enter`` asks."""

    answers: list[Any]

    def key_x(self) -> None:
        async def asked() -> None:
            self.answers.append(await self.push_screen_wait(Ask("How much?")))

        self.run_worker(asked())

    def key_p(self) -> None:
        self.push_screen(question_card(Question("Pay?", (), "pay", "not now")), self.answers.append)


def opening() -> Opening:
    plain = console(stored("filled"), "activity")
    app = Opening(store=plain.store, facts=plain.facts, clock=plain.clock, first="activity")
    app.answers = []
    return app


async def test_a_burst_goes_to_the_card_that_its_first_key_opens() -> None:
    app = opening()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        burst(app, "x12.5\r")
        await until(lambda: app.answers == ["12.5"])
        assert app.current_mode == "activity", "1 and 2 are screens, where no card stands"


async def test_a_burst_finds_the_screen_that_its_first_key_shows() -> None:
    app = console(stored("filled"), "map")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        burst(app, "3/12")
        await until(lambda: isinstance(app.focused, Input) and app.focused.value == "12")
        assert app.current_mode == "sessions"


async def test_a_pressed_twice_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opening()
    now = [100.0]
    clocked(monkeypatch, now)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        # as if enter were what opens it
        app.key_enter = app.key_p  # type: ignore[attr-defined]
        app.set_focus(None)
        burst(app, "\r\r")
        await until(lambda: isinstance(app.screen, Card) and "Pay?" in text_of(app))
        for _ in range(5):  # held down
            now[0] += 0.1
            await pilot.press("enter")
        assert not app.answers and isinstance(app.screen, Card)
        now[0] += paced.HELD_SECONDS
        await pilot.press("enter")
        await until(lambda: app.answers == [True])


async def test_keys_that_come_as_the_card_stands_do_not_overtake_those_that_wait() -> None:
    app = opening()
    handled, late = app._handled, list("345")

    def handled_and_more(turn: int) -> None:
        # These are in the app's queue before it is told to go on with the one that waits
        if app._waiting and late:
            burst(app, late.pop(0))
        handled(turn)

    app._handled = handled_and_more  # type: ignore[method-assign]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        burst(app, "x12")
        await until(lambda: isinstance(app.focused, Input) and len(app.focused.value) == 5)
        assert isinstance(app.focused, Input) and app.focused.value == "12345"


async def test_a_key_that_was_an_echo_lets_none_overtake_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opening()
    echoes = app._echoes

    def echoed(key: str) -> bool:
        if key != "a":
            return echoes(key)
        burst(app, "3")  # behind "2", which waits
        return True

    app._echoes = echoed  # type: ignore[method-assign]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        burst(app, "x1a2")
        await until(lambda: isinstance(app.focused, Input) and len(app.focused.value) == 3)
        assert isinstance(app.focused, Input) and app.focused.value == "123"


async def test_a_question_that_opens_late_is_not_answered_as_it_appears(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opening()
    now = [100.0]
    clocked(monkeypatch, now)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.set_focus(None)
        await pilot.press("enter")
        now[0] += 1.2  # a server was asked meanwhile
        app.key_p()
        await until(lambda: isinstance(app.screen, Card) and "Pay?" in text_of(app))
        now[0] += 0.05
        await pilot.press("enter")
        await pilot.pause()
        assert not app.answers and isinstance(app.screen, Card)
        now[0] += 0.05
        await pilot.press("y")
        await until(lambda: app.answers == [True])


async def test_another_key_answers_at_once() -> None:
    app = opening()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        burst(app, "p\r")
        await until(lambda: app.answers == [True])


async def test_what_hangs_holds_keys_up_for_no_longer_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(ConsoleApp, "_pass", lambda *_: None)  # nothing ever reports
    app = opening()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        burst(app, "p\r")
        await until(lambda: app.answers == [True])
