"""Where a key may be, and that nothing tells it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account

from luxxon_core.adapters.chain.keys import KeySource, signer_of
from luxxon_core.kernel.errors import StartError

KEY = "0x" + "1f" * 32
ADDRESS = Account.from_key(KEY).address
WORDS = "secret-words"


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As geth and other wallets write it, with a cheap work factor."""
    path = tmp_path_factory.mktemp("keys") / "relayer.json"
    path.write_text(json.dumps(Account.encrypt(KEY, WORDS, kdf="scrypt", iterations=4096)))
    return path


async def test_a_key_in_hexadecimal() -> None:
    for written in (KEY, KEY[2:], KEY.upper().replace("X", "x")):
        found = await signer_of(KeySource("relayer", key=written))
        assert found is not None
        assert found.address == ADDRESS
        assert repr(found) == f"LocalSigner({ADDRESS})"
    assert await signer_of(KeySource("relayer")) is None
    for wrong in ("0x" + "00" * 32, "0x1f1f", "five" * 16):
        with pytest.raises(StartError, match="setting relayer_key") as caught:
            await signer_of(KeySource("relayer", key=wrong))
        assert wrong not in str(caught.value)


async def test_a_keystore_and_what_opens_it(keystore: Path, tmp_path: Path) -> None:
    source = KeySource("owner", keystore=keystore)
    words = tmp_path / "words"
    words.write_text(f"{WORDS}\n")
    for opens in (replace(source, passphrase=WORDS), replace(source, passphrase_file=words)):
        assert not opens.asks
        found = await signer_of(opens)
        assert found is not None
        assert found.address == ADDRESS
        assert WORDS not in repr(opens)
    assert source.asks


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "setting owner_keystore: a passphrase"),
        ({"passphrase_file": Path("absent")}, "setting owner_passphrase_file"),
        ({"passphrase": "other-words"}, "cannot be opened"),
        ({"passphrase": WORDS, "keystore": Path("absent")}, "cannot be opened"),
        ({"passphrase": WORDS, "key": KEY}, "owner_key, owner_keystore: one is enough"),
    ],
)
async def test_what_does_not_open_is_one_line_without_the_secret(
    keystore: Path, change: dict[str, object], words: str
) -> None:
    source = replace(KeySource("owner", keystore=keystore), **change)  # type: ignore[arg-type]
    with pytest.raises(StartError, match=words) as caught:
        await signer_of(source)
    assert KEY not in str(caught.value)
    assert "-words" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", '{"version": 4}', '{"version": 3, "crypto": {}}'])
async def test_a_file_that_is_no_keystore(tmp_path: Path, content: str) -> None:
    path = tmp_path / "some.json"
    path.write_text(content)
    with pytest.raises(StartError, match="cannot be opened"):
        await signer_of(KeySource("owner", keystore=path, passphrase=WORDS))
