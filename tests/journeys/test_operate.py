"""``luxxon operate`` as a person runs it: set up, offer two cameras, be killed, stop."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from operating import BRUSSELS, PARIS, Desk, consumer_of, outside, server, until, watched, window

from luxxon_core.adapters.postgres.database import connection
from luxxon_core.client.whep import WhepViewer
from luxxon_core.demo.stage import SUPPLIER_SCOPES, party
from luxxon_core.kernel.clock import utc_now
from luxxon_core.server import Server

__all__ = ["outside", "server"]
CAMERAS = f"""
[cameras."Grand Place"]
type = "testcard"
width = 320
height = 180

[cameras."Grand Place".operate]
lat = {BRUSSELS.lat}
lng = {BRUSSELS.lng}
device_kind = "FIXED"
accept = {{ max_seconds = 300 }}

[cameras.tower]
type = "testcard"
width = 320
height = 180

[cameras.tower.operate]
lat = {PARIS.lat}
lng = {PARIS.lng}
radius_meters = 800
slug = "eiffel-tower"
privacy = {{ masks = [[[0, 0], [1, 0], [1, 0.5], [0, 0.5]]] }}
"""


@pytest.fixture
async def desk(tmp_path: Path, server: Server) -> AsyncIterator[Desk]:
    folder = tmp_path / "desk"
    folder.mkdir()
    made = Desk(folder, server.api_url.removesuffix("/api/v1"))
    made.cameras(CAMERAS)
    yield made
    await made.end()


async def test_two_cameras_of_one_wallet_are_set_up_and_sold_side_by_side(server: Server, desk: Desk) -> None:
    code, printed = await desk.run("--setup")
    assert code == 0
    assert "grand-place" in printed
    assert "eiffel-tower" in printed
    [keys] = desk.data_dir.iterdir()
    assert keys.stat().st_mode & 0o777 == 0o600
    before = keys.read_bytes()
    code, printed = await desk.run("--setup")
    assert (code, printed.count("as it was"), keys.read_bytes()) == (0, 2, before), (
        "done again it is the same"
    )

    operator = await desk.start("--json")
    await operator.logs("operate.ready")
    async with consumer_of(server) as consumer:
        first, second = await asyncio.gather(watched(consumer, BRUSSELS), watched(consumer, PARIS))
        sessions = [await consumer.api.sessions.get(one) for one in (first, second)]
        assert len({one.operator_workspace_id for one in sessions}) == 2
        assert sessions[1].policy == {
            "masks": {"cover": "filled", "always": 1, "views": {}, "elsewhere": "everything"}
        }
        await every_second_is_signed_for(server, first)

        operator.process.send_signal(signal.SIGTERM)
        assert await operator.ends() == 0
        for receipt in [await window(consumer, one, closed=False) for one in (first, second)]:
            assert [one.reason for one in receipt.windows] == ["NETWORK_ERROR"]
        await asyncio.gather(*(consumer.api.sessions.end(one) for one in (first, second)))
        assert await consumer.api.coverage.list() == [], "nobody is sent to a camera that is not there"


async def every_second_is_signed_for(server: Server, session_id: str) -> None:
    """By the wallet of the workspace, once a second and more."""

    async def samples() -> list[Any] | None:
        async with server.deployment.parts.database.read() as tx:
            rows = await connection(tx).fetch(
                "select captured_at, signed, lat from telemetry_sample where session_id = $1 order by 1",
                UUID(session_id),
            )
        return list(rows) if len(rows) >= 5 else None

    found = await until(samples)
    assert all(one["signed"] and one["lat"] == BRUSSELS.lat for one in found)
    span = (found[-1]["captured_at"] - found[0]["captured_at"]).total_seconds()
    assert (len(found) - 1) / span >= 1


async def test_killed_in_the_middle_it_goes_on_with_the_same_session(server: Server, desk: Desk) -> None:
    assert (await desk.run("--setup"))[0] == 0
    operator = await desk.start("--json", "--camera", "tower")
    async with consumer_of(server) as consumer:
        await operator.logs("operate.ready")
        session_id = await watched(consumer, PARIS)
        before = await consumer.api.sessions.get(session_id)
        viewer = WhepViewer()
        try:
            await viewer.open((await consumer.api.sessions.viewer_token(session_id)).whep_url)
            await asyncio.wait_for(viewer.frame(), 10)
            await asyncio.sleep(2.0)
            await operator.kill()
            killed_at = utc_now()
            opened = await window(consumer, session_id, closed=False)
            assert abs((opened.windows[0].opened_at - killed_at).total_seconds()) < 1
            operator = await desk.start("--json", "--camera", "tower")
            await operator.logs("agent.publishing", session=session_id)
            closed = await window(consumer, session_id, closed=True)
            back_at = utc_now()
            await asyncio.wait_for(viewer.frame(), 10)
        finally:
            await viewer.close()
        after = await consumer.api.sessions.get(session_id)
        assert (after.id, after.video_backend_ref, after.started_at) == (
            before.id,
            before.video_backend_ref,
            before.started_at,
        )
        [lost] = closed.windows
        assert lost.reason == "NETWORK_ERROR"
        outage = (back_at - killed_at).total_seconds()
        assert abs(closed.lost_milliseconds / 1000 - outage) < 1
        await asyncio.sleep(1.2)
        ended = await consumer.api.sessions.end(session_id)
        bill = await consumer.api.sessions.receipt(session_id)
        assert ended.clean_seconds == (bill.elapsed_milliseconds - bill.lost_milliseconds) // 1000 > 0


async def test_a_camera_that_the_marketplace_refuses_is_given_up_and_the_others_stay(
    server: Server, desk: Desk
) -> None:
    assert (await desk.run("--setup"))[0] == 0
    desk.cameras(CAMERAS + '\n[cameras.tower.operate.api_key]\nenv = "TOWER_KEY"\n')
    key = "lx_test_" + "0" * 40
    operator = await desk.start("--json", TOWER_KEY=key)
    refused = await operator.logs("camera.given_up", camera="tower")
    assert refused["code"] == "INVALID_TOKEN"
    await operator.logs("agent.online", camera="Grand Place")
    async with consumer_of(server) as consumer:
        await watched(consumer, BRUSSELS)
    assert operator.process.returncode is None
    assert key.encode() not in operator.said
    alone = await desk.start("--json", "--camera", "tower", TOWER_KEY=key)
    assert await alone.ends() == 3


async def test_one_camera_with_its_key_on_the_command_line(server: Server, desk: Desk) -> None:
    async with party(server.api_url, "cam", "SUPPLIER", SUPPLIER_SCOPES) as supplier:
        place = ("--lat", str(PARIS.lat), "--lng", str(PARIS.lng), "--radius", "400")
        operator = await desk.start(
            *(
                "testcard",
                *place,
                "--field",
                "width=320",
                "--field",
                "height=180",
                "--min-rate",
                "2000",
                "--json",
            ),
            LUXXON_API_KEY=supplier.api_key,
        )
        await operator.logs("agent.online")
        mine = await supplier.api.workspaces.get(supplier.workspace_id)
        assert (mine.availability_state, mine.coverage_radius_meters) == ("ONLINE", 400)
        said = await operator.logs("camera.no_telemetry")
        assert mine.wallet_address in said["reason"], "another wallet's signature would be worth nothing"
        async with consumer_of(server) as consumer:
            session = await consumer.api.sessions.create(
                lat=PARIS.lat, lng=PARIS.lng, max_duration_seconds=60, wait_timeout_seconds=5
            )
            await consumer.api.sessions.dispatch(session.id)
            declined = await operator.logs("agent.declined")
            assert "0.001000 USDC" in declined["reason"]
            assert (await consumer.api.sessions.wait_for(session.id, "EXPIRED")).state == "EXPIRED"
        assert supplier.api_key.encode() not in operator.said
        operator.process.send_signal(signal.SIGINT)
        assert await operator.ends() == 0
        assert (await supplier.api.workspaces.get(supplier.workspace_id)).availability_state == "OFFLINE"


async def test_a_dry_run_opens_the_cameras_and_changes_nothing(server: Server, desk: Desk) -> None:
    assert (await desk.run("--setup"))[0] == 0
    code, printed = await desk.run("--dry-run", "--json")
    assert code == 0
    first, second = map(json.loads, printed.splitlines())
    assert first["profiles"] == ["raw 320x180 30 fps"]
    assert first["accepts"] == "up to 300 s long"
    assert second["policy"]["masks"]["always"] == 1
    async with consumer_of(server) as consumer:
        assert await consumer.api.coverage.list() == []
    desk.cameras("[cameras.a]\ntype='testcard'\noperate={follow=true}\n")
    code, printed = await desk.run("--dry-run", "--json")
    assert (code, json.loads(printed)["error"]) == (1, "the camera does not tell where it is")
    desk.cameras(
        CAMERAS.replace('type = "testcard"', 'type = "file:/nowhere.mp4"').replace("height = 180", "")
    )
    code, printed = await desk.run("--dry-run", "--json")
    assert code == 2, "a file has no width"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no [cameras.NAME]"),
        ("[cameras.a]\ntype='testcard'\n", "either lat and lng, or follow"),
        ("[cameras.a]\ntype='testcard'\noperate={lat=1,lng=2,colour=3}\n", "colour"),
        ("[cameras.a]\ntype='nonsense'\noperate={lat=1,lng=2}\n", "no camera type"),
        ("[cameras.a]\ntype='testcard'\noperate={lat=1,lng=2}\n", "--setup"),
        ("[cameras.a]\ntype='testcard'\noperate={lat=1,lng=2,api_key={env='NOT_SET'}}\n", "NOT_SET"),
    ],
)
async def test_what_cannot_work_is_said_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    desk = Desk(tmp_path, "http://127.0.0.1:1")
    desk.cameras(text)
    operator = await desk.start()
    try:
        assert await operator.ends() == 2
        assert says in operator.said.decode()
        assert operator.said.count(b"\n") == 1
    finally:
        await desk.end()


BROKEN = """
[cameras.locked]
type = "testcard"
operate = { lat = 1, lng = 2, api_key = { env = "NOT_SET" } }

