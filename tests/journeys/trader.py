"""Clients that know what each answer must be, whichever server gives it and whichever dies meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from production import Serve, until

from luxxon_core.demo.stage import Party
from luxxon_core.kernel.geo import Point

Verdict = tuple[int, str | None, str | None]
"""Status, code and detail; 200 has neither."""
FINE: Verdict = (200, None, None)


@dataclass(frozen=True)
class Answer:
    verdict: Verdict
    data: Any
    unsure: bool
    """An earlier attempt at the same was lost with the server that it was sent to."""


@dataclass
class Clients:
    """What all clients share: the servers, the connections, and what has been counted."""

    http: httpx.AsyncClient
    servers: list[Serve]
    doomed: set[str] = field(default_factory=set)
    """Servers that may fail from now on."""
    dead: set[str] = field(default_factory=set)
    """Those that have, and are asked no more."""
    answered: Counter[str] = field(default_factory=Counter)
    """By server."""
    lost: Counter[str] = field(default_factory=Counter)
    """Requests of which a dying server left no answer, by whether it may have executed them."""
    longest_retry: float = 0.0
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def total(self) -> int:
        return self.answered.total()

    async def ask(
        self,
        chosen: random.Random,
        party: Party,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Ask one of the servers; where it dies, another one the same, under the same Idempotency-Key."""
        headers = {"Authorization": f"Bearer {party.api_key}"}
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid4())
        unsure, began = False, time.monotonic()
        while True:
            server = chosen.choice([one for one in self.servers if one.name not in self.dead])
            try:
                response = await self.http.request(method, server.api_url + path, headers=headers, json=body)
            except httpx.TransportError as error:
                assert server.name in self.doomed, f"{server.name} is there: {error!r}"
                self.dead.add(server.name)
                sent = not isinstance(error, httpx.ConnectError)
                unsure |= sent
                self.lost["sent" if sent else "unsent"] += 1
                continue
            self.answered[server.name] += 1
            if unsure:
                self.longest_retry = max(self.longest_retry, time.monotonic() - began)
            if response.status_code == 200 and response.headers["content-type"].startswith("image/"):
                return Answer(FINE, response.content, unsure)
            answer = response.json()
            if response.status_code == 200:
                return Answer(FINE, answer["data"], unsure)
            return Answer((response.status_code, answer["code"], answer.get("detail")), None, unsure)


