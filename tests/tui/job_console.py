"""A shell of one job, for a terminal of the tests to run: the console with one picture on Live.

``ctrl+z`` stops the job, ``fg`` and a new line goes on with it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios


def job() -> None:
    from frames import PLAIN, filled
    from scenes import NOW, RecordedVideo

    from luxxon_tui.app import ConsoleApp

    class Stopping(ConsoleApp):
        def action_suspend(self) -> None:
            self.action_suspend_process()  # although a session is live, for the sake of its picture

    Stopping(store=filled(), open_video=RecordedVideo, facts=PLAIN, clock=lambda: NOW, first="live").run()


def shell() -> int:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        job()
        os._exit(0)
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        os.tcsetpgrp(0, os.getpgrp())
        os.write(1, b"the shell again\n")
        while sys.stdin.readline() != "fg\n":
            pass
        os.tcsetpgrp(0, child)
        os.killpg(child, signal.SIGCONT)


if __name__ == "__main__":
    sys.exit(shell())
