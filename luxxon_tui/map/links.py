"""Places out of pasted text: coordinates in all their spellings, and the links of map sites.

Nothing is fetched: what a link does not say itself is not found out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from luxxon_core.kernel.geo import Point

LONGEST = 2_000
"""Characters beyond which a text is no place."""

_NUMBER = r"[+-]?\d{1,3}(?:\.\d{1,20})?"
_PAIR = re.compile(rf"\s*({_NUMBER})\s*°?\s*[,;~/\s]\s*({_NUMBER})\s*°?")
_COMMAS = re.compile(r"\s*([+-]?\d{1,3},\d{1,20})\s*[;\s]\s*([+-]?\d{1,3},\d{1,20})\s*")
_ANGLE = re.compile(
    r"\s*(?P<before>[NSEW])?\s*(?P<sign>[+-])?(?P<deg>\d{1,3}(?:\.\d{1,20})?)\s*[°ºd:\s]?"
    r"(?:\s*(?P<min>\d{1,2}(?:\.\d{1,20})?)\s*['′’:m\s]"
    r"(?:\s*(?P<sec>\d{1,2}(?:\.\d{1,20})?)\s*(?:\"|″|”|''|s)?)?)?"
    r"(?(before)|\s*(?P<after>[NSEW])?)\s*[,;]?\s*",
    re.IGNORECASE,
)
_GEO = re.compile(
    rf"geo:({_NUMBER}),({_NUMBER})(?:,-?\d{{1,9}}(?:\.\d{{1,9}})?)?((?:;[^?;]{{1,100}})*)(?:\?(.*))?",
    re.IGNORECASE,
)
_PIN = re.compile(rf"!3d({_NUMBER})!4d({_NUMBER})")
_AT = re.compile(rf"@({_NUMBER}),({_NUMBER})")
_OSM = re.compile(rf"map=\d{{1,2}}(?:\.\d{{1,9}})?/({_NUMBER})/({_NUMBER})")
_PAIRS = (
    "coordinate",
    "ll",
    "q",
    "query",
    "daddr",
    "destination",
    "center",
    "sll",
    "cp",
    "map",
    "pin",
    "loc",
)
_SINGLES = (("mlat", "mlon"), ("lat", "lon"), ("lat", "lng"), ("latitude", "longitude"))
_SHORT = ("maps.app.goo.gl", "goo.gl", "maps.apple", "osm.org", "bit.ly", "t.co")


def parse(text: str) -> Point | None:
    """The place that a text names by numbers: ``4.7110, -74.0720``, degrees with minutes and seconds, a
    ``geo:`` URI (RFC 5870) or a link of a map site. None where there is none, or none on earth."""
    text = text.strip()
    if not text or len(text) > LONGEST or not text.isprintable():
        return None
    if text[:4].lower() == "geo:":
        return _geo(text)
    if "://" in text or text.lower().startswith("www."):
        return _link(text)
    return _coordinates(text)


def is_short_link(text: str) -> bool:
    """Whether a text is a link that only its site can resolve."""
    url = _split(text.strip())
    return url is not None and any(
        (url.hostname or "") == host or (url.hostname or "").endswith("." + host) for host in _SHORT
    )


def _point(lat: str | float, lng: str | float) -> Point | None:
    north, east = float(lat), float(lng)
    if not (math.isfinite(north) and math.isfinite(east)):
        return None
    try:
        return Point(north, east)
    except ValueError:
        return None


def _coordinates(text: str) -> Point | None:
    """Two numbers, in decimals or in degrees, minutes and seconds."""
    found = _PAIR.fullmatch(text)
    if found:
        return _point(found[1], found[2])
    found = _COMMAS.fullmatch(text)
    if found:
        return _point(found[1].replace(",", "."), found[2].replace(",", "."))
    first = _ANGLE.match(text)
    second = _ANGLE.fullmatch(text, first.end()) if first else None
    if first is None or second is None:
        return None
    return _angles(first, second)


def _angles(first: re.Match[str], second: re.Match[str]) -> Point | None:
    values, letters = [], []
    for each in (first, second):
        letter = (each["before"] or each["after"] or "").upper()
        minutes, seconds = float(each["min"] or 0), float(each["sec"] or 0)
        if minutes >= 60 or seconds >= 60 or (letter and each["sign"]):
            return None
        value = float(each["deg"]) + minutes / 60 + seconds / 3600
        values.append(-value if letter in ("S", "W") or each["sign"] == "-" else value)
        letters.append("lat" if letter in ("N", "S") else "lng" if letter else "")
    if letters[0] == "" and letters[1] == "" and first["min"] is None and second["min"] is None:
        return None  # plain decimals were looked at before
    if letters in (["lat", "lng"], ["", ""]):
        return _point(values[0], values[1])
    return _point(values[1], values[0]) if letters == ["lng", "lat"] else None


def _geo(text: str) -> Point | None:
    """RFC 5870; other reference systems than WGS 84 are not known here. Android's ``?q=`` is the pin."""
    found = _GEO.fullmatch(text)
    if not found:
        return None
    for parameter in found[3].split(";"):
        name, _, value = parameter.partition("=")
        if name.lower() == "crs" and value.lower() != "wgs84":
            return None
    asked = _fields(found[4] or "").get("q", "")
    pin = _coordinates(asked.partition("(")[0]) if asked else None
    return pin or _point(found[1], found[2])


