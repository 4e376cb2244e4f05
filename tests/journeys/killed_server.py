"""A whole server in a process of its own, to be killed: it prints a line of JSON when it is ready.

With ``new`` behind folder and port it brings a consumer with a pool and an operator, whose keys it prints.
Each line on its input is the uid of a live input of which the edge is to have decoded the first picture.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from luxxon_core.client.wallet import ChainClient
from luxxon_core.demo.stage import CONSUMER_SCOPES, SUPPLIER_SCOPES, fund, party
from luxxon_core.kernel.clock import utc_now
from luxxon_core.media.domain import MediaEvent, MediaEventKind
from luxxon_core.server import Server, running
from luxxon_core.settings import load


async def parties(stack: AsyncExitStack, server: Server) -> dict[str, str]:
    scopes = (*CONSUMER_SCOPES, "webhooks:write")
    consumer = await stack.enter_async_context(party(server.api_url, "c", "CONSUMER", scopes))
    supplier = await stack.enter_async_context(party(server.api_url, "s", "SUPPLIER", SUPPLIER_SCOPES))
    async with ChainClient(server.deployment.config) as chain:
        await fund(server, chain, consumer, 600)
    return {
        "consumer": consumer.api_key,
        "supplier": supplier.api_key,
        "workspace": supplier.workspace_id,
    }


async def main(directory: str, port: str, *new: str) -> None:
    async with AsyncExitStack() as stack:
        settings = load(data_dir=Path(directory), port=int(port), udp_port=0, rpc_port=0)
        server = await stack.enter_async_context(running(settings))
        told = await parties(stack, server) if new else {}
        sys.stdout.write(json.dumps({"url": server.api_url, **told}) + "\n")
        sys.stdout.flush()
        while uid := (await asyncio.to_thread(sys.stdin.readline)).strip():
            event = MediaEvent(MediaEventKind.FIRST_FRAME, uid, utc_now())
            await server.deployment.cases.sessions.on_media(event, utc_now())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
