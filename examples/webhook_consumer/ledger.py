"""A receiver of webhooks that keeps a ledger of settled sessions.

A delivery is verified, kept and answered at once; what it means is worked out afterwards, so that a slow
ledger is no failed delivery. Kept means on disk: after a crash the work goes on where it was.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import re
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import click
from aiohttp import web

TOLERANCE_SECONDS = 5 * 60
TABLES = """
create table if not exists delivery (
    id text primary key, body blob not null, received_at text not null default current_timestamp,
    done integer not null default 0, fault text
);
create index if not exists waiting on delivery (done) where done = 0;
create table if not exists settled (
    session_id text primary key, seconds integer not null, charged integer not null, fee integer not null,
    tx_hash text, confirmed_at text not null
);
"""


def verified(secrets: str, headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    """The ``webhook-id`` of a delivery that Luxxon has signed, by Standard Webhooks; None of any other.

    Args:
        secrets: one ``whsec_…`` or, while one is being rotated, both with a blank between.
    """
    message, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message or not re.fullmatch("[0-9]{1,12}", stamp) or abs(now - int(stamp)) > TOLERANCE_SECONDS:
        return None
    signed = _bytes(f"{message}.{stamp}.") + body
    given = headers.get("webhook-signature", "").split()
    for secret in secrets.split():
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        if any(hmac.compare_digest(_bytes(wanted), _bytes(one)) for one in given):
            return message
    return None


def _bytes(header: str) -> bytes:
    """As they came: anybody may send anything."""
    return header.encode("utf-8", "surrogateescape")


class Ledger:
    """What was delivered, and what of it is settled."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, isolation_level=None)
        self._file.executescript(f"pragma journal_mode = wal; pragma synchronous = full; {TABLES}")

    def close(self) -> None:
        self._file.close()

    def keep(self, delivery: str, body: bytes) -> bool:
        """Keep a delivery; False where it was there: one whose answer was lost comes again."""
        new = self._file.execute(
            "insert into delivery (id, body) values (?, ?) on conflict do nothing", (delivery, body)
        )
        return new.rowcount == 1

    def work(self) -> bool:
        """Take up the oldest delivery that is waiting; False where there is none."""
        row = self._file.execute(
            "select id, body from delivery where done = 0 order by rowid limit 1"
        ).fetchone()
        if row is None:
            return False
        fault = None
        with self._file:  # a delivery is done when what it says is in the ledger, and not before
            self._file.execute("begin")
            try:
                self._enter(json.loads(row[1]))
            except (ValueError, KeyError, TypeError, sqlite3.IntegrityError) as error:  # it would be so again
                fault = repr(error)
            self._file.execute("update delivery set done = 1, fault = ? where id = ?", (fault, row[0]))
        return True

    def _enter(self, event: dict[str, Any]) -> None:
        """An event may come twice under two deliveries, when it is replayed: a session has one line."""
        data = event["data"]
        if event["type"] != "settlement.state" or data["state"] != "CONFIRMED":
            return
        self._file.execute(
            "insert into settled values (?, ?, ?, ?, ?, ?) on conflict do nothing",
            (
                data["sessionId"],
                data["chargeableSeconds"],
                int(data["chargedMicroUsdc"]),
                int(data["feeAmountMicroUsdc"]),
                data["txHash"],
                data["confirmedAt"],
            ),
        )

    def lines(self) -> list[tuple[str, int, int, str | None]]:
        """Session, seconds, µUSDC and transaction, in the order in which they were paid."""
        return self._file.execute(
            "select session_id, seconds, charged, tx_hash from settled order by confirmed_at, session_id"
        ).fetchall()


class Receiver:
    """The endpoint, and the work behind it."""

    def __init__(self, ledger: Ledger, secrets: str) -> None:
        self._ledger, self._secrets = ledger, secrets
        self._kept = asyncio.Event()

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        delivery = verified(self._secrets, request.headers, body, time.time())
        if delivery is None:
            return web.Response(status=401)
        if self._ledger.keep(delivery, body):
            self._kept.set()
        return web.Response(status=204)

    async def run(self) -> None:
        """Work until cancelled, beginning with what an earlier process has left."""
        while True:
            self._kept.clear()
            if not self._ledger.work():
                await self._kept.wait()
            await asyncio.sleep(0)  # deliveries go first


async def serve(path: Path, host: str, port: int, secrets: str) -> None:
    with closing(Ledger(path)) as ledger:
        receiver = Receiver(ledger, secrets)
        app = web.Application(client_max_size=1 << 20)
        app.router.add_post("/hooks", receiver.receive)
        runner = web.AppRunner(app, access_log=None, handle_signals=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            click.echo(f"listening on http://{host}:{runner.addresses[0][1]}/hooks")
            await receiver.run()
        finally:
            await runner.cleanup()


@click.group()
def main() -> None:
    """Receive Luxxon's webhooks and keep a ledger of what was settled."""


@main.command("serve")
@click.argument("file", type=click.Path(path_type=Path), default=Path("ledger.sqlite"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Put TLS in front: see README.md.")
@click.option("--port", default=8099, show_default=True)
def serve_command(file: Path, host: str, port: int) -> None:
    """Receive deliveries; LUXXON_WEBHOOK_SECRET has the webhook's secret."""
    with suppress(KeyboardInterrupt, web.GracefulExit):
        asyncio.run(serve(file, host, port, os.environ["LUXXON_WEBHOOK_SECRET"]))


@main.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True), default=Path("ledger.sqlite"))
def show(file: Path) -> None:
    """Print the ledger, as CSV."""
    with closing(Ledger(file)) as ledger:
        click.echo("session,seconds,micro_usdc,transaction")
        for line in ledger.lines():
            click.echo(",".join(map(str, line)))


if __name__ == "__main__":
    main()
