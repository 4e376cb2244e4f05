"""JSON-RPC 2.0 to one node, over HTTP or a WebSocket; and what either says when it fails.

An URL may hold a provider's key: no error and no log line here has more of it than the host.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import ExternalError
from luxxon_core.settlement.ports import ChainUnreachable

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse

EXECUTION_REVERTED = 3
MAX_MESSAGE = 300
"""Characters of a node's error message that are kept."""
RATE_LIMITED = ("rate limit", "too many requests", "requests per second", "compute units", "request count")
TOO_MANY_REQUESTS = 429
LIMIT_EXCEEDED = -32005
"""EIP-1474; for queries of logs it may be about the number of results instead."""
MAX_FRAME = 64 * 1024 * 1024
"""Bytes of one answer over a WebSocket."""
MAX_BATCH = 100
"""Requests of one batch; providers take so many at least."""
MORE_AFTER = 64
"""Batches after which larger ones are tried again, where they were too large."""
NO_BATCHES_S = 300.0
"""How long a node that did not take a batch is sent none."""
AT_ONCE = 16
"""Requests under way together where there are no batches."""
PING_S = 20.0
"""A WebSocket that answers no ping for half as long is dropped."""


class NodeError(ExternalError):
    """A node's JSON-RPC error; ``data`` is what it gave beside the message."""

    def __init__(self, code: int, message: str, data: object) -> None:
        shown = "".join(one for one in message[:MAX_MESSAGE] if one.isprintable())  # it is logged and stored
        super().__init__("chain:node", f"The chain's node answers: {shown}")
        self.number, self.said, self.data = code, shown.lower(), data
        self.reverted = code == EXECUTION_REVERTED or "revert" in self.said


class Unreachable(ChainUnreachable):
    """A node did not answer, or not in JSON-RPC.

    Attributes:
        kind: what went wrong, in a word.
        brief: it may be over in a moment; a time-out has taken long enough.
        retry_after: seconds that the node asks to be left alone.
    """

    def __init__(self, kind: str, *, brief: bool = True, retry_after: float | None = None) -> None:
        super().__init__("chain:rpc", f"The chain cannot be reached ({kind})")
        self.kind, self.brief, self.retry_after = kind, brief, retry_after


def result_of(method: str, response: Mapping[str, Any]) -> Any:
    """What a node's answer to ``method`` holds.

    Raises:
        NodeError: an error that is about the request.
        Unreachable: an error that is about how much has been asked for.
    """
    failure: Any = response.get("error")
    if failure is None:
        return response.get("result")
    if not isinstance(failure, dict):
        failure = {"message": failure}
    code, message = failure.get("code"), str(failure.get("message", "no message"))
    error = NodeError(code if isinstance(code, int) else 0, message, failure.get("data"))
    limited = error.number == TOO_MANY_REQUESTS or any(words in error.said for words in RATE_LIMITED)
    if limited or (error.number == LIMIT_EXCEEDED and method != "eth_getLogs"):
        raise Unreachable("rate limit")
    raise error


class Wire(Protocol):
    """A way to one node."""

    async def post(self, method: str, params: Sequence[object], timeout: float) -> Mapping[str, Any]:
        """The answer to a request, an error of JSON-RPC included.

        Raises:
            Unreachable: there was none within ``timeout`` seconds.
        """
        ...

    async def post_all(
        self, method: str, calls: Sequence[Sequence[object]], timeout: float
    ) -> list[Mapping[str, Any] | Unreachable]:
        """The answers to requests of one method, in their order; in place of one that did not come within
        ``timeout`` seconds, why."""
        ...

    async def close(self) -> None: ...


def wire_to(url: str) -> Wire:
    """By the scheme of the URL: ``http``, ``https``, ``ws`` or ``wss``."""
    return SocketWire(url) if url.startswith(("ws://", "wss://")) else HttpWire(url)


