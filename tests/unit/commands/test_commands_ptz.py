"""``luxxon sessions ptz``: what came of it."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from luxxon_core.cli import cli
from luxxon_core.client.sessions import Sessions
from luxxon_core.commands.ptz import COMMANDS
from luxxon_core.controls.domain import Verb
from luxxon_core.controls.schemas import PtzAnswer

ID = "1c9e7a40-53d1-4b6f-9a2e-0d1f6c5b7e21"


def test_every_command_of_the_api_is_there() -> None:
    assert set(COMMANDS) == {verb.value for verb in Verb}
    told = CliRunner().invoke(cli, ["sessions", "ptz", "--help"]).output
    assert [one for one in COMMANDS if one not in re.split(r"[\s,.;]+", told)] == []


@pytest.mark.parametrize("as_json", [False, True])
def test_a_command_that_a_newer_one_has_overtaken_was_in_vain(
    monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    async def overtaken(*_: object) -> PtzAnswer:
        return PtzAnswer(ID, accepted=True, executed=False, latency_ms=3.5)

    monkeypatch.setattr(Sessions, "ptz", overtaken)
    arguments = ["sessions", "ptz", ID, "goto_home", *(["--json"] if as_json else [])]
    ended = CliRunner().invoke(cli, arguments, env={"LUXXON_API_KEY": "lxxn_test_x"})
    assert ended.exit_code == 1, ended.exception
    if as_json:
        assert json.loads(ended.stdout)["executed"] is False
    else:
        assert ended.stdout == "goto_home: a newer command came before it\n"
