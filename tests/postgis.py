"""A private cluster of the distribution's PostgreSQL with PostGIS, for as long as its owner lives."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from luxxon_core.adapters.postgres import keeper

INSTALL = "make services (as root on Debian: apt-get install postgresql-postgis)"
READY_SECONDS = 30
THROWN_AWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For data that nobody needs after a crash."""


def programs() -> Path | None:
    """Folder of the newest server's programs that has PostGIS, or None."""
    found = [
        binaries
        for binaries in Path("/usr/lib/postgresql").glob("*/bin")
        if (binaries / "initdb").exists()
        and Path(f"/usr/share/postgresql/{binaries.parent.name}/extension/postgis.control").exists()
    ]
    return max(found, key=lambda path: float(path.parent.name), default=None)


@contextmanager
def cluster(binaries: Path, settings: Mapping[str, str] = THROWN_AWAY) -> Iterator[str]:
    """The DSN of an empty database on a Unix socket. Started by root, it runs as the package's user."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        entry = pwd.getpwnam("postgres")
        uid, gid = entry.pw_uid, entry.pw_gid
    with tempfile.TemporaryDirectory(prefix="luxxon-pg-") as folder:
        directory = Path(folder)
        os.chown(directory, uid, gid)
        _initdb(binaries, directory / "data", uid, gid)
        options = {"listen_addresses": "", "unix_socket_directories": folder, "timezone": "UTC", **settings}
        command = [str(binaries / "postgres"), "-D", str(directory / "data")]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (directory / "log").open("wb") as log:
            kept = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, str(uid), str(gid), "--", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        try:
            _wait(directory, kept)
            yield f"postgresql://luxxon@/postgres?host={folder}"
        finally:
            assert kept.stdin is not None
            kept.stdin.close()  # the keeper ends the server
            kept.wait(30)
            shutil.rmtree(directory / "data", ignore_errors=True)


def _initdb(binaries: Path, data: Path, uid: int, gid: int) -> None:
    command = [str(binaries / "initdb"), "-D", str(data), "-U", "luxxon", "--auth=trust", "--no-sync"]
    command += ["--encoding=UTF8", "--locale=C", "--no-instructions"]
    if uid == os.getuid():
        subprocess.run(command, check=True, capture_output=True, cwd="/")
    else:
        subprocess.run(
            command, check=True, capture_output=True, cwd="/", user=uid, group=gid, extra_groups=[]
        )


def _wait(directory: Path, kept: subprocess.Popen[bytes]) -> None:
    """Until line 8 of the postmaster's pid file says that it is ready (miscinit.h)."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            lines = (directory / "data" / "postmaster.pid").read_text().splitlines()
        except OSError:
            lines = []
        if lines[7:8] and lines[7].strip() == "ready":
            return
        if kept.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((directory / "log").read_text(errors="replace"))
        time.sleep(0.01)
