"""How much a command says of what it does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Coroutine
from typing import Any

import pytest
from click.testing import CliRunner

from luxxon_core import cli


@pytest.mark.parametrize(
    ("options", "level"),
    [([], "info"), (["--log-level", "warning"], "warning"), (["--log-level", "debug"], "debug")],
)
def test_a_server_tells_more_unless_it_is_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, options: list[str], level: str
) -> None:
    seen: list[str] = []

    def logging(level: str, form: str | None = None) -> None:
        seen.append(level)

    def run(work: Coroutine[Any, Any, None]) -> None:
        work.close()

    monkeypatch.setattr(cli, "log_to_stderr", logging)
    monkeypatch.setattr(cli, "_run", run)
    done = CliRunner().invoke(cli.cli, [*options, "serve"])
    assert done.exit_code == 0, done.output
    assert seen == [level]


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="pipes have no packets")
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_is_written_in_one_piece(form: str) -> None:
    """The processes of several cameras share standard error, and a container's Python may be unbuffered."""
    ours, theirs = os.pipe2(os.O_DIRECT)  # a read takes what one write gave (pipe(7))
    says = f"from luxxon_core.runner import log_to_stderr; log_to_stderr('info', {form!r});"
    says += "import structlog; structlog.get_logger().info('a line', camera='dome')"
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    subprocess.run([sys.executable, "-c", says], stderr=theirs, env=environment, check=True, timeout=60)
    os.close(theirs)
    line = os.read(ours, 4096)
    assert b"dome" in line and line.endswith(b"\n")
    assert os.read(ours, 4096) == b""
    os.close(ours)