def _split(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text if "://" in text else f"https://{text}")
        return url if url.scheme in ("http", "https") and url.hostname else None
    except ValueError:
        return None


def _link(text: str) -> Point | None:
    url = _split(text)
    if url is None:
        return None
    return next(_candidates(url, _fields(url.query) | _fields(url.fragment)), None)


def _fields(query: str) -> dict[str, str]:
    """Name and value of each field; none where there are more than any map site has."""
    return dict(parse_qsl(query)) if query.count("&") < 50 else {}


def _candidates(url: SplitResult, query: Mapping[str, str]) -> Iterator[Point]:
    """What a link may mean: its pin before the middle of its map."""
    host, path = url.hostname or "", unquote(url.path)
    if "yandex" in host or host.endswith("2gis.com"):  # longitude first
        yield from _reversed(query)
        return
    if host.endswith(("mapy.cz", "mapy.com")) and {"x", "y"} <= query.keys():
        yield from _singles(query, (("y", "x"),))
    for pattern, where in ((_PIN, path + url.query), (_OSM, "")):
        found = pattern.search(where)
        yield from _some(found and _point(found[1], found[2]))
    yield from _singles(query, _SINGLES)
    for name in _PAIRS:
        value = query.get(name, "").removeprefix("loc:").removeprefix("geo!")
        yield from _leading(value)
    for part in path.split("/"):
        if part[:1] != "@":
            yield from _some(_coordinates(part.replace("+", " ")))
    for pattern, where in ((_AT, path), (_OSM, unquote(url.fragment))):
        found = pattern.search(where)
        yield from _some(found and _point(found[1], found[2]))


def _reversed(query: Mapping[str, str]) -> Iterator[Point]:
    for name in ("pt", "whatshere[point]", "ll", "m"):
        found = _PAIR.match(query.get(name, ""))
        if found:
            yield from _some(_point(found[2], found[1]))


def _singles(query: Mapping[str, str], names: tuple[tuple[str, str], ...]) -> Iterator[Point]:
    for lat, lng in names:
        if re.fullmatch(_NUMBER, query.get(lat, "")) and re.fullmatch(_NUMBER, query.get(lng, "")):
            yield from _some(_point(query[lat], query[lng]))


def _leading(value: str) -> Iterator[Point]:
    """A pair at the start of a value, that a zoom or a name may follow."""
    whole = _coordinates(value)
    if whole:
        yield whole
        return
    found = _PAIR.match(value)
    if found and value[found.end() : found.end() + 1] in ("", ",", "~", "(", " "):
        yield from _some(_point(found[1], found[2]))


def _some(point: Point | None) -> Iterator[Point]:
    if point is not None:
        yield point
