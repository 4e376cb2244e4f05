"""Processes of a measurement: one measures and gives orders, a line each; the others answer in JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

ANSWER = "answer: "
"""Begins the lines of a child's output that are not log."""


def answer(value: object) -> None:
    print(ANSWER + json.dumps(value), flush=True)


async def obey(orders: dict[str, Callable[..., Awaitable[Any]]]) -> None:
    """Carry out one order a line until the input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := (await reader.readline()).split():
        answer(await orders[line[0].decode()](*(word.decode() for word in line[1:])))


class Child:
    """One of the processes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, stack: AsyncExitStack, file: str, *arguments: str) -> tuple[Child, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, file, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        child = cls(process)
        stack.push_async_callback(child.stop)
        return child, await child.answer()

    async def answer(self) -> Any:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            if line.startswith(ANSWER.encode()):
                return json.loads(line[len(ANSWER) :])
        raise SystemExit("a process of the bench has ended")

    async def do(self, order: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(order.encode() + b"\n")
        return await self.answer()

    async def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
