"""Places out of pasted text; whatever is pasted, it is a place on earth or nothing, and at once."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.kernel.geo import Point, distance_m
from luxxon_tui.map.links import LONGEST, is_short_link, parse

HERE = Point(50.85, 4.35)
SAME = [
    "50.85, 4.35",
    " 50.85,4.35 ",
    "50.85 4.35",
    "50.85; 4.35",
    "+50.85, +4.35",
    "50,85 4,35",
    "50.85° 4.35°",
    "50.85N 4.35E",
    "N50.85 E4.35",
    "4.35E 50.85N",
    "E4.35 N50.85",
    "50°51'N 4°21'E",
    "50°51′00″N, 4°21′00″E",
    "50 51 0 N 4 21 0 E",
    "N 50° 51.0' E 4° 21.0'",
    "geo:50.85,4.35",
    "GEO:50.85,4.35",
    "geo:50.85,4.35,183;crs=wgs84;u=40",
    "geo:50.85,4.35;crs=WGS84",
    "geo:0,0?q=50.85,4.35(Grand-Place)",
    "https://www.google.com/maps/@50.85,4.35,15z",
    "https://www.google.com/maps/place/X/@1,2,17z/data=!3m1!4b1!4m6!3m5!1s0x0!8m2!3d50.85!4d4.35",
    "https://maps.google.com/?q=50.85,4.35",
    "https://maps.google.com/maps?q=loc:50.85,4.35",
    "https://www.google.com/maps/search/?api=1&query=50.85%2C4.35",
    "https://www.google.com/maps/dir/?api=1&destination=50.85,4.35",
    "https://www.google.com/maps/search/50.85,+4.35?entry=tts",
    "https://www.google.com/maps/place/50%C2%B051'00.0%22N+4%C2%B021'00.0%22E/",
    "https://www.openstreetmap.org/#map=15/50.85/4.35",
    "https://www.openstreetmap.org/?mlat=50.85&mlon=4.35#map=12/1/2",
    "https://maps.apple.com/?ll=50.85,4.35&q=Here",
    "https://maps.apple.com/place?coordinate=50.85,4.35&name=x",
    "https://www.bing.com/maps?cp=50.85~4.35&lvl=12",
    "https://yandex.com/maps/?ll=4.35%2C50.85&z=12",
    "https://wego.here.com/?map=50.85,4.35,12,normal",
    "https://mapy.cz/zakladni?x=4.35&y=50.85&z=12",
    "https://waze.com/ul?ll=50.85,4.35&navigate=yes",
    "www.google.com/maps/@50.85,4.35,15z",
]


@pytest.mark.parametrize("text", SAME)
def test_one_place_in_many_spellings(text: str) -> None:
    found = parse(text)
    assert found is not None and distance_m(found, HERE) < 1


@pytest.mark.parametrize(
    ("text", "lat", "lng"),
    [
        ("4.7110, -74.0720", 4.711, -74.072),
        ("-33.8688,151.2093", -33.8688, 151.2093),
        ("33°51'S 151°12'E", -33.85, 151.2),
        ("33°51'S, 70°30'W", -33.85, -70.5),
        ("0,0", 0.0, 0.0),
        ("90,180", 90.0, 180.0),
        ("geo:-33.8,-70.5", -33.8, -70.5),
    ],
)
def test_each_quarter_of_the_earth(text: str, lat: float, lng: float) -> None:
    assert parse(text) == Point(lat, lng)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "Brussels",
        "10 Downing St 5",
        "12:30, 4:20",
        "91, 0",
        "0, 181",
        "50.85",
        "1,2,3",
        "nan, nan",
        "inf, 0",
        "1e5, 3",
        "50°61'N 4°21'E",
        "50N 51N",
        "4E 5E",
        "-50N 4E",
        "geo:50.85",
        "geo:50.85,4.35;crs=nad27",
        "geo:95,4",
        "https://maps.app.goo.gl/abcdef",
        "https://example.org/",
        "http://[::1",
        "https://[50.85,4.35]/",
        "javascript:50.85,4.35",
        "https://www.google.com/maps/@nan,nan,15z",
        "https://maps.example/?q=" + "&q=".join("1" * 40 for _ in range(300)),
        "50.85, 4.35\x1b[31m",
        "50.85,\u202e4.35",
        "٣,٤\x00",
        "9" * LONGEST,
        "50.85, 4.35" + " " * LONGEST + "x",
    ],
)
def test_what_is_no_place(text: str) -> None:
    assert parse(text) is None


HOSTILE = [
    "1" * 1_999,
    "1," * 900,
    "50 " * 600,
    "°" * 1_900,
    "N " * 900,
    "1'" * 900,
    "geo:" + "1," * 900,
    "geo:1,2" + ";a=b" * 450,
    "geo:1,2?" + "q=1&" * 400,
    "https://a.b/" + "@1,2" * 400,
    "https://a.b/" + "/1" * 900,
    "https://a.b/?" + "&" * 1_900,
    "https://a.b/#" + "map=1/" * 300,
    "https://a.b/" + "%31" * 600,
    "https://a.b/" + "!3d1" * 450,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_takes_no_time(text: str) -> None:
    began = time.process_time()
    for _ in range(5):
        parse(text)
    assert (time.process_time() - began) / 5 < 0.02


@given(st.text(max_size=80) | st.from_regex(r"[-+0-9.,;:'\"°NSEW geo?=&/@#!d]{0,60}"))
def test_anything_is_a_place_on_earth_or_nothing(text: str) -> None:
    found = parse(text)
    assert found is None or (-90 <= found.lat <= 90 and -180 <= found.lng <= 180)


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_what_is_shown_can_be_pasted(lat: float, lng: float) -> None:
    found = parse(f"{lat:.6f}, {lng:.6f}")
    assert found is not None
    assert abs(found.lat - lat) < 1e-6 and abs(found.lng - lng) < 1e-6


def test_short_links_are_told_apart() -> None:
    assert is_short_link("https://maps.app.goo.gl/abc")
    assert not is_short_link("https://www.google.com/maps/")
    assert not is_short_link("http://[::1")
    assert not is_short_link("https://notgoo.gl/x")
