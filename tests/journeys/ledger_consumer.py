"""The example's receiver of webhooks as a process, and somebody who sends it deliveries."""

from __future__ import annotations

import asyncio
import base64
import hmac
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from examples_place import EXAMPLES, clean, run

from luxxon_core.events.schemas import SettlementState
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.wire import Timestamp, encode

SECRETS = [base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2)]


class Consumer:
    """The example's receiver as a process, and somebody who sends it deliveries."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, file: Path) -> None:
        self.process, self.url, self.file = process, url, file

    async def send(
        self, delivery: str, body: bytes, *, secret: str = SECRETS[0], age: float = 0, **headers: str
    ) -> int:
        stamp = str(int(time.time() - age))
        mac = hmac.new(base64.b64decode(secret), f"{delivery}.{stamp}.".encode() + body, "sha256")
        signature = "v1," + base64.b64encode(mac.digest()).decode()
        signed = {
            "webhook-id": delivery,
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,AA== {signature}",
        }
        async with httpx.AsyncClient(trust_env=False) as http:
            told = {**signed, **headers}
            sent = [
                (one.encode(), text.encode("utf-8", "surrogateescape")) for one, text in told.items() if text
            ]
            return (await http.post(self.url, content=body, headers=sent)).status_code

    async def ledger(self) -> list[str]:
        command = (sys.executable, str(LEDGER), "show", str(self.file))
        code, printed = await run(*command, cwd=self.file.parent, environment=clean())
        assert code == 0, printed
        head, *lines = printed.splitlines()
        assert head == "session,seconds,micro_usdc,transaction"
        return lines


LEDGER = EXAMPLES / "webhook_consumer" / "ledger.py"


@asynccontextmanager
async def consuming(folder: Path, secrets: str, port: int = 0) -> AsyncIterator[Consumer]:
    file = folder / "ledger.sqlite"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", str(LEDGER), "serve", str(file), "--port", str(port)),
        env=clean(LUXXON_WEBHOOK_SECRET=secrets),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 90)).decode()
        assert line.startswith("listening on ")
        yield Consumer(process, line.split()[-1], file)
    finally:
        if process.returncode is None:
            process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) in (0, -signal.SIGKILL)


def settled(session_id: str, state: str = "CONFIRMED") -> bytes:
    data = SettlementState(
        session_id=session_id,
        at=Timestamp.of(utc_now()),
        state=state,
        chargeable_seconds=3,
        charged_micro_usdc="3000",
        to_amount_micro_usdc="2400",
        fee_amount_micro_usdc="600",
        tx_hash="0x" + "ab" * 32,
        confirmed_at=Timestamp.of(utc_now()) if state == "CONFIRMED" else None,
    )
    stamp = utc_now().isoformat()
    return encode({"id": "7", "type": "settlement.state", "timestamp": stamp, "data": data})
