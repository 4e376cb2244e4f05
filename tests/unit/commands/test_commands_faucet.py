"""``luxxon wallet faucet``: of a chain that has one, and of no other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from luxxon_core.cli import cli
from luxxon_core.client.keystore import write
from luxxon_core.client.system import ConfigResource
from luxxon_core.client.wallet import LocalWallet
from luxxon_core.kernel.errors import Conflict


def test_a_chain_of_others_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(_: object) -> SimpleNamespace:
        return SimpleNamespace(chain_id=84532, chain_name="Base Sepolia")

    monkeypatch.setattr(ConfigResource, "get", told)
    write(tmp_path / "wallet.json", LocalWallet.create(), "words")
    ended = CliRunner().invoke(cli, ["wallet", "faucet", "--file", str(tmp_path / "wallet.json")])
    assert isinstance(ended.exception, Conflict)
    assert ended.exception.message == "Base Sepolia gives no test money away"
