"""The program behind ``production.Cameras``: each line of the input, as JSON, is one more camera."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from luxxon_core.client import Luxxon
from luxxon_core.operator.agent import Location, OperatorAgent
from luxxon_core.operator.publisher import Publisher
from luxxon_core.plugins import load_plugins

SIZE = {"width": 160, "height": 90, "fps": 10}


async def camera(told: dict[str, Any]) -> None:
    source_type, config = load_plugins().configure("testcard", SIZE)
    async with await source_type.open(config) as source:
        if "url" in told:
            await Publisher(source).publish(told["url"])
            return
        async with Luxxon(told["api"], api_key=told["key"]) as api:
            location = Location(told["lat"], told["lng"])
            agent = OperatorAgent(api, source, told["workspace"], location)
            await agent.run()


async def main() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as running:
        async for line in reader:
            running.create_task(camera(json.loads(line)))


asyncio.run(main())