class HttpWire:
    """Implements :class:`Wire` with POST requests over connections that are kept; several requests are one
    batch, until the node takes none."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: ClientSession | None = None
        self._ids = count(1)
        self._batches_from = 0.0
        self._largest, self._granted = MAX_BATCH, 0

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, method: str, params: Sequence[object], timeout: float) -> Mapping[str, Any]:
        body = msgspec.json.encode(_request(next(self._ids), method, params))
        return _single(*await self._exchanged(body, timeout))

    async def post_all(
        self, method: str, calls: Sequence[Sequence[object]], timeout: float
    ) -> list[Mapping[str, Any] | Unreachable]:
        answers: list[Mapping[str, Any] | Unreachable] = []
        while len(answers) < len(calls):
            part = calls[len(answers) : len(answers) + self._largest]
            try:
                found = await self._batch(method, part, timeout) if self._as_batch(part) else None
            except Unreachable as error:
                self._largest, self._granted = max(1, len(part) // 2), 0  # it may have been too many at once
                return [*answers, *([error] * (len(calls) - len(answers)))]
            self._granted += found is not None
            if self._granted == MORE_AFTER:
                self._largest, self._granted = min(2 * self._largest, MAX_BATCH), 0
            answers += await _each(self, method, part, timeout) if found is None else found
        return answers

    def _as_batch(self, calls: Sequence[object]) -> bool:
        return len(calls) > 1 and time.monotonic() >= self._batches_from

    async def _batch(
        self, method: str, calls: Sequence[Sequence[object]], timeout: float
    ) -> list[Mapping[str, Any]] | None:
        """The answers to one batch (JSON-RPC 2.0, section 6), which come in any order; None when the node
        does not take it for one."""
        requests = [_request(next(self._ids), method, params) for params in calls]
        response, body = await self._exchanged(msgspec.json.encode(requests), timeout)
        if response.status == TOO_MANY_REQUESTS:
            raise _refused(response.status, response.headers.get("Retry-After"))
        try:
            document = msgspec.json.decode(body)
        except msgspec.DecodeError:
            document = None
        if isinstance(document, list):
            answered = [one for one in document if isinstance(one, dict)]
            answers = {one["id"]: one for one in answered if isinstance(one.get("id"), int)}
            if all(request["id"] in answers for request in requests):
                return [answers[request["id"]] for request in requests]
        elif isinstance(document, dict):
            with suppress(NodeError):
                result_of(method, document)  # for all of them it may say that they are too many
        self._batches_from = time.monotonic() + NO_BATCHES_S
        return None

    async def _exchanged(self, body: bytes, timeout: float) -> tuple[ClientResponse, bytes]:
        from aiohttp import ClientError, ClientSession, ClientTimeout

        if self._session is None:
            self._session = ClientSession(headers={"Content-Type": "application/json"})
        try:
            async with self._session.post(
                self._url, data=body, timeout=ClientTimeout(total=timeout), allow_redirects=False
            ) as response:
                return response, await response.read()
        except TimeoutError as error:
            raise Unreachable(type(error).__name__, brief=False) from None
        except (ClientError, OSError, ValueError) as error:
            raise Unreachable(type(error).__name__) from None


class SocketWire:
    """Implements :class:`Wire` on one WebSocket, opened at first use and again after it was lost.

    Args:
        notified: called with the ``params`` of each notification (``eth_subscription``).
        lost: called when a connection has ended.
    """

    def __init__(
        self,
        url: str,
        notified: Callable[[Mapping[str, Any]], None] | None = None,
        lost: Callable[[], None] | None = None,
    ) -> None:
        self._url, self._notified, self._lost = url, notified, lost
        self._session: ClientSession | None = None
        self._socket: ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._ids = count(1)

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def post(self, method: str, params: Sequence[object], timeout: float) -> Mapping[str, Any]:
        from aiohttp import ClientError, WSServerHandshakeError

        number = next(self._ids)
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                socket = await self._opened()
                self._waiting[number] = answer
                await socket.send_str(msgspec.json.encode(_request(number, method, params)).decode())
                return await answer
        except TimeoutError as error:
            raise Unreachable(type(error).__name__, brief=False) from None
        except WSServerHandshakeError as error:
            asked = None if error.headers is None else error.headers.get("Retry-After")
            raise _refused(error.status, asked) from None
        except (ClientError, OSError, ValueError) as error:
            raise Unreachable(type(error).__name__) from None
        finally:
            self._waiting.pop(number, None)

    async def post_all(
        self, method: str, calls: Sequence[Sequence[object]], timeout: float
    ) -> list[Mapping[str, Any] | Unreachable]:
        return await _each(self, method, calls, timeout)

    async def _opened(self) -> ClientWebSocketResponse:
        from aiohttp import ClientSession

        async with self._opening:
            if self._socket is None or self._socket.closed:
                if self._session is None:
                    self._session = ClientSession()
                self._socket = await self._session.ws_connect(
                    self._url, heartbeat=PING_S, max_msg_size=MAX_FRAME
                )
                self._reading = asyncio.create_task(self._read(self._socket), name="chain socket")
            return self._socket

    async def _read(self, socket: ClientWebSocketResponse) -> None:
        try:
            async for message in socket:
                if isinstance(message.data, str | bytes):
                    self._take(message.data)
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError())
            if self._lost is not None:
                self._lost()

    def _take(self, text: str | bytes) -> None:
        try:
            document = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return  # who waits for it runs into its time-out
        if not isinstance(document, dict):
            return
        answer = self._waiting.get(number) if isinstance(number := document.get("id"), int) else None
        if answer is not None and not answer.done():
            answer.set_result(document)
        elif document.get("method") == "eth_subscription" and self._notified is not None:
            self._notified(document.get("params") or {})


async def _each(
    wire: Wire, method: str, calls: Sequence[Sequence[object]], timeout: float
) -> list[Mapping[str, Any] | Unreachable]:
    """Requests side by side; ``timeout`` is that of all together."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(params: Sequence[object]) -> Mapping[str, Any] | Unreachable:
        async with slots:
            try:
                return await wire.post(method, params, timeout)
            except Unreachable as error:
                return error

    tasks = [asyncio.create_task(one(params), name=method) for params in calls]
    try:
        await asyncio.wait(tasks, timeout=timeout)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    late = Unreachable("TimeoutError", brief=False)
    return [late if task.cancelled() else task.result() for task in tasks]


def _request(number: int, method: str, params: Sequence[object]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def _single(response: ClientResponse, body: bytes) -> Mapping[str, Any]:
    """The JSON-RPC answer in an answer of HTTP; some nodes report their own errors with a 4xx status.

    Raises:
        Unreachable: it has none.
    """
    if response.status == TOO_MANY_REQUESTS or response.status >= 500:
        raise _refused(response.status, response.headers.get("Retry-After"))
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        document = None
    if isinstance(document, dict) and ("result" in document or "error" in document):
        return document
    kind = f"HTTP {response.status}" if response.status >= 300 else "no JSON-RPC"
    raise Unreachable(kind, brief=False)


def _refused(status: int, retry_after: str | None) -> Unreachable:
    return Unreachable(f"HTTP {status}", retry_after=None if retry_after is None else _seconds(retry_after))


def _seconds(retry_after: str) -> float | None:
    """Seconds from now, by a Retry-After header (RFC 9110, section 10.2.3); None where it says nothing."""
    try:
        if retry_after.strip().isdecimal():
            return float(retry_after)
        return max(0.0, (parsedate_to_datetime(retry_after) - utc_now()).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
