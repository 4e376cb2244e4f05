"""The settlement contract by the command line, on a development node: planned, deployed, compared, paused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from anvil import Anvil
from eth_account import Account

from tests.journeys.conftest import Run
from tests.journeys.terminal import at_a_terminal

WORDS = "correct horse battery"
OWNER, RELAYER, PLATFORM = (Account.create() for _ in range(3))


@dataclass
class Shell:
    """``luxxon contracts`` with a node and the owner's keystore in its environment."""

    run: Run
    node: Anvil
    environment: dict[str, str]

    async def __call__(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        process = await self.run("contracts", *arguments, **{**self.environment, **more})
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        for secret in (WORDS, OWNER.key.hex()):
            assert secret not in (out + err).decode()
        assert b"Traceback" not in err, err
        return process.returncode, out.decode(), err.decode()

    async def sent(self) -> int:
        return int(await self.node.rpc("eth_getTransactionCount", OWNER.address, "latest"), 16)


@pytest.fixture
async def shell(luxxon: Run, tmp_path: Path) -> AsyncIterator[Shell]:
    node = await Anvil.start(tmp_path)
    keystore = tmp_path / "owner.json"
    keystore.write_text(json.dumps(Account.encrypt(OWNER.key, WORDS, kdf="scrypt", iterations=4096)))
    environment = {
        "LUXXON_RPC_URL": node.rpc_url,
        "LUXXON_OWNER_KEYSTORE": str(keystore),
        "LUXXON_OWNER_PASSPHRASE": WORDS,
    }
    yield Shell(luxxon, node, environment)
    await node.close()


async def test_the_life_of_a_contract(shell: Shell) -> None:
    roles = ("--platform", PLATFORM.address, "--relayer", RELAYER.address.lower())
    code, plan, err = await shell("deploy", *roles, "--dry-run")
    assert code == 0, err
    for words in ("31337", OWNER.address, "TestUSDC", "LuxxonSettlement", RELAYER.address, PLATFORM.address):
        assert words in plan
    assert await shell.sent() == 0

    code, _, err = await shell("deploy", *roles, "--yes")
    assert (code, "too little ETH" in err) == (2, True)
    await shell.node.rpc("anvil_setBalance", OWNER.address, hex(10**18))
    code, _, err = await shell("deploy", *roles)
    assert (code, await shell.sent()) == (130, 0), err
    code, out, err = await shell("deploy", *roles, "--yes")
    assert code == 0, err
    address = out.splitlines()[-1].removeprefix("LUXXON_SETTLEMENT_ADDRESS=")
    assert address in plan

    shell.environment["LUXXON_SETTLEMENT_ADDRESS"] = address
    code, out, err = await shell("verify")
    assert code == 0, err
    code, out, _ = await shell("info", "--json")
    found = json.loads(out)
    assert found == {
        "chainId": 31337,
        "address": address,
        "owner": OWNER.address,
        "pendingOwner": None,
        "relayer": RELAYER.address,
        "platformWallet": PLATFORM.address,
        "usdc": found["usdc"],
        "paused": False,
        "balance": "0",
    }
    code, out, _ = await shell("verify", "--address", found["usdc"], "--json")
    assert (code, json.loads(out)["same"]) == (1, False)

    for command, paused in (("pause", True), ("pause", True), ("unpause", False)):
        code, out, err = await shell(command, "--yes")
        assert code == 0, err
        assert json.loads((await shell("info", "--json"))[1])["paused"] is paused
    assert await shell.sent() == 4
    code, out, _ = await shell("info")
    assert code == 0
    assert "paused           no" in out


async def test_wrong_input_is_answered_helpfully(shell: Shell, tmp_path: Path) -> None:
    roles = ("--platform", PLATFORM.address, "--relayer", RELAYER.address)
    nowhere = "0x" + "12" * 20
    cases: tuple[tuple[tuple[str, ...], dict[str, str], str], ...] = (
        (("info",), {"LUXXON_RPC_URL": "", "LUXXON_SETTLEMENT_ADDRESS": nowhere}, "rpc_url"),
        (("info",), {}, "LUXXON_SETTLEMENT_ADDRESS"),
        (("info", "--address", "0x12"), {}, "not an address"),
        (("info", "--address", nowhere), {}, "no settlement contract"),
        (
            ("info", "--address", nowhere, "--rpc-url", "http://127.0.0.1:1/secret-part"),
            {},
            "cannot be reached",
        ),
        (("deploy", "--platform", "me", "--relayer", RELAYER.address), {}, "--platform: not an address"),
        (("deploy", "--platform", PLATFORM.address), {}, "--relayer"),
        (("deploy", *roles, "--usdc", nowhere), {}, "no token with 6 decimals"),
        (("deploy", *roles), {"LUXXON_OWNER_PASSPHRASE": "wrong"}, "cannot be opened"),
        (("deploy", *roles), {"LUXXON_OWNER_KEY": "0x" + "11" * 32}, "one is enough"),
        (("pause", "--address", nowhere, "--yes"), {}, "no settlement contract"),
    )
    for arguments, more, words in cases:
        code, _, err = await shell(*arguments, **more)
        assert (code, len(err.splitlines())) == (2, 1), err
        assert words in err, arguments
        assert "secret-part" not in err
    assert await shell.sent() == 0


async def test_a_person_opens_the_keystore(shell: Shell, tmp_path: Path) -> None:
    """The owner's of a contract, and the relayer's of a server."""
    nowhere = "0x" + "12" * 20
    environment = {
        "LUXXON_RPC_URL": shell.node.rpc_url,
        "LUXXON_SETTLEMENT_ADDRESS": nowhere,
        "LUXXON_OWNER_KEYSTORE": shell.environment["LUXXON_OWNER_KEYSTORE"],
        "LUXXON_RELAYER_KEYSTORE": shell.environment["LUXXON_OWNER_KEYSTORE"],
    }
    serve = ("serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
    for command, said in (
        (("contracts", "pause"), f"Stop deposits and settlements of {nowhere}?"),
        (serve, "no contract there"),
    ):
        async with at_a_terminal(*command, environment=environment) as terminal:
            await terminal.asked("Passphrase of", WORDS)
            await terminal.says(said)
        assert WORDS.encode() not in terminal.said
