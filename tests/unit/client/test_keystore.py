"""A key in a file: only its owner reads it, nothing is written over, and what is wrong is said."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from eth_account import Account

from luxxon_core.client import keystore
from luxxon_core.client.wallet import LocalWallet
from luxxon_core.kernel.errors import Conflict, InvalidInput

KEY = "5d" * 32
WORDS = "some words"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("config") / "luxxon" / "wallet.json"
    keystore.write(made, LocalWallet.from_key(KEY), WORDS)
    return made


def test_what_was_written_opens_with_its_passphrase(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    parameters = json.loads(path.read_text())["crypto"]["kdfparams"]
    assert (parameters["n"], parameters["r"]) == (262_144, 8)
    address = Account.from_key("0x" + KEY).address
    assert keystore.address_in(path) == keystore.read(path, WORDS).address == address
    with pytest.raises(InvalidInput, match="does not open"):
        keystore.read(path, "other words")


def test_nothing_is_written_over(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(Conflict):
        keystore.write(path, LocalWallet.create(), WORDS)
    assert path.read_bytes() == before


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="protects nothing"):
        keystore.write(tmp_path / "wallet.json", LocalWallet.create(), "")
    assert not (tmp_path / "wallet.json").exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": 3, "crypto": {}}', '{"version": 4}', "\udcff"]
)
def test_a_file_that_is_no_keystore(tmp_path: Path, content: str) -> None:
    path = tmp_path / "wallet.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidInput, match="no keystore"):
        keystore.read(path, WORDS)
    with pytest.raises(InvalidInput):
        keystore.address_in(path)


def test_a_key_never_shows() -> None:
    wallet = LocalWallet.from_key("0x" + KEY.upper())
    assert KEY not in repr(wallet).lower()
    for wrong in ("5d" * 31, "5d" * 33, "00" * 32, "ff" * 32, "5d" * 31 + "zz"):
        with pytest.raises(InvalidInput) as caught:
            LocalWallet.from_key(wrong)
        assert wrong not in str(caught.value)


def test_a_file_that_could_not_be_written_whole_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidInput, match="No space left"):
        keystore.write(tmp_path / "wallet.json", LocalWallet.create(), WORDS)
    assert not list(tmp_path.iterdir())
