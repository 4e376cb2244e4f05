"""The rules of coverage and availability as pure functions."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketplace import GRAND_PLACE, NOON, at

from luxxon_core.kernel.errors import InvalidInput, LuxxonError, NotAuthorized
from luxxon_core.kernel.geo import Circle, Point
from luxxon_core.workspaces.domain import Availability, Patch, Role, Workspace, new_workspace, patched

CIRCLE = Circle(GRAND_PLACE, 500)


def supplier(availability: Availability = Availability.OFFLINE, circle: Circle | None = CIRCLE) -> Workspace:
    made = new_workspace(
        workspace_id=UUID(int=1), slug="abc", name="x", wallet_address="0x", roles=["SUPPLIER"], now=NOON
    )
    idle_since = NOON if availability is Availability.ONLINE else None
    return replace(
        made,
        coverage_lat=circle and circle.center.lat,
        coverage_lng=circle and circle.center.lng,
        coverage_radius_m=circle and circle.radius_m,
        availability=availability,
        idle_since=idle_since,
    )


def detail(workspace: Workspace, patch: Patch) -> str | None:
    with pytest.raises(LuxxonError) as caught:
        patched(workspace, patch, at(5))
    assert isinstance(caught.value, InvalidInput | NotAuthorized)
    return caught.value.detail


def test_going_online_starts_the_wait_and_staying_online_does_not_restart_it() -> None:
    online = patched(supplier(), Patch(availability="ONLINE"), at(5))
    assert (online.availability, online.idle_since, online.last_seen_at) == (
        Availability.ONLINE,
        at(5),
        at(5),
    )
    again = patched(online, Patch(availability="ONLINE", name="y"), at(9))
    assert (again.idle_since, again.name) == (at(5), "y")
    offline = patched(again, Patch(availability="OFFLINE"), at(10))
    assert (offline.availability, offline.idle_since) == (Availability.OFFLINE, None)
    assert patched(offline, Patch(availability="ONLINE"), at(20)).idle_since == at(20)


@given(st.lists(st.sampled_from(["ONLINE", "OFFLINE"]), min_size=1, max_size=5))
def test_busy_stays_busy_and_remembers_the_last_wish(wishes: list[str]) -> None:
    busy = supplier(Availability.BUSY)
    for wish in wishes:
        busy = patched(busy, Patch(availability=wish), at(5))
        assert busy.availability is Availability.BUSY
    assert busy.wished_availability == wishes[-1]


def test_what_may_not_be_asked() -> None:
    assert detail(supplier(), Patch(availability="BUSY")) == "workspace:availabilityState"
    assert detail(supplier(circle=None), Patch(availability="ONLINE")) == "workspace:coverageRequired"
    half = supplier(circle=None)
    half = replace(half, coverage_lat=1.0, coverage_lng=2.0)
    assert detail(half, Patch(availability="ONLINE")) == "workspace:coverageRequired"
    assert detail(supplier(), Patch(coverage_radius_m=0.5)) == "workspace:coverageRadiusMeters"
    assert detail(supplier(circle=None), Patch(coverage_lat=91)) == "workspace:coverageLat"
    assert detail(supplier(circle=None), Patch(coverage_lng=-181)) == "workspace:coverageLng"
    consumer = replace(supplier(), roles=frozenset({Role.CONSUMER}))
    assert detail(consumer, Patch(availability="OFFLINE")) == "session:notSupplier"


def test_a_circle_is_patched_by_its_parts() -> None:
    wider = patched(supplier(), Patch(coverage_radius_m=900), NOON)
    assert wider.coverage == Circle(GRAND_PLACE, 900)
    moved = patched(wider, Patch(coverage_lat=-1.5), NOON)
    assert moved.coverage is not None
    assert (moved.coverage.center.lat, moved.coverage.center.lng) == (-1.5, GRAND_PLACE.lng)


NUMBERS = {"coverage_lat": 0.0, "coverage_lng": -0.25, "coverage_radius_m": 750.0}


@given(st.permutations(list(NUMBERS)), st.sampled_from([Availability.OFFLINE, Availability.BUSY]))
def test_a_circle_is_told_number_by_number_in_any_order(names: list[str], state: Availability) -> None:
    workspace = supplier(state, circle=None)
    for known, name in enumerate(names):
        assert workspace.coverage is None
        assert detail(workspace, Patch(availability="ONLINE")) == "workspace:coverageRequired"
        workspace = patched(workspace, Patch(**{name: NUMBERS[name]}), NOON)
        assert [getattr(workspace, one) for one in names[: known + 1]] == [
            NUMBERS[one] for one in names[: known + 1]
        ]
        assert all(getattr(workspace, one) is None for one in names[known + 1 :])
    assert workspace.coverage == Circle(Point(0.0, -0.25), 750)
    assert patched(workspace, Patch(availability="ONLINE"), NOON).coverage == workspace.coverage


@given(st.sampled_from(list(NUMBERS)))
def test_the_last_number_may_come_with_the_wish_to_go_online(last: str) -> None:
    workspace = patched(supplier(circle=None), Patch(**{k: v for k, v in NUMBERS.items() if k != last}), NOON)
    online = patched(workspace, Patch(availability="ONLINE", **{last: NUMBERS[last]}), NOON)
    assert online.availability is Availability.ONLINE
    assert online.coverage == Circle(Point(0.0, -0.25), 750)


def test_an_empty_patch_changes_nothing() -> None:
    for availability in Availability:
        assert patched(supplier(availability), Patch(), at(5)) == supplier(availability)
