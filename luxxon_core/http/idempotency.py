"""``Idempotency-Key``: one request, sent again and again, is executed once and answered alike for 24 hours.

A row with a lease says who executes; it is renewed while that goes on and, once stored, holds the answer.
Others wait for it, in this process on an event, in another one by asking the database with pauses; nobody
holds a connection meanwhile. Where the executing process dies, the lease runs out and the next one executes
again, with the same :attr:`~luxxon_core.http.operation.Call.idempotent_id`. By it a session that the first
created is found and not made twice; of other operations that died between commit and answer something may be
left that nobody was told of: an API key whose plaintext no one has, a nonce that is spent.

An answer may hold secrets. The row holds the key's hash, and the answer encrypted with the key itself, the
caller and a secret of the server: the database alone reveals nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid5

import msgspec
import structlog

from luxxon_core.kernel.clock import Clock
from luxxon_core.kernel.errors import Conflict, InvalidInput, LuxxonError
from luxxon_core.kernel.uow import Tx, UnitOfWork

log = structlog.get_logger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT = timedelta(hours=24)
LEASE = timedelta(seconds=10)
RENEW_SECONDS = 3.0
WAIT_SECONDS = 12.0
"""Longer than the lease: who waits for a process that has died takes its place."""
PAUSE_SECONDS = (0.02, 0.5)
PURGE_ROWS = 1000
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_NAMESPACE = UUID("5a0e5c0e-8f0b-5d3c-9a53-6c7578786f6e")
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Claim:
    """A request: who sent it, under which key, and what was asked.

    Args:
        key_hash: sha256 of the Idempotency-Key.
        fingerprint: sha256 of all that the answer depends on.
    """

    caller: str
    key_hash: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to execute.

    Args:
        since: when the request was first claimed, by whomever.
        until: when the right is lost; also tells this lease from any later one.
    """

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """What another one's claim has come to: ``answer`` is None while it is executed."""

    fingerprint: bytes
    answer: bytes | None
    lease_until: datetime