[cameras.unknown]
type = "nonsense"
operate = { lat = 1, lng = 2 }
"""


@pytest.mark.parametrize("isolate", [False, True], ids=["together", "isolated"])
async def test_cameras_that_cannot_be_offered_are_left_out_and_the_others_run(
    server: Server, desk: Desk, isolate: bool
) -> None:
    assert (await desk.run("--setup"))[0] == 0
    desk.cameras(CAMERAS + BROKEN)
    operator = await desk.start("--json", *(["--isolate"] if isolate else []))
    left = await operator.logs("camera.left_out", camera="locked")
    assert "NOT_SET" in left["reason"]
    await operator.logs("camera.left_out", camera="unknown")
    async with consumer_of(server) as consumer:

        async def both() -> bool:
            return len(await consumer.api.coverage.list()) == 2

        await until(both, 60)
        operator.process.send_signal(signal.SIGHUP)
        assert await operator.ends() == 0
        assert await consumer.api.coverage.list() == [], "offline first, as by SIGTERM"


async def test_none_that_can_be_offered_is_an_error(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "http://127.0.0.1:1")
    desk.cameras(BROKEN)
    for more in ((), ("--isolate",)):
        operator = await desk.start(*more)
        assert await operator.ends() == 2
        assert "none of the 2 cameras" in operator.said.decode()
    await desk.end()


async def test_systemd_is_told_when_it_is_ready_that_it_lives_and_when_it_stops(
    server: Server, desk: Desk, tmp_path: Path
) -> None:
    assert (await desk.run("--setup"))[0] == 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        loop, told = asyncio.get_running_loop(), list[str]()
        operator = await desk.start("--json", NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000")
        async with asyncio.timeout(40):
            while "READY=1" not in "".join(told) or "".join(told).count("WATCHDOG=1") < 3:
                told.append((await loop.sock_recv(listening, 4096)).decode() + "\n")
        operator.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            while "STOPPING=1" not in "".join(told):
                told.append((await loop.sock_recv(listening, 4096)).decode() + "\n")
        assert await operator.ends() == 0
    assert "2 of 2 cameras online" in "".join(told)


async def test_each_camera_in_a_process_of_its_own(server: Server, desk: Desk) -> None:
    assert (await desk.run("--setup"))[0] == 0
    operator = await desk.start("--json", "--isolate")
    await operator.logs("operate.ready", cameras="2 of 2 cameras running")
    children = {child.cmdline()[-1]: child for child in psutil.Process(operator.process.pid).children()}
    assert set(children) == {"Grand Place", "tower"}
    async with consumer_of(server) as consumer:
        session_id = await watched(consumer, BRUSSELS)
        children["tower"].kill()
        ended = await operator.logs("camera.process_ended", camera="tower")
        assert ended["code"] == -signal.SIGKILL
        receipt = await consumer.api.sessions.receipt(session_id)
        assert receipt.windows == [], "the other camera notices nothing"

        async def again() -> bool:
            return len(operator.logged("agent.online", camera="tower")) == 2

        await until(again)
        operator.process.send_signal(signal.SIGTERM)
        assert await operator.ends() == 0
        assert await consumer.api.coverage.list() == []
    assert not children["Grand Place"].is_running()
