"""Runs one PostgreSQL server for exactly as long as its owner lives.

A program of its own, standard library only: ``python -I keeper.py UID GID -- postgres ARGS…``. The owner
holds the write end of our standard input; when that closes, because the owner stopped or was killed in any
way, the server gets a fast shutdown and, if it does not obey, SIGQUIT.
"""

import os
import signal
import subprocess
import sys
import threading
from typing import Any

FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT
"""Shutdown modes of the postmaster (PostgreSQL manual, "Shutting Down the Server")."""
OBEY_SECONDS = 10


def main(uid: int, gid: int, command: list[str]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C of the terminal is the owner's to handle
    identity: dict[str, Any] = {"user": uid, "group": gid, "extra_groups": []} if uid != os.getuid() else {}
    server: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, start_new_session=True, **identity
    )
    threading.Thread(target=lambda: (server.wait(), os._exit(server.returncode or 0)), daemon=True).start()
    while os.read(0, 1):
        pass
    server.send_signal(FAST)
    try:
        return server.wait(OBEY_SECONDS)
    except subprocess.TimeoutExpired:
        server.send_signal(IMMEDIATE)
        return server.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[4:]))
