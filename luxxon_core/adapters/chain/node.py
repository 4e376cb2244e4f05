"""A chain behind one node or several: which of them is asked, and which is believed.

The first that works is asked, in the order given. One that fails is passed over until a probe in the
background succeeds, so nobody waits for it twice; so is one whose head lies behind the others'. One that
makes up its head (:mod:`.node_heads`), or is on another chain, is not asked. A block or a state that one
has not got the next may have. Transactions go to all: the same bytes are the same transaction everywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog

from luxxon_core.adapters.chain import node_heads
from luxxon_core.adapters.chain.node_state import (
    DOWN_S,
    Doubt,
    Node,
    NodeHealth,
    OldHead,
    best_of,
    better,
    host_of,
    is_missing,
    is_open,
    number_of,
    result_or_error,
)
from luxxon_core.adapters.chain.wire import NodeError, Unreachable, result_of, wire_to
from luxxon_core.kernel.errors import ExternalError

TIMEOUT_S = 10.0
SHARED_TIMEOUT_S = 5.0
"""Where there is another node to turn to; queries for logs may take long anywhere."""
TRIES = 4
"""Rounds through all nodes before a request fails for a reason that may pass in a moment."""
FIRST_PAUSE_S = 0.1
"""Between the first two rounds; it doubles."""
MAX_REST_S = 2.0
"""A node that asks to be left alone for no longer is waited for where there is no other."""
LONGEST_REST_S = 300.0
"""No Retry-After is taken for more than this."""
COMPARE_S = 5.0
"""How often the heads of several nodes are compared."""
SEND = "eth_sendRawTransaction"

_log = structlog.get_logger(__name__)


class Nodes:
    """JSON-RPC requests to a chain.

    Args:
        urls: of the nodes, the preferred one first; ``http(s)`` or ``ws(s)``.
        chain_id: what each must answer to eth_chainId where there are several; None takes what
            the first says.
        monotonic: seconds that only grow.
        wall: the time, as blocks tell it.
    """

    def __init__(
        self,
        urls: Sequence[str],
        chain_id: int | None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._nodes = [Node(host_of(url), wire_to(url)) for url in urls]
        self._chain_id = chain_id
        self._monotonic, self._wall = monotonic, wall
        self._next_check = 0.0
        self._check: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        tasks = [*self._sending, *([] if self._check is None else [self._check])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(node.wire.close() for node in self._nodes))

    @property
    def several(self) -> bool:
        return len(self._nodes) > 1

    def health(self) -> list[NodeHealth]:
        """Of every node, the preferred one first."""
        return [NodeHealth(one.host, not one.foreign and one.rank == 0, one.head) for one in self._nodes]

    async def request(self, method: str, *params: object) -> Any:
        """The result of one request.

        Raises:
            NodeError: the node answered with an error.
            ExternalError: no node answered, or none in JSON-RPC.
        """
        self._compare()
        if method == SEND and not self._alone:
            return await self._send(params)
        failure: ExternalError = Unreachable("asked to wait", brief=False)
        for again in range(TRIES):
            if again:
                await asyncio.sleep(FIRST_PAUSE_S * 2 ** (again - 1))
            answered, brief = False, False
            missing: NodeError | None = None
            for node in self._in_order():
                if self.several and node.lacks(method, params):
                    failure = OldHead("an old head", brief=False)
                    continue
                try:
                    result = await self._ask(node, method, params)
                except Unreachable as error:
                    failure, brief = error, brief or error.brief
                    continue
                except NodeError as error:
                    if not is_missing(error):
                        raise
                    missing = missing or error
                    continue
                if result is not None or self._alone or not node.should_have(method, params):
                    return result
                answered = True  # the block of a number below its own head: another node may have it
            if answered:
                return None
            if missing is not None:
                raise missing
            if not brief:
                break
        raise failure

    async def request_all(self, method: str, calls: Sequence[Sequence[object]]) -> list[Any]:
        """The results of requests of one method, in their order; in place of one that failed, the
        ExternalError that :meth:`request` raises."""
        self._compare()
        if method == SEND and not self._alone:
            return await self._send_all(calls)
        results: list[Any] = [Unreachable("asked to wait", brief=False)] * len(calls)
        for again in range(TRIES):
            if again:
                await asyncio.sleep(FIRST_PAUSE_S * 2 ** (again - 1))
            for node in self._in_order():
                left = [at for at, result in enumerate(results) if is_open(result, self.several)]
                answers = await self._ask_all(node, method, [calls[at] for at in left]) if left else ()
                for at, answer in zip(left, answers, strict=True):
                    results[at] = better(results[at], answer)
            if not any(isinstance(result, Unreachable) and result.brief for result in results):
                break
        return results

    # ---------------------------------------------------------------- choosing

    @property
    def _alone(self) -> bool:
        return not self.several

    def _in_order(self) -> list[Node]:
        """Whom to ask, one after the other; nodes that rest for long are left alone."""
        now = self._monotonic()
        willing = [node for node in self._nodes if not node.barred and node.rests_until - now <= MAX_REST_S]
        return sorted(willing, key=lambda node: (node.rests_until > now, node.rank))

    async def second(self, method: str, *params: object) -> Any:
        """What another node than the preferred one says; None where there is none, or it does not answer."""
        for node in self._in_order()[1:]:
            if node.rank or node.lacks(method, params):
                continue
            try:
                return await self._ask(node, method, params)
            except ExternalError:
                continue  # it has been marked, or does not know the block
        return None

    # ---------------------------------------------------------------- asking

    async def _ask(self, node: Node, method: str, params: Sequence[object]) -> Any:
        """One node's result.

        Raises:
            NodeError: it answered with an error that is about the request.
            Unreachable: anything else; the node has been marked.
        """
        if (rest := node.rests_until - self._monotonic()) > 0:
            await asyncio.sleep(rest)
        try:
            if not (node.proven or self._alone):
                await self._prove(node)
            result = await self._answer(node, method, params)
            if method == "eth_blockNumber":
                result = hex(await self._hear(node, result))
        except OldHead:
            raise
        except Unreachable as error:
            self._failed(node, error)
            raise
        if node.down:
            self._is_up(node)
        return result

    async def _ask_all(self, node: Node, method: str, calls: Sequence[Sequence[object]]) -> list[Any]:
        """One node's results; in place of one that failed what :meth:`_ask` raises."""
        if (rest := node.rests_until - self._monotonic()) > 0:
            await asyncio.sleep(rest)
        try:
            if not (node.proven or self._alone):
                await self._prove(node)
        except Unreachable as error:
            self._failed(node, error)
            return [error] * len(calls)
        timeout = TIMEOUT_S if self._alone else SHARED_TIMEOUT_S
        results = [result_or_error(method, one) for one in await node.wire.post_all(method, calls, timeout)]
        limited = next((one for one in results if isinstance(one, Unreachable)), None)
        if limited is not None:
            self._failed(node, limited)
        elif node.down:
            self._is_up(node)
        return results

    async def _answer(self, node: Node, method: str, params: Sequence[object]) -> Any:
        patient = self._alone or method == "eth_getLogs"
        response = await node.wire.post(method, params, TIMEOUT_S if patient else SHARED_TIMEOUT_S)
        return result_of(method, response)

    async def _prove(self, node: Node) -> None:
        """Have a node tell its chain.

        Raises:
            Unreachable: it does not, or it is on another one.
        """
        async with node.proving:
            if node.proven:
                return
            try:
                told = number_of(await self._answer(node, "eth_chainId", ()))
            except NodeError as error:
                raise Unreachable("no chain id") from error
            self._chain_id = self._chain_id or told
            if told != self._chain_id:
                node.foreign = True
                _log.error("chain.node_foreign", host=node.host, chain_id=told, expected=self._chain_id)
                raise Unreachable("another chain", brief=False)
            node.proven = True

    async def _send(self, params: Sequence[object]) -> Any:
        """A signed transaction to every node; the first that takes it speaks for all.

        Raises:
            NodeError: none took it; what the preferred one said.
            Unreachable: none answered.
        """
        tasks = [
            asyncio.create_task(self._ask(node, SEND, params), name=f"send to {node.host}")
            for node in self._in_order()
        ]
        for task in tasks:
            self._sending.add(task)
            task.add_done_callback(self._sent)
        for done in asyncio.as_completed(tasks):
            try:
                return await done
            except ExternalError:
                continue
        failures = [task.exception() for task in tasks]
        said = next((one for one in failures if isinstance(one, NodeError)), None)
        raise said or next((one for one in failures if one is not None), Unreachable("no node may be asked"))

    async def _send_all(self, calls: Sequence[Sequence[object]]) -> list[Any]:
        """Signed transactions to every node; of each, the first node that takes it speaks for all, else the
        preferred one of those that answer."""
        tasks = [
            asyncio.create_task(self._ask_all(node, SEND, calls), name=f"send to {node.host}")
            for node in self._in_order()
        ]
        for task in tasks:
            self._sending.add(task)
            task.add_done_callback(self._sent)
        results: list[Any] = [Unreachable("no node may be asked")] * len(calls)
        for done in asyncio.as_completed(tasks):
            await done
            said = [task.result() for task in tasks if task.done()]
            results = [best_of(answers) for answers in zip(*said, strict=True)]
            if not any(isinstance(result, ExternalError) for result in results):
                break
        return results

    def _sent(self, task: asyncio.Task[Any]) -> None:
        self._sending.discard(task)
        if not task.cancelled():
            task.exception()  # taken note of by _ask, even if another node's answer was enough

    # ---------------------------------------------------------------- judging

    def _failed(self, node: Node, error: Unreachable) -> None:
        now = self._monotonic()
        if error.retry_after is not None:
            node.rests_until = now + min(error.retry_after, LONGEST_REST_S)
        if node.foreign:
            return
        if not node.down:
            _log.warning("chain.node_down", host=node.host, reason=error.kind)
            node.down = True
        if node.probe_at <= now:
            node.probe_at = now + node.pause
            node.pause = min(2 * node.pause, DOWN_S[1])
            self._next_check = min(self._next_check, node.probe_at)

    async def _hear(self, node: Node, answer: object) -> int:
        """Note a node's head, and return it.

        Raises:
            OldHead: it is not believed: it lies far behind what has been heard, from itself as well, or far
                above what the node shows, or what two others tell. A chain that has really become shorter is
                believed after the next comparison.
        """
        told = number_of(answer)
        head = await self._newest(node, told)
        others = [one for one in self._nodes if one.answers]
        behind = self.several and node_heads.is_behind(head, others, self._monotonic(), self._wall())
        node.hear(told, head, self._monotonic())
        if (boasts := node_heads.boasts(node)) and not node.doubt:
            self._doubt(node, told, "above its blocks")
            if self.several:  # where none is better it is asked again, for the blocks that it shows
                raise OldHead("a head that is made up")
        if self._alone:
            node.doubt = "above its blocks" if boasts else None
            return head
        if behind:
            self._next_check = 0.0
            self._doubt(node, told, "behind")
            raise OldHead("an old head")
        if node_heads.runs_away(node, others, self._monotonic(), self._wall()):
            self._next_check = 0.0  # that was from what the others told some time ago
            self._compare()
            if self._check is not None:
                await asyncio.wait({self._check})
            if node.doubt:
                raise OldHead("a head far above the others'")
        return head

    async def _newest(self, node: Node, told: int) -> int:
        """The newest block that a node shows of those that it tells of; raises as :meth:`_hear` does."""
        try:
            return await node_heads.newest_shown(node, told, partial(self._answer, node))
        except OldHead:
            self._doubt(node, told, "without its block")
            raise

    def _doubt(self, node: Node, told: int, doubt: Doubt) -> None:
        if not node.doubt:
            _log.warning("chain.node_doubted", host=node.host, head_is=doubt, told=told, shown=node.shown)
        if not node.makes_up:
            node.doubt, node.accused_at = doubt, self._monotonic()

    def _is_up(self, node: Node) -> None:
        _log.info("chain.node_up", host=node.host, head=node.head)
        node.down, node.doubt = False, None
        node.pause, node.probe_at = DOWN_S[0], 0.0

    def _compare(self) -> None:
        """Have the nodes' heads compared in the background, if that is due."""
        if self._alone or self._monotonic() < self._next_check:
            return
        if self._check is None or self._check.done():
            self._next_check = self._monotonic() + COMPARE_S
            self._check = asyncio.create_task(self._compared(), name="chain nodes")

    async def _compared(self) -> None:
        now = self._monotonic()
        due = [node for node in self._nodes if node.is_due(now)]
        found = await asyncio.gather(*(self._probe(node) for node in due))
        well = [node for node, answers in zip(due, found, strict=True) if answers]
        now, wall = self._monotonic(), self._wall()
        doubts = [node_heads.doubt_of(node, well, now, wall) for node in well]
        for node, doubt in zip(well, doubts, strict=True):
            if doubt is not None:
                self._doubt(node, node.told, doubt)
            elif node.rank:
                self._is_up(node)

    async def _probe(self, node: Node) -> bool:
        """Whether a node answers and shows its head, which is noted, and not compared."""
        try:
            await self._prove(node)
            told = number_of(await self._answer(node, "eth_blockNumber", ()))
            node.hear(told, await self._newest(node, told), self._monotonic())
        except OldHead:
            return False
        except Unreachable as error:
            self._failed(node, error)
            return False
        except NodeError:
            self._failed(node, Unreachable("no head"))
            return False
        return True
