"""Text as a QR code (ISO/IEC 18004) of half-block characters, two modules above each other in one cell."""

from __future__ import annotations

CELLS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def half_blocks(text: str, *, quiet: int = 2, inverted: bool = False) -> list[str]:
    """Rows of equal length, as small as the text allows, with error correction of level L.

    Args:
        quiet: light modules around the code; the standard asks for 4, cameras make do with 2.
        inverted: draw the light modules, for terminals that write light on dark.
    """
    import segno

    code = segno.make_qr(text, error="l", boost_error=False)
    light = [False] * quiet
    rows = [[*light, *map(bool, row), *light] for row in code.matrix]
    blank = [[False] * len(rows[0])] * quiet
    rows = [*blank, *rows, *blank]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    return [
        "".join(
            CELLS[above is not inverted, below is not inverted] for above, below in zip(*pair, strict=True)
        )
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]
