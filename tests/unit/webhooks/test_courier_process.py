"""The process that sends: what it allows itself."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from luxxon_core.bootstrap import courier
from luxxon_core.webhooks.usecases import Limits
courier.allow_files()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
print(soft >= min(hard, 2 * Limits().deliveries))
"""


def test_every_delivery_under_way_may_have_its_connection() -> None:
    """1024 open files is what a machine usually allows: the last receivers would be blamed for it."""
    command = (sys.executable, "-c", PROGRAM)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == "True"
