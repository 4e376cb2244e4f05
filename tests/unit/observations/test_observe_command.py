"""``luxxon observe``: what was paid for is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from luxxon_core.cli import cli
from luxxon_core.client.observations import Observations


def test_a_file_that_cannot_be_written_is_told_before_anything_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bought(*_: object, **__: object) -> None:
        raise AssertionError("bought")

    monkeypatch.setattr(Observations, "observe", bought)
    target = tmp_path / "nowhere" / "frame.jpg"
    arguments = ["observe", "1", "2", "--max-price", "0.01", "--out", str(target)]
    ended = CliRunner().invoke(cli, arguments, env={"LUXXON_API_KEY": "lxxn_test_x"})
    assert ended.exit_code == 2, ended.exception
    assert f"{target.parent} is no folder to write to" in ended.output
