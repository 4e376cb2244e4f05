"""The example that keeps a ledger: what it takes, what it refuses, and what outlives it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from examples_place import imported
from ledger_consumer import LEDGER, SECRETS, consuming, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_ledger_has_each_settled_session_once(tmp_path: Path) -> None:
    async with consuming(tmp_path, f"whsec_{SECRETS[0]}") as consumer:
        assert await consumer.send("d-1", settled("s-1", "SUBMITTED")) == 204
        assert await consumer.send("d-2", settled("s-1")) == 204
        assert await consumer.send("d-2", settled("s-1")) == 204, "its answer was lost"
        assert await consumer.send("d-3", settled("s-1")) == 204, "it was replayed"
        assert await consumer.send("d-4", b"[]") == 204, "it cannot be read, and would be no better again"
        for forged in (
            {"secret": SECRETS[1]},
            {"age": 3600},
            {"age": -3600},
            {"webhook-signature": "v1,"},
            {"webhook-signature": ""},
            {"webhook-timestamp": "soon"},
            {"webhook-timestamp": "9" * 5000},
            {"webhook-id": "\udcff"},
            {"webhook-signature": "v1,\udcff"},
            {"webhook-id": ""},
            {"webhook-id": "another"},
        ):
            assert await consumer.send("d-5", settled("s-2"), **forged) == 401, forged  # type: ignore[arg-type]
        assert await consumer.send("d-6", b"x" * (2 << 20)) == 413
        assert await consumer.send("d-7", settled("s-3")) == 204
        consumer.process.kill()
    async with consuming(tmp_path, f"whsec_{SECRETS[1]} whsec_{SECRETS[0]}") as consumer:
        assert await consumer.send("d-8", settled("s-4"), secret=SECRETS[1]) == 204
        async with asyncio.timeout(20):
            while len(lines := await consumer.ledger()) < 3:
                await asyncio.sleep(0.1)
        assert lines == [f"s-{number},3,3000,0x{'ab' * 32}" for number in (1, 3, 4)]
        with sqlite3.connect(consumer.file) as file:
            assert file.execute("select id from delivery where fault is not null").fetchall() == [("d-4",)]


async def test_the_receiver_checks_signatures_as_the_specification_does() -> None:
    """Its vector: one that another implementation has made."""
    ledger = imported(LEDGER)
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    assert ledger.verified(secret, headers, body, 1614265330) == headers["webhook-id"]
    assert ledger.verified(secret, headers, body + b" ", 1614265330) is None