class Answers(Protocol):
    """The table of answers; what has expired is as good as absent."""

    async def claim(
        self, tx: Tx, claim: Claim, now: datetime, until: datetime, expires_at: datetime
    ) -> Lease | None:
        """The lease, when the key is new, or its lease ran out unanswered and the same is asked."""
        ...

    async def find(self, tx: Tx, claim: Claim, now: datetime) -> Held | None:
        """What is stored under the caller's key."""
        ...

    async def renew(self, tx: Tx, claim: Claim, lease: Lease, until: datetime) -> bool:
        """Move the lease's end; False when it has been lost."""
        ...

    async def finish(self, tx: Tx, claim: Claim, lease: Lease, answer: bytes) -> bool:
        """Store the answer; False when the lease has been lost."""
        ...

    async def purge(self, tx: Tx, now: datetime, limit: int) -> int:
        """Delete what has expired; returns how many rows."""
        ...


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """An answer as it was sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __repr__(self) -> str:  # never what it says
        return f"Reply({self.status})"


class InProgress(Conflict):
    """Somebody else still executes the same request; told with ``Retry-After``."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Executes each request once.

    Args:
        secrets: of the server, 32 bytes or more each: the first one encrypts, any of them decrypts; the same
            ones in every process.
    """

    uow: UnitOfWork
    answers: Answers
    clock: Clock
    secrets: Sequence[bytes] = field(repr=False)
    _running: dict[tuple[str, bytes], asyncio.Event] = field(default_factory=dict, repr=False)

    async def once(
        self, caller: str, key: str, fingerprint: bytes, execute: Callable[[UUID], Awaitable[Reply]]
    ) -> tuple[Reply, bool]:
        """The answer, and whether it is another one's.

        Args:
            execute: gets an id that every attempt at this request gets; what it returns is stored, and what
                it raises is not.

        Raises:
            Conflict: ``idempotency:mismatch``: the key was used for something else;
                ``idempotency:unreadable``: answered, but with a secret that the server has no more.
            InProgress: ``idempotency:inProgress``: it takes longer than anybody should wait.
        """
        claim = Claim(caller, hashlib.sha256(key.encode()).digest(), fingerprint)
        loop = asyncio.get_running_loop()
        give_up, pause = loop.time() + WAIT_SECONDS, PAUSE_SECONDS[0]
        held = None
        while True:
            if held is None or (held.answer is None and held.lease_until <= self.clock()):
                lease = await self._claim(claim)
                if lease is not None:
                    return await self._execute(claim, lease, key, execute), False
            async with self.uow.read() as tx:
                held = await self.answers.find(tx, claim, self.clock())
            if held is not None and held.fingerprint != fingerprint:
                raise Conflict("idempotency:mismatch")
            if held is not None and held.answer is not None:
                return self._open(key, claim, held.answer), True
            if loop.time() >= give_up:
                raise InProgress("idempotency:inProgress")
            await self._pause(claim, pause)
            pause = min(pause * 2, PAUSE_SECONDS[1])

    async def purge(self, now: datetime) -> int:
        """Delete some of what has expired; returns how many."""
        async with self.uow.begin() as tx:
            return await self.answers.purge(tx, now, PURGE_ROWS)

    async def _claim(self, claim: Claim) -> Lease | None:
        if (claim.caller, claim.key_hash) in self._running:
            return None
        now = self.clock()
        async with self.uow.begin() as tx:
            return await self.answers.claim(tx, claim, now, now + LEASE, now + KEPT)

    async def _pause(self, claim: Claim, seconds: float) -> None:
        running = self._running.get((claim.caller, claim.key_hash))
        if running is None:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running.wait(), seconds)

    async def _execute(
        self, claim: Claim, lease: Lease, key: str, execute: Callable[[UUID], Awaitable[Reply]]
    ) -> Reply:
        place = (claim.caller, claim.key_hash)
        done = self._running[place] = asyncio.Event()
        renewal = _Renewal(self, claim, lease)
        try:
            try:
                reply = await execute(_id(claim, lease))
            except Exception:
                await self._abandon(claim, await renewal.stop())
                raise
            await self._store(claim, await renewal.stop(), self._seal(key, claim, reply))
            return reply
        finally:  # also when cancelled: how far it came is unknown then, and the lease runs out
            del self._running[place]
            done.set()
            await renewal.close()

    async def renew(self, claim: Claim, lease: Lease) -> Lease | None:
        """The lease with a later end; None when it has been lost."""
        until = self.clock() + LEASE
        async with self.uow.begin() as tx:
            renewed = await self.answers.renew(tx, claim, lease, until)
        return Lease(lease.since, until) if renewed else None

    async def _abandon(self, claim: Claim, lease: Lease) -> None:
        """End the lease now: whoever sends the request again executes it, under the same id."""
        with contextlib.suppress(LuxxonError):  # else it runs out
            async with self.uow.begin() as tx:
                await self.answers.renew(tx, claim, lease, self.clock())

    async def _store(self, claim: Claim, lease: Lease, sealed: bytes) -> None:
        try:
            async with self.uow.begin() as tx:
                stored = await self.answers.finish(tx, claim, lease, sealed)
        except LuxxonError as error:
            log.warning("answer not stored, a duplicate will execute again", code=error.code)
            return
        if not stored:
            log.warning("answer not stored, the lease was lost")

    def _seal(self, key: str, claim: Claim, reply: Reply) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        cipher = AESGCM(_derived(self.secrets[0], key, claim.caller))
        return nonce + cipher.encrypt(nonce, msgspec.msgpack.encode(reply), claim.fingerprint)

    def _open(self, key: str, claim: Claim, sealed: bytes) -> Reply:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for secret in self.secrets:
            cipher = AESGCM(_derived(secret, key, claim.caller))
            with contextlib.suppress(InvalidTag):
                return msgspec.msgpack.decode(cipher.decrypt(nonce, text, claim.fingerprint), type=Reply)
        raise Conflict("idempotency:unreadable")


class _Renewal:
    """Keeps a lease while its request is executed."""

    def __init__(self, owner: Idempotency, claim: Claim, lease: Lease) -> None:
        self._lease = lease
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._run(owner, claim), name="idempotency lease")

    async def stop(self) -> Lease:
        """The lease as it is stored: a renewal under way ends first."""
        self._stop.set()
        await self._task
        return self._lease

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, owner: Idempotency, claim: Claim) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), RENEW_SECONDS)
                return
            try:
                renewed = await owner.renew(claim, self._lease)
            except LuxxonError as error:
                log.warning("idempotency lease not renewed, will be tried again", code=error.code)
                continue
            if renewed is None:
                return
            self._lease = renewed


def checked_key(values: Sequence[str]) -> str:
    """The one value of ``Idempotency-Key``: 1–255 visible ASCII characters.

    Raises:
        InvalidInput: ``idempotency:key``.
    """
    if len(values) != 1 or not _KEY.fullmatch(values[0]):
        raise InvalidInput("idempotency:key")
    return values[0]


def fingerprint(*parts: str | bytes) -> bytes:
    """sha256 of the parts, each with its length before it."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8) + raw)
    return digest.digest()


def _id(claim: Claim, lease: Lease) -> UUID:
    """The same for each attempt at one request, another one once the key has expired and is used again."""
    return uuid5(_NAMESPACE, f"{claim.caller}\0{claim.key_hash.hex()}\0{lease.since.timestamp()}")


def _derived(secret: bytes, key: str, caller: str) -> bytes:
    """HKDF-SHA256 (RFC 5869), 32 bytes."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = b"luxxon idempotent answer\0" + caller.encode()
    return HKDF(algorithm=SHA256(), length=32, salt=secret, info=info).derive(key.encode())
