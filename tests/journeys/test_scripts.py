"""The console's work by commands, as a script does it, against a running marketplace and a real camera."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from luxxon_testcard import testcard
from PIL import Image

from luxxon_core.client.keystore import write
from luxxon_core.client.wallet import ChainClient
from luxxon_core.demo.stage import SUPPLIER_SCOPES, Party, fund, operating, party
from luxxon_core.kernel.geo import Point
from luxxon_core.server import running
from luxxon_core.settings import load
from tests.journeys.conftest import Run

BRUSSELS = Point(50.8466, 4.3528)
HERE = ("--lat", str(BRUSSELS.lat), "--lng", str(BRUSSELS.lng))
NOWHERE = ("--lat", "-60", "--lng", "-120")
SCOPES = ("sessions:read", "sessions:create", "sessions:operate", "pricing:read", "wallet:read")
WORDS = "correct horse battery"
SMALL = testcard.TestcardConfig(width=320, height=180, fps=15)


@dataclass
class Shell:
    """``luxxon`` with the consumer's key and wallet in its environment."""

    run: Run
    environment: dict[str, str]
    consumer: Party

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await self.run(*arguments, **self.environment)

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        assert b"Traceback" not in err, err
        assert self.consumer.api_key not in (out + err).decode()
        return process.returncode, out.decode(), err.decode()

    async def told(self, *arguments: str) -> Any:
        code, out, err = await self(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
async def shell(luxxon: Run, tmp_path: Path) -> AsyncIterator[Shell]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        server = await enter(running(load(data_dir=tmp_path / "data", durable=False, port=0)))
        consumer = await enter(party(server.api_url, "scripts", "CONSUMER", SCOPES))
        supplier = await enter(party(server.api_url, "camera", "SUPPLIER", SUPPLIER_SCOPES))
        chain = await enter(ChainClient(await consumer.api.config.get()))
        await fund(server, chain, consumer, 600)
        source = await enter(await testcard.TestcardType().open(SMALL))
        await enter(operating(supplier, source, BRUSSELS))
        write(tmp_path / "wallet.json", consumer.wallet, WORDS)
        (tmp_path / "words").write_text(WORDS)
        environment = {
            "LUXXON_URL": server.url,
            "LUXXON_API_KEY": consumer.api_key,
            "LUXXON_WALLET": str(tmp_path / "wallet.json"),
            "LUXXON_WALLET_PASSPHRASE_FILE": str(tmp_path / "words"),
        }
        yield Shell(luxxon, environment, consumer)


async def test_a_script_asks_for_a_place_and_gets_its_picture_and_the_bill(
    shell: Shell, tmp_path: Path
) -> None:
    told = await shell.told("request", *HERE, "--seconds", "20", "--save-frame", "out.jpg", "--width", "160")
    assert told["state"] == "ENDED"
    with Image.open(io.BytesIO((tmp_path / told["frame"]).read_bytes())) as picture:
        assert picture.width == 160
    (session,) = await shell.told("sessions", "list", "--state", "ENDED")
    assert (session["id"], session["chargedMicroUsdc"]) == (told["sessionId"], told["chargedMicroUsdc"])
    code, out, err = await shell("sessions", "show", told["sessionId"])
    assert code == 0, err
    assert "state     ENDED" in out
    code, out, _ = await shell("sessions", "list")
    assert (code, len(out.splitlines())) == (0, 2)


async def test_where_nobody_is_the_answer_is_one_and_nothing_is_spent(shell: Shell) -> None:
    code, out, err = await shell("request", *NOWHERE, "--json")
    told = json.loads(out)
    assert (code, told["state"], told["code"], told["chargedMicroUsdc"]) == (
        1,
        "CANCELLED",
        "NO_COVERAGE",
        "0",
    )
    assert len(err.splitlines()) == 1


async def test_a_command_that_is_interrupted_ends_its_session(shell: Shell) -> None:
    process = await shell.start("request", *HERE, "--seconds", "300", "--yes")
    assert process.stdout is not None
    url = await asyncio.wait_for(process.stdout.readline(), 40)
    assert url.startswith(b"http")
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130, err
    assert await shell.consumer.api.sessions.list(state=("REQUESTED", "ASSIGNED", "LIVE")) == []
    assert len(await shell.consumer.api.sessions.list(state="ENDED")) == 1


async def test_nothing_is_asked_for_without_a_yes(shell: Shell) -> None:
    code, out, err = await shell("request", *HERE)
    assert (code, out) == (130, "")
    assert "USDC at most for 60 s" in err
    assert await shell.consumer.api.sessions.list() == []


async def test_coverage_needs_no_key(shell: Shell) -> None:
    del shell.environment["LUXXON_API_KEY"]
    (circle,) = await shell.told("coverage")
    assert (circle["lat"], circle["lng"]) == (BRUSSELS.lat, BRUSSELS.lng)
    assert len(await shell.told("coverage", *HERE)) == 1
    assert (await shell("coverage", *NOWHERE))[0] == 1


async def test_keys_are_made_listed_and_revoked(shell: Shell) -> None:
    code, out, err = await shell("keys", "mint", "robot", "--scope", "sessions:read")
    assert code == 0, err
    assert out.startswith("lxxn_test_")
    keys = {key["label"]: key for key in await shell.told("keys", "list")}
    assert keys["robot"]["scopes"] == ["sessions:read"]
    code, _, err = await shell("keys", "revoke", keys["robot"]["id"], "--yes")
    assert code == 0, err
    keys = {key["label"]: key for key in await shell.told("keys", "list")}
    assert keys["robot"]["revokedAt"] is not None
    assert out.strip() not in (await shell("keys", "list"))[1]


async def test_a_key_with_a_budget_is_made_and_listed(shell: Shell) -> None:
    budget = ("--daily-cap", "5", "--session-cap", "0.25", "--area", "52.52,13.40,2km")
    code, out, err = await shell("keys", "create", "thrifty", *budget, "--area", "0,0,500m,Null Island")
    assert (code, out[:10]) == (0, "lxxn_test_"), err
    keys = {key["label"]: key for key in await shell.told("keys", "list")}
    limits = keys["thrifty"]["budget"]
    assert (limits["dailyCapMicroUsdc"], limits["sessionCapMicroUsdc"]) == ("5000000", "250000")
    assert [one["radiusMeters"] for one in limits["areas"]] == [2000, 500]
    head, *lines = (await shell("keys", "list"))[1].splitlines()
    assert "TODAY  A DAY  A SESSION  AREAS" in head
    (line,) = [one for one in lines if "thrifty" in one]
    assert line.split()[-10:-4] == ["0", "5", "0.25", "52.52,13.4,2km", "Null", "Island"]
    shell.environment["LUXXON_API_KEY"] = out.strip()
    code, out, err = await shell("request", *HERE, "--seconds", "20", "--yes")
    assert (code, out) == (2, "")
    assert "may only ask for places in its areas" in err


@pytest.mark.parametrize(
    "arguments",
    [("--daily-cap", "five"), ("--session-cap", "-1"), ("--area", "52.52,13.40"), ("--area", "91,0,5m")],
)
async def test_a_budget_that_is_none_is_a_usage_error(shell: Shell, arguments: tuple[str, ...]) -> None:
    code, out, err = await shell("keys", "create", "x", *arguments)
    assert (code, out) == (2, "")
    assert arguments[0] in err


async def test_what_the_server_refuses_is_one_line_and_exit_code_2(shell: Shell) -> None:
    for arguments in (("list", "--workspace", "another"), ("mint", "robot", "--scope", "everything")):
        code, out, err = await shell("keys", *arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1), err


@pytest.mark.parametrize(
    "arguments",
    [
        ("request", "--lat", "91", "--lng", "0"),
        ("request", "--lat", "nan", "--lng", "0"),
        ("request", "--lat", "1"),
        ("request", *HERE),
        ("coverage", "--lat", "1"),
        ("sessions", "show", "no-id"),
    ],
)
async def test_bad_input_is_one_line_and_exit_code_2(luxxon: Run, arguments: tuple[str, ...]) -> None:
    process = await luxxon(*arguments)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, out, len(err.splitlines())) == (2, b"", 1), err


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
async def test_the_shell_completes_commands(luxxon: Run, shell_name: str) -> None:
    process = await luxxon(_LUXXON_COMPLETE=f"{shell_name}_source")
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, err) == (0, b"")
    assert b"_LUXXON_COMPLETE" in out
