"""``luxxon demand``: where most is asked for comes first."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from luxxon_core.cli import cli
from luxxon_core.client.market import Demand
from luxxon_core.pricing.schemas import DemandCell

CELLS = [DemandCell(lat=lat, lng=-4.3, requests=lat, unmet=1) for lat in (1, 12, 5)]


@pytest.mark.parametrize(("cells", "listed"), [(CELLS, [12, 5, 1]), ([], [])])
def test_most_comes_first(
    monkeypatch: pytest.MonkeyPatch, cells: list[DemandCell], listed: list[int]
) -> None:
    async def heatmap(_: object) -> list[DemandCell]:
        return cells

    monkeypatch.setattr(Demand, "heatmap", heatmap)
    told = CliRunner().invoke(cli, ["demand", "--json"])
    assert [one["requests"] for one in json.loads(told.stdout)] == listed
    shown = CliRunner().invoke(cli, ["demand"])
    assert (told.exit_code, shown.exit_code) == (0, 0)
    assert [int(line.split()[2]) for line in shown.stdout.splitlines()[1:]] == listed
    assert ("nobody has asked" in shown.stderr) is not bool(cells)
