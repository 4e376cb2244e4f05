"""What others have written does not reach the terminal as they meant it."""

from __future__ import annotations

import json
import unicodedata

import pytest

from luxxon_core import cli
from luxxon_core.client.events import StreamEvent
from luxxon_core.commands.calling import say, tell
from luxxon_core.commands.happening import line
from luxxon_core.commands.table import facts, table
from luxxon_core.events.schemas import QualityDegraded
from luxxon_core.kernel.errors import Conflict
from luxxon_core.kernel.text import plain
from luxxon_core.kernel.wire import Timestamp

EVIL = "a\x1b]0;owned\x07b\x9b31mc\u202ed\n\re\u2028f\u2066g\ud800h"


def harmless(text: str) -> bool:
    kinds = {unicodedata.category(one) for one in text.replace("\n", "")}
    return kinds.isdisjoint({"Cc", "Cs", "Zl", "Zp"}) and not set("\u202e\u2066") & set(text)


def test_a_table_keeps_its_lines_and_its_columns() -> None:
    found = table(("NAME", "N"), [(EVIL, "1"), ("mine", "2")], right=frozenset({1}))
    assert harmless(found)
    head, evil, mine = found.splitlines()
    assert len(head) == len(evil) == len(mine)


def test_facts_are_a_line_each() -> None:
    found = facts(("name", EVIL), ("wallet", "0x1"))
    assert harmless(found)
    assert [one.split()[0] for one in found.splitlines()] == ["name", "wallet"]


def test_an_event_is_one_line() -> None:
    at = Timestamp.fromisoformat("2026-05-13T12:00:00.000Z")
    told = line(StreamEvent("quality.degraded", QualityDegraded(EVIL, at, EVIL, at), EVIL))
    assert harmless(told) and "\n" not in told


def test_a_refusal_is_one_line_that_a_terminal_does_not_obey(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(**_: object) -> None:
        raise Conflict("x:y", EVIL)

    monkeypatch.setattr(cli.cli, "main", refused)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert harmless(said) and said.count("\n") == 1


def test_an_answer_is_one_line_for_people_and_as_it_is_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(f"luxxon: {EVIL}", err=True)
    tell({"name": "a\nb"}, f"x: {EVIL}", as_json=False)
    told = capsys.readouterr()
    assert harmless(told.out + told.err)
    assert (told.out.count("\n"), told.err.count("\n")) == (1, 1)
    tell({"name": "a\nb"}, "", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"name": "a\nb"}


def test_words_of_every_writing_stay_as_they_are() -> None:
    assert plain("Zoë 👩‍🚀 日本") == "Zoë 👩‍🚀 日本"
