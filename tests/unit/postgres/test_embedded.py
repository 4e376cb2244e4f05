"""The private PostgreSQL: it lives as long as its owner, and no crash leaves a process behind."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest

from luxxon_core.adapters.postgres import schema
from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres
from luxxon_core.kernel.errors import StartError

OWNER = """
import asyncio, sys
from pathlib import Path
from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres
async def main():
    server = await EmbeddedPostgres.start(Path(sys.argv[1]), durable=False)
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def postmaster(cluster: Path) -> psutil.Process:
    return psutil.Process(int((cluster / "postmaster.pid").read_text().splitlines()[0]))


def owner(cluster: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OWNER, str(cluster)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    return process


async def test_data_survives_a_restart(tmp_path: Path) -> None:
    for expected in (0, 1):
        server = await EmbeddedPostgres.start(tmp_path / "cluster")
        await schema.upgrade(server.dsn)
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("select count(*) from challenge") == expected
        await connection.execute("insert into challenge values ($1, 'w', 'login', 'm', now())", str(expected))
        await connection.close()
        await server.close()
        assert not (tmp_path / "cluster" / "postmaster.pid").exists()


def test_the_server_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    process = owner(tmp_path / "cluster")
    server = postmaster(tmp_path / "cluster")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert server.wait(timeout=10) in (0, None)


async def test_a_start_ends_what_a_killed_keeper_left(tmp_path: Path) -> None:
    process = owner(tmp_path / "cluster")
    server = postmaster(tmp_path / "cluster")
    keeper = server.parent()
    assert keeper is not None
    keeper.kill()
    process.kill()
    process.wait()
    assert server.is_running()
    again = await EmbeddedPostgres.start(tmp_path / "cluster", durable=False)
    try:
        assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
        connection = await asyncpg.connect(again.dsn)
        assert await connection.fetchval("select 1") == 1
        await connection.close()
    finally:
        await again.close()


async def test_it_is_started_again_when_it_dies(tmp_path: Path) -> None:
    server = await EmbeddedPostgres.start(tmp_path / "cluster", durable=False)
    watching = asyncio.create_task(server.watch())
    try:
        first = postmaster(tmp_path / "cluster")
        keeper = first.parent()
        assert keeper is not None
        keeper.kill()
        first.kill()
        async with asyncio.timeout(20):
            while True:
                try:
                    connection = await asyncpg.connect(server.dsn)
                except (OSError, asyncpg.PostgresError):
                    await asyncio.sleep(0.05)
                    continue
                break
        assert await connection.fetchval("select 1") == 1
        await connection.close()
        assert postmaster(tmp_path / "cluster").pid != first.pid
    finally:
        await server.close()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert not (tmp_path / "cluster" / "postmaster.pid").exists()


async def test_a_start_after_a_power_cut(tmp_path: Path) -> None:
    """Everything is killed at once, and the pid file still says ready."""
    process = owner(tmp_path / "cluster")
    server = postmaster(tmp_path / "cluster")
    keeper = server.parent()
    assert keeper is not None
    for victim in (process, keeper, server):
        victim.kill()
    process.wait()
    psutil.wait_procs([server], timeout=5)
    again = await EmbeddedPostgres.start(tmp_path / "cluster", durable=False)
    connection = await asyncpg.connect(again.dsn)
    assert await connection.fetchval("select 1") == 1
    await connection.close()
    await again.close()


async def test_a_long_path_gets_a_socket_elsewhere(tmp_path: Path) -> None:
    server = await EmbeddedPostgres.start(tmp_path / ("x" * 90) / "cluster", durable=False)
    connection = await asyncpg.connect(server.dsn)
    assert await connection.fetchval("select 1") == 1
    await connection.close()
    await server.close()


async def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    server = await EmbeddedPostgres.start(tmp_path / "cluster", durable=False)
    try:
        await schema.upgrade(server.dsn)
        connection = await asyncpg.connect(server.dsn)
        await connection.execute("update alembic_version set version_num = '9999'")
        await connection.close()
        with pytest.raises(StartError, match="9999"):
            await schema.upgrade(server.dsn)
    finally:
        await server.close()


async def test_a_foreign_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "letter.txt").write_text("mine")
    with pytest.raises(StartError, match="cannot make a database"):
        await EmbeddedPostgres.start(tmp_path / "cluster")