@dataclass
class Trader:
    """A consumer and a supplier at a place of their own, so that nobody else changes what they ask about."""

    clients: Clients
    consumer: Party
    supplier: Party
    place: Point
    chosen: random.Random
    session_id: str | None = None
    state: str = "NONE"
    assigned: bool = False
    """There has been an operator."""
    occupied: bool = False
    """Dispatch or start have made the supplier BUSY."""
    started: bool = False
    sequence: int = 0
    created: int = 0
    history: list[tuple[str, str]] = field(default_factory=list)
    """Every state that any session came into."""

    async def run(self) -> None:
        """Do one thing after another until told to stop, and leave nothing open."""
        while not self.clients.stop.is_set():
            await self.chosen.choice(self._possible())()
        if self.state in ("REQUESTED", "ASSIGNED"):
            await self.cancel()

    def _possible(self) -> Sequence[Any]:
        """What may be done now; what would be refused comes up now and then."""
        looking = [self.look, self.look, self.list_, self.open, self.availability, self.heartbeat]
        if self.state in ("NONE", "CANCELLED"):
            wanted = [self.create, self.create, self.create]
        elif self.state == "REQUESTED":
            wanted = [self.dispatch, self.dispatch, self.accept, self.cancel]
        else:
            wanted = [self.start, self.cancel, self.cancel_all]
        odd = [self.dispatch, self.accept, self.start, self.cancel, self.end, self.tokens, self.payment]
        return wanted * 3 + looking + (odd if self.session_id else [])

    async def create(self) -> None:
        body = {"lat": self.place.lat, "lng": self.place.lng, "maxDurationSeconds": 10}
        if self.chosen.random() < 0.5:
            quoted = await self._ask(
                self.consumer,
                "GET",
                f"/pricing/quote?lat={self.place.lat}&lng={self.place.lng}&durationSeconds=10",
            )
            self._judge(quoted, FINE)
            body["quoteId"] = quoted.data["quoteId"]
        made = await self._ask(self.consumer, "POST", "/sessions", body)
        self._judge(made, FINE)
        assert (made.data["state"], made.data["operatorWorkspaceId"]) == ("REQUESTED", None)
        self.session_id = made.data["id"]
        self.created += 1
        self.assigned = self.started = self.occupied = False
        self._enter("REQUESTED")

    async def dispatch(self) -> None:
        before = self.state
        answer = await self._change(self.consumer, "dispatch", "dispatch", before == "REQUESTED", "ASSIGNED")
        if before == "REQUESTED":
            self._assigned_to_ours(answer)
            self.occupied = True

    async def accept(self) -> None:
        before = self.state
        answer = await self._change(self.supplier, "accept", "accept", before == "REQUESTED", "ASSIGNED")
        if before == "REQUESTED":
            self._assigned_to_ours(answer)

    async def start(self) -> None:
        if self.state == "CANCELLED" and not self.assigned:
            return  # whether one who never was its operator may know its state is not for here
        answer = await self._change(self.supplier, "start", "start", self.state == "ASSIGNED", "ASSIGNED")
        if self.state == "ASSIGNED":
            assert answer.data["whipUrl"]
            self.started = self.occupied = True

    async def cancel(self) -> None:
        allowed = self.state in ("REQUESTED", "ASSIGNED")
        await self._change(self.consumer, None, "cancel", allowed, "CANCELLED")
        self.started = self.occupied = False

    async def cancel_all(self) -> None:
        wanted = [self.session_id] if self.state == "ASSIGNED" else []
        answer = await self._ask(self.supplier, "POST", "/sessions/cancel-all-assignments")
        self._judge(answer, FINE)
        assert answer.data["cancelled"] in ([wanted, []] if answer.unsure else [wanted]), answer
        if wanted:
            self.started = self.occupied = False
            self._enter("CANCELLED")

    async def end(self) -> None:
        answer = await self._ask(self.consumer, "POST", f"/sessions/{self.session_id}/end")
        self._judge(answer, (409, "INVALID_STATE", f"session:end:{self.state}"))

    async def tokens(self) -> None:
        token = await self._ask(self.consumer, "GET", f"/sessions/{self.session_id}/viewer-token")
        refused = (409, "INVALID_STATE", f"session:viewerToken:{self.state}")
        self._judge(token, FINE if self.started else refused)
        frame = await self._ask(self.consumer, "GET", f"/sessions/{self.session_id}/frame")
        self._judge(frame, (404, "FRAME_NOT_AVAILABLE", None))

    async def payment(self) -> None:
        answer = await self._ask(self.consumer, "GET", f"/settlements/{self.session_id}")
        self._judge(answer, FINE)
        assert answer.data["state"] == "NOT_READY"

    async def look(self) -> None:
        if self.session_id is None:
            return
        path = f"/sessions/{self.session_id}"
        seen, theirs = await asyncio.gather(
            self._ask(self.consumer, "GET", path), self._ask(self.supplier, "GET", path)
        )
        self._judge(seen, FINE)
        assert seen.data["state"] == self.state
        self._judge(theirs, FINE if self.assigned else (403, "NOT_AUTHORIZED", "session:viewDenied"))

    async def list_(self) -> None:
        answer = await self._ask(self.consumer, "GET", "/sessions?limit=3")
        self._judge(answer, FINE)
        assert len(answer.data) == min(self.created, 3)
        if self.session_id is not None:
            assert (answer.data[0]["id"], answer.data[0]["state"]) == (self.session_id, self.state)

    async def open(self) -> None:
        answer = await self._ask(self.supplier, "GET", "/sessions/open")
        self._judge(answer, FINE)
        wanted = [self.session_id] if self.state == "REQUESTED" else []
        assert [one["id"] for one in answer.data] == wanted

    async def availability(self) -> None:
        answer = await self._ask(self.supplier, "GET", f"/workspaces/{self.supplier.workspace_id}")
        self._judge(answer, FINE)
        assert answer.data["availabilityState"] == ("BUSY" if self.occupied else "ONLINE")

    async def heartbeat(self) -> None:
        path = f"/workspaces/{self.supplier.workspace_id}/location"
        self.sequence += 1
        where = {"lat": self.place.lat, "lng": self.place.lng, "accuracyMeters": 5}
        stale = (409, "CONFLICT", "heartbeat:sequence")
        answer = await self._ask(self.supplier, "POST", path, {**where, "sequence": self.sequence})
        self._judge(answer, FINE, *([stale] if answer.unsure else []))
        if self.chosen.random() < 0.3:
            again = await self._ask(self.supplier, "POST", path, {**where, "sequence": self.sequence})
            self._judge(again, stale)

    async def _change(
        self, party: Party, path: str | None, operation: str, allowed: bool, after: str
    ) -> Answer:
        """Ask for a transition, which must be refused with the present state unless it is allowed."""
        one = f"/sessions/{self.session_id}"
        answer = (
            await self._ask(party, "DELETE", one)
            if path is None
            else await self._ask(party, "POST", f"{one}/{path}")
        )
        if not allowed:
            self._judge(answer, (409, "INVALID_STATE", f"session:{operation}:{self.state}"))
            return answer
        executed_before = (409, "INVALID_STATE", f"session:{operation}:{after}")
        self._judge(answer, FINE, *([executed_before] if answer.unsure else []))
        if answer.verdict == FINE:
            assert answer.data.get("session", answer.data)["state"] == after
        elif after != self.state:
            answer = await self._ask(self.consumer, "GET", one)
            assert answer.data["state"] == after
        self._enter(after)
        return answer

    def _assigned_to_ours(self, answer: Answer) -> None:
        assert answer.data["operatorWorkspaceId"] == self.supplier.workspace_id
        self.assigned = True

    def _enter(self, state: str) -> None:
        assert self.session_id is not None
        if not self.history or self.history[-1] != (self.session_id, state):
            self.history.append((self.session_id, state))
        self.state = state

    async def _ask(
        self, party: Party, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Answer:
        return await self.clients.ask(self.chosen, party, method, path, body)

    def _judge(self, answer: Answer, *allowed: Verdict) -> None:
        assert answer.verdict in allowed, f"{answer.verdict} instead of {allowed} ({self.state})"


@dataclass
class Rival:
    """One of those who want the same suppliers: nobody must get one that another one has."""

    clients: Clients
    consumer: Party
    place: Point
    chosen: random.Random
    taken: set[str]
    """By any of the rivals."""
    served: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        while not self.clients.stop.is_set():
            body = {"lat": self.place.lat, "lng": self.place.lng, "maxDurationSeconds": 10}
            made = await self._ask("POST", "/sessions", body)
            assert made.verdict == FINE, made
            one = f"/sessions/{made.data['id']}"
            answer = await self._ask("POST", f"{one}/dispatch")
            if answer.verdict == (409, "INVALID_STATE", "session:dispatch:ASSIGNED") and answer.unsure:
                answer = await self._ask("GET", one)
            if answer.verdict == FINE:
                operator = answer.data["operatorWorkspaceId"]
                assert operator not in self.taken, "a supplier was given to two"
                self.taken.add(operator)
                seen = await self._ask("GET", one)
                assert (seen.data["state"], seen.data["operatorWorkspaceId"]) == ("ASSIGNED", operator)
                self.served["assigned"] += 1
                self.taken.remove(operator)
            else:
                assert answer.verdict in (
                    (503, "NO_COVERAGE", "session:dispatch"),
                    (503, "UNAVAILABLE", "session:dispatch"),
                ), answer
                self.served["refused"] += 1
            gone = await self._ask("DELETE", one)
            repeated = (409, "INVALID_STATE", "session:cancel:CANCELLED")
            assert gone.verdict == FINE or (gone.unsure and gone.verdict == repeated), gone

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        return await self.clients.ask(self.chosen, self.consumer, method, path, body)


@dataclass
class Load:
    """All of them at work."""

    clients: Clients
    tasks: list[asyncio.Task[None]]

    @classmethod
    def of(cls, clients: Clients, workers: Sequence[Trader | Rival]) -> Load:
        return cls(clients, [asyncio.create_task(one.run()) for one in workers])

    async def answered(self, total: int) -> None:
        """Until so many requests have been answered, all of them rightly."""

        async def enough() -> bool | None:
            for task in self.tasks:
                if task.done():
                    task.result()
            return True if self.clients.total >= total else None

        await until(enough, 60, f"{total} answers")

    async def finish(self) -> None:
        """Let everybody end what they have begun."""
        self.clients.stop.set()
        await asyncio.gather(*self.tasks)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
