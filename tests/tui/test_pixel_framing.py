"""What kitty and sixel pictures are made of, byte for byte, read as their specifications say.

Sources: kitty, "Terminal graphics protocol" (escape codes, remote client chunks, Unicode placeholders);
tmux(1), ``allow-passthrough``; DEC STD 070, sixel; ECMA-48 §5.6 for control strings.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64decode

import numpy as np
import pytest

from luxxon_tui.picture.kitty import PLACEHOLDER, Kitty, KittyPlaced, diacritics
from luxxon_tui.picture.sixel import Sixel

FIELD, CELL = (40, 12), (10, 20)
ESC = "\x1b"


def noise(width: int, height: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def drawn(driver: Kitty | Sixel) -> tuple[str, np.ndarray]:
    pixels = noise(*driver.size(*FIELD))
    return driver.draw(driver.paint(pixels), 2, 1).decode(), pixels


def unwrapped(stream: str) -> tuple[str, list[str]]:
    """A stream as the terminal outside tmux gets it, and what was in each passthrough.

    tmux reads ``DCS tmux;`` to the first ESC that is not doubled, which must begin ST.
    """
    outside, payloads, place = "", [], 0
    head = f"{ESC}Ptmux;"
    while (start := stream.find(head, place)) >= 0:
        outside += stream[place:start]
        at, payload = start + len(head), ""
        while True:
            character = stream[at]
            if character != ESC:
                payload += character
                at += 1
            elif stream[at + 1] == ESC:
                payload += ESC
                at += 2
            else:
                assert stream[at + 1] == "\\", "an ESC that is neither doubled nor ST ends the passthrough"
                break
        payloads.append(payload)
        outside += payload
        place = at + 2
    return outside + stream[place:], payloads


def commands(stream: str) -> list[tuple[dict[str, str], str]]:
    """Keys and payload of each graphics command; nothing of one may be left over."""
    found = re.findall(rf"{ESC}_G([^;{ESC}]*)(?:;([^{ESC}]*))?{ESC}\\", stream)
    assert len(found) == stream.count(f"{ESC}_G")
    return [(dict(pair.split("=") for pair in keys.split(",")), data) for keys, data in found]


@pytest.mark.parametrize("tmux", [False, True], ids=["plain", "tmux"])
def test_kitty_with_placeholders(tmux: bool) -> None:
    driver = Kitty(*FIELD, CELL, tmux=tmux)
    stream, pixels = drawn(driver)
    if tmux:
        raw, (stream, payloads) = stream, unwrapped(stream)
        assert re.search(rf"(?<!{ESC}){ESC}_G", raw) is None, "no graphics command is outside a passthrough"
        assert all(payload.startswith(f"{ESC}_G") and payload.endswith(f"{ESC}\\") for payload in payloads)
        assert all(payload.count(f"{ESC}_G") == 1 for payload in payloads), "each passthrough one command"
        assert PLACEHOLDER not in "".join(payloads), "placeholders are text: tmux has to know of them"
    every = commands(stream)
    first, data = every[0][0], "".join(payload for _, payload in every)
    assert first["a"] == "T" and first["U"] == "1" and first["q"] == "2"
    assert (int(first["c"]), int(first["r"])) == FIELD
    assert 0 < int(first["i"]) < 1 << 24, "an id that an ink of 24 bits can say"
    assert [keys["m"] for keys, _ in every] == ["1"] * (len(every) - 1) + ["0"] and len(every) > 1
    assert all(set(keys) <= {"m", "q"} for keys, _ in every[1:])
    assert all(len(payload) <= 4096 for _, payload in every)
    assert all(len(payload) % 4 == 0 for _, payload in every[:-1])
    image = zlib.decompress(b64decode(data, validate=True))
    assert len(image) == int(first["s"]) * int(first["v"]) * 3 and image == pixels.tobytes()
    for row in range(FIELD[1]):
        ink = ";".join(str(int(first["i"]) >> shift & 255) for shift in (16, 8, 0))
        cells = "".join(PLACEHOLDER + diacritics()[row] + diacritics()[x] for x in range(FIELD[0]))
        assert f"{ESC}[{row + 2};3H{ESC}[38;2;{ink}m{cells}{ESC}[0m" in stream
    gone, _ = unwrapped(driver.erase())
    assert commands(gone) == [({"a": "d", "d": "I", "i": first["i"], "q": "2"}, "")]


def test_kitty_at_the_cursor_leaves_it_where_it_is() -> None:
    stream, _ = drawn(KittyPlaced(*FIELD, CELL))
    assert stream.startswith(f"{ESC}[2;3H{ESC}_G") and PLACEHOLDER not in stream
    assert commands(stream)[0][0]["C"] == "1"


def test_sixel_is_made_of_nothing_else() -> None:
    driver = Sixel(*FIELD, CELL)
    stream, _ = drawn(driver)
    images = re.findall(rf"{ESC}\[(\d+);(\d+)H{ESC}P0;1q([^{ESC}]*){ESC}\\", stream)
    assert len(images) == 1 and images[0][:2] == ("2", "3")
    assert re.sub(rf"{ESC}\[\d+;\d+H{ESC}P0;1q[^{ESC}]*{ESC}\\", "", stream) == ""
    body = images[0][2]
    raster = re.match(r'"1;1;(\d+);(\d+)', body)
    assert raster is not None
    assert (int(raster[1]), int(raster[2])) == (FIELD[0] * CELL[0], FIELD[1] * CELL[1])
    rest = body[raster.end() :]
    token = r"#\d{1,3}(?:;2;\d{1,3};\d{1,3};\d{1,3})?|!\d+[?-~]|[?-~$-]"
    assert re.fullmatch(f"(?:{token})*", rest)
    defined = {int(n) for n in re.findall(r"#(\d+);2;", rest)}
    used = {int(n) for n in re.findall(r"#(\d+)(?!;|\d)", rest)}
    assert used <= defined and max(defined) < 256, "each colour is told before it is used"
    for band in rest.split("-"):
        for line in band.split("$"):
            bare = re.sub(r"#\d+(?:;2;\d+;\d+;\d+)?", "", line)
            wide = sum(int(n or 1) for n, _ in re.findall(r"(?:!(\d+))?([?-~])", bare))
            assert wide <= FIELD[0] * CELL[0], "no line is wider than the image"
    assert len(rest.split("-")) == -(-FIELD[1] * CELL[1] // 6)


@pytest.mark.parametrize("text", ["\x1b[c", "plain", "\x1b\x1b[A", ""])
def test_what_goes_into_a_passthrough_comes_out(text: str) -> None:
    from luxxon_tui.picture.probe import wrapped

    assert unwrapped("before" + wrapped(text) + "after") == (f"before{text}after", [text])
