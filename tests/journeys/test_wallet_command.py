"""A consumer's own wallet by the command line, against a running marketplace with everything embedded."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_account import Account

from luxxon_core.server import Server, running
from luxxon_core.settings import load
from tests.journeys.conftest import Run
from tests.journeys.terminal import at_a_terminal

USDC = 10**6
ETHER = 10**18
WORDS = "correct horse battery"
KEY = "0x" + "4c" * 32
ADDRESS = Account.from_key(KEY).address


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    settings = load(data_dir=tmp_path / "data", durable=False, port=0)
    async with running(settings) as started:
        yield started


@dataclass
class Shell:
    """``luxxon wallet`` in an environment."""

    run: Run
    environment: dict[str, str]

    async def __call__(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        process = await self.run("wallet", *arguments, **{**self.environment, **more})
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        for secret in (WORDS, KEY[2:]):
            assert secret not in (out + err).decode()
        assert b"Traceback" not in err, err
        return process.returncode, out.decode(), err.decode()

    async def shown(self) -> dict[str, str]:
        code, out, err = await self("show", "--json")
        assert code == 0, err
        found: dict[str, str] = json.loads(out)
        return found


@pytest.fixture
def shell(luxxon: Run, tmp_path: Path) -> Shell:
    words = tmp_path / "words"
    words.write_text(WORDS + "\n")
    environment = {
        "LUXXON_WALLET": str(tmp_path / "mine" / "wallet.json"),
        "LUXXON_WALLET_PASSPHRASE_FILE": str(words),
    }
    return Shell(luxxon, environment)


async def test_from_a_new_wallet_to_a_pool_and_back(shell: Shell, server: Server, tmp_path: Path) -> None:
    shell.environment["LUXXON_URL"] = server.url
    chain = server.deployment.parts.development_chain
    code, out, err = await shell("new")
    assert code == 0, err
    address = out.split()[1]
    keystore = tmp_path / "mine" / "wallet.json"
    assert stat.S_IMODE(keystore.stat().st_mode) == 0o600
    assert stat.S_IMODE(keystore.parent.stat().st_mode) == 0o700
    assert json.loads(keystore.read_text())["crypto"]["kdf"] == "scrypt"
    assert await shell.shown() == {
        "address": address,
        "chainId": 31337,
        "usdc": "0",
        "ethWei": "0",
        "pool": "0",
    }

    code, _, err = await shell("top-up", "5", "--yes")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "holds 0.000000 USDC" in err

    await chain.faucet(address, 0, 20 * USDC)
    code, out, err = await shell("top-up", "5", "--yes")
    assert code == 0, err
    assert [line.split()[0] for line in err.splitlines()] == ["sign", "sign", "deposit"]
    assert out == "pool: 5.000000 USDC\n"

    code, _, err = await shell("withdraw", "1", "--yes")
    assert (code, "needs a little ETH" in err) == (2, True)

    await chain.faucet(address, ETHER // 100, 0)
    code, out, err = await shell("top-up", "2.5", "--yes")
    assert code == 0, err
    assert [line.split()[0] for line in err.splitlines()] == ["approve", "deposit"]
    assert out == "pool: 7.500000 USDC\n"

    code, out, err = await shell("withdraw", "0.5", "--yes")
    assert (code, out) == (0, "pool: 7.000000 USDC\n"), err
    code, _, err = await shell("withdraw", "7.1", "--yes")
    assert (code, "The pool holds 7.000000 USDC" in err) == (2, True)
    code, out, err = await shell("withdraw", "all", "--yes")
    assert (code, out) == (0, "pool: 0.000000 USDC\n"), err
    shown = await shell.shown()
    assert (shown["usdc"], shown["pool"]) == (str(20 * USDC), "0")
    code, out, _ = await shell("show")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["address", "chain", "USDC", "ETH", "pool"]


async def test_nothing_moves_without_a_yes(shell: Shell, server: Server) -> None:
    shell.environment["LUXXON_URL"] = server.url
    code, out, _ = await shell("new")
    address = out.split()[1]
    await server.deployment.parts.development_chain.faucet(address, ETHER, 9 * USDC)
    code, out, err = await shell("top-up", "5")
    assert code == 130
    assert server.deployment.config.settlement_address in err
    assert (await shell.shown())["usdc"] == str(9 * USDC)


async def test_a_key_of_ones_own_comes_by_file_or_stream(shell: Shell, tmp_path: Path) -> None:
    given = tmp_path / "key"
    given.write_text(KEY + "\n")
    code, out, err = await shell("import", "--from", str(given))
    assert (code, out.split()[1]) == (0, ADDRESS), err
    code, _, err = await shell("import", "--from", str(given))
    assert (code, "already" in err) == (2, True)
    code, _, err = await shell("new")
    assert (code, "already" in err) == (2, True)
    other = tmp_path / "other.json"
    code, _, err = await shell("import", "--from", str(given), "--file", str(other))
    assert code == 0, err
    assert Account.decrypt(json.loads(other.read_text()), WORDS) == bytes.fromhex(KEY[2:])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("0x1234", "64 hexadecimal digits"),
        ("00" * 32, "64 hexadecimal digits"),
        ("legal winner thank year wave sausage worth useful legal winner thank yellow", "recovery phrase"),
    ],
)
async def test_what_is_no_key_is_told_in_one_line(
    shell: Shell, tmp_path: Path, content: str, words: str
) -> None:
    given = tmp_path / "key"
    given.write_text(content)
    code, _, err = await shell("import", "--from", str(given))
    assert (code, len(err.splitlines())) == (2, 1)
    assert words in err
    assert content not in err
    assert not (tmp_path / "mine").exists()


async def test_wrong_input_is_answered_helpfully(shell: Shell, tmp_path: Path) -> None:
    for arguments, words in (
        (("top-up", "-1"), "option"),
        (("top-up", "five"), "such as 5 or 0.25"),
        (("top-up", "0.0000001"), "such as 5 or 0.25"),
        (("top-up", "0"), "nothing to move"),
        (("top-up", "1e3"), "such as 5 or 0.25"),
        (("top-up", "1"), "luxxon wallet new"),
        (("show",), "luxxon wallet new"),
        (("import",), "--from"),
    ):
        code, _, err = await shell(*arguments)
        assert (code, len(err.splitlines())) == (2, 1), err
        assert words in err, arguments
    assert (await shell("new"))[0] == 0
    wrong = tmp_path / "wrong"
    wrong.write_text("other words")
    code, _, err = await shell("top-up", "1", LUXXON_WALLET_PASSPHRASE_FILE=str(wrong))
    assert (code, "does not open" in err) == (2, True)
    code, _, err = await shell("show", LUXXON_URL="http://127.0.0.1:1")
    assert (code, len(err.splitlines())) == (2, 1)


async def test_a_person_is_asked_and_nothing_is_echoed(tmp_path: Path) -> None:
    """At a terminal: the key, and its new passphrase twice."""
    keystore = tmp_path / "wallet.json"
    async with at_a_terminal("wallet", "import", "--file", str(keystore)) as terminal:
        await terminal.asked("Private key", KEY)
        await terminal.asked("Passphrase of", WORDS)
        await terminal.asked("Once more", WORDS)
        await terminal.says(ADDRESS)
        assert await terminal.ends() == 0
    assert KEY.encode() not in terminal.said
    assert WORDS.encode() not in terminal.said
    content = await asyncio.to_thread(keystore.read_text)
    assert Account.decrypt(json.loads(content), WORDS) == bytes.fromhex(KEY[2:])
