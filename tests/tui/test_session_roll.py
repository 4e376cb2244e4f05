"""A list that is kept up says the same as one that is made anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from frames import BRUSSELS, LISBON, PAID, PLAIN, SESSIONS, TOKYO, session
from scenes import NOW

from luxxon_tui.map.scenery import own_sessions
from luxxon_tui.screens.session_figures import Filter, Listing, Order, passes, today
from luxxon_tui.screens.session_list import items
from luxxon_tui.screens.session_roll import Roll
from luxxon_tui.store import Store
from luxxon_tui.views import SessionView

STATES = ("REQUESTED", "ASSIGNED", "LIVE", "ENDED", "EXPIRED", "CANCELLED")


def some(random: Random, number: int) -> SessionView:
    """A session of the last days, or of just now; some are as old as each other."""
    state = random.choice(STATES)
    lasted = 0 if state in ("REQUESTED", "ASSIGNED", "CANCELLED") else random.choice((0, 40, 4000))
    return session(
        number,
        state,
        random.choice((BRUSSELS, LISBON, TOKYO)),
        random.choice((1, 1, 30, 600, 1500, 3000, 9000)) + random.choice((0, 0, 0.5)),
        lasted=lasted,
        lost=lasted // random.choice((4, 40)),
        side=random.choice(("consumer", "operator")),
        **(PAID if random.random() < 0.5 else {}),
    )


def kept_up(random: Random, roll: Roll, store: Store, orders: list[tuple[Filter, Order, str]]) -> None:
    for _ in range(200):
        store.put(*(some(random, random.randrange(60)) for _ in range(random.choice((1, 1, 3)))))
        if random.random() < 0.5:
            roll.follow(store.index)
            roll.shelf(*random.choice(orders))
    roll.follow(store.index)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_up_is_what_would_be_made_anew(seed: int) -> None:
    random, store, roll = Random(seed), Store(), Roll(PLAIN.zone)
    orders = [(wanted, order, search) for wanted in Filter for order in Order for search in ("", "conf 35.6")]
    kept_up(random, roll, store, orders)
    sessions = tuple(store.sessions.value.values())
    for wanted, order, search in orders:
        plain = Listing(sessions, {}, NOW, PLAIN.zone, wanted, order, search)
        told = [item.content(100) for item in items(plain)]
        assert [item.content(100) for item in items(replace(plain, sessions=roll))] == told
        assert roll.counts[wanted] == sum(passes(view, wanted) for view in sessions)
    mine, anew = roll.today(NOW), today(sessions, NOW, PLAIN.zone)
    assert mine.quarters == pytest.approx(anew.quarters)
    assert replace(mine, quarters=()) == replace(anew, quarters=())


def test_what_is_open_and_what_is_to_be_paid_is_kept_up() -> None:
    random, store = Random(5), Store()
    kept_up(random, Roll(PLAIN.zone), store, [(Filter.ALL, Order.NEWEST, "")])
    sessions = store.sessions.value
    waiting = {key for key, view in sessions.items() if view.state in ("REQUESTED", "ASSIGNED", "LIVE")}
    owed = {key for key, view in sessions.items() if view.charged_micro and not view.settled} - waiting
    assert (store.index.open.keys(), store.index.unpaid.keys()) == (waiting, owed)
    assert waiting and owed
    assert {view.id for view in own_sessions(store)} == {
        key for key in waiting | owed if sessions[key].side == "consumer"
    }


def test_places_and_keys_agree() -> None:
    listing = Listing(tuple(some(Random(7), number) for number in range(80)), {}, NOW, PLAIN.zone)
    for order in Order:
        found = items(replace(listing, order=order))
        choices = [place for place, item in enumerate(found) if item.key is not None]
        assert [found.place(found[place].key or "") for place in choices] == choices
        assert [found.moved(place, 0) for place in choices] == choices
        assert [found.moved(place, 1) for place in choices] == [*choices[1:], choices[-1]]
        assert (found.moved(None, 0), found.moved(choices[-1], -100)) == (choices[0], choices[0])
    assert items(Listing((), {}, NOW, PLAIN.zone)).moved(None, 1) is None


def test_a_heading_stands_over_each_day() -> None:
    dated = tuple(replace(view, created_at=view.created_at - timedelta(days=1)) for view in SESSIONS[2:])
    listing = Listing((*SESSIONS[:2], *dated), {}, NOW, PLAIN.zone)
    headings = [item.content(40)[1].text for item in items(listing) if item.key is None]
    assert headings == ["yesterday", "11 May"]


def test_a_store_tells_what_has_changed_and_what_is_open() -> None:
    store = Store()
    store.put(*SESSIONS)
    begun = store.index.revision
    assert set(store.index.open) == {SESSIONS[0].id, SESSIONS[1].id}
    store.put(SESSIONS[0])  # nothing new
    assert store.index.since(begun) == []
    store.put(replace(SESSIONS[0], state="ENDED"), SESSIONS[3])
    assert store.index.since(begun) == [SESSIONS[0].id]
    assert set(store.index.open) == {SESSIONS[1].id}
    store.forget()
    assert store.index.since(begun) is None and not store.index.open
