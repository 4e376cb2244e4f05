"""How much a command says of what it does."""

from __future__ import annotations

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
