"""An agent that looks at a place until it has seen enough, stops the meter, and writes a report.

It reaches the marketplace by MCP, as any agent's host does. What decides is a :class:`Model`: the one here is
a rule that needs no key and no network; README.md shows how to put a language model in its place.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import click
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ImageContent, TextContent
from PIL import Image

ANSWERED, REFUSED, INTERRUPTED = 0, 3, 130


@dataclass(frozen=True)
class Verdict:
    """What a model makes of the pictures so far."""

    done: bool
    words: str


class Model(Protocol):
    async def decide(self, question: str, pictures: Sequence[bytes]) -> Verdict:
        """Say what the JPEG pictures show, oldest first, and whether that answers the question."""


class Steady:
    """Enough is seen when two pictures in a row hardly differ: nothing is left to wait for."""

    def __init__(self, threshold: float = 2.0) -> None:
        self._threshold = threshold

    async def decide(self, question: str, pictures: Sequence[bytes]) -> Verdict:
        now = _grey(pictures[-1])
        words = f"brightness {sum(now) / len(now):.0f} of 255"
        if len(pictures) < 2:
            return Verdict(False, words)
        changed = sum(abs(a - b) for a, b in zip(_grey(pictures[-2]), now, strict=True)) / len(now)
        return Verdict(changed < self._threshold, f"{words}, changed by {changed:.1f}")


def _grey(jpeg: bytes) -> bytes:
    """32 × 18 pixels: what is smaller than a thirtieth of the picture is noise."""
    return Image.open(io.BytesIO(jpeg)).convert("L").resize((32, 18)).tobytes()


class Refused(Exception):
    """A tool's error: ``told`` is what it says, ``code`` the contract's code."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.code = str(told.get("code") or told.get("error"))
        super().__init__(" ".join(str(told[name]) for name in ("message", "detail") if told.get(name)))


@dataclass
class Inspection:
    """What was asked, seen and paid."""

    lat: float
    lng: float
    question: str
    budget: int
    pictures: list[bytes] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    ended: str = ""
    receipt: dict[str, Any] = field(default_factory=dict)

    async def run(self, client: Client, model: Model, every: float) -> int:
        """Open a session that cannot cost more than the budget, look, and end it whatever happens."""
        place = {"lat": self.lat, "lng": self.lng}
        quote = await call(client, "get_pricing_quote", {**place, "durationSeconds": 60})
        rate = int(quote["ratePerSecondMicroUsdc"])
        if self.budget < rate:
            raise Refused({"code": "OVER_BUDGET", "message": f"a second costs {rate} µUSDC"})
        asked = {**place, "maxDurationSeconds": self.budget // rate, "quoteId": quote["quoteId"]}
        try:
            view = await call(client, "request_live_view", asked)
        except Refused as refusal:
            if "sessionId" in refusal.told:  # nobody came
                await given_up(client, {"sessionId": refusal.told["sessionId"]})
            raise
        session = {"sessionId": view["sessionId"]}
        if view["state"] != "LIVE":
            await given_up(client, session)
            raise Refused({"code": view["waitOutcome"], "message": view["waitMessage"]})
        code = ANSWERED
        try:
            self.ended = await self._look(client, model, session, every, rate)
        except asyncio.CancelledError:
            cast("asyncio.Task[int]", asyncio.current_task()).uncancel()  # there is an end to be awaited
            self.ended, code = "you stopped it", INTERRUPTED
        finally:
            await ended(client, session)
        self.receipt = await call(client, "get_receipt", session)
        return code

    async def _look(
        self, client: Client, model: Model, session: dict[str, str], every: float, rate: int
    ) -> str:
        while True:
            try:
                self.pictures.append(await picture(client, session))
            except Refused as refusal:
                if refusal.code != "FRAME_NOT_AVAILABLE":
                    raise
            else:
                verdict = await model.decide(self.question, self.pictures)
                self.said.append(f"{datetime.now(UTC):%H:%M:%S} {verdict.words}")
                click.echo(self.said[-1])
                if verdict.done:
                    return "the model has seen enough"
            now = await call(client, "get_session", session)
            if now["state"] != "LIVE":
                return f"the session is {now['state']}"
            if int(now["chargedMicroUsdc"]) + every * rate > self.budget:
                return "the budget is used"
            await asyncio.sleep(every)

    def write(self, folder: Path) -> Path:
        """``report.md`` and its pictures."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"# {self.lat}, {self.lng}", "", self.question, "", f"Ended because {self.ended}.", ""]
        for number, (jpeg, words) in enumerate(zip(self.pictures, self.said, strict=False), 1):
            (folder / f"{number}.jpg").write_bytes(jpeg)
            lines.append(f"{number}. {words}  \n   ![{number}]({number}.jpg)")
        bill = self.receipt
        lines += ["", f"{bill['cleanSeconds']} s for {bill['chargedMicroUsdc']} µUSDC, {bill['state']}."]
        (folder / "report.md").write_text("\n".join(lines) + "\n")
        return folder / "report.md"


async def call(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A tool's answer; raises :class:`Refused`."""
    result = await client.call_tool(tool, arguments)
    text = next((one.text for one in result.content if isinstance(one, TextContent)), "{}")
    if result.is_error:
        raise Refused(json.loads(text) if text.startswith("{") else {"message": text})
    return cast("dict[str, Any]", result.structured_content or {})


async def given_up(client: Client, session: dict[str, str]) -> None:
    """Cancel it, or end it where it has just gone LIVE after all: the meter runs then."""
    try:
        await call(client, "cancel_session", session)
    except Refused as refusal:
        if refusal.code != "INVALID_STATE":
            raise
        await ended(client, session)


async def ended(client: Client, session: dict[str, str]) -> None:
    """End it, unless it has just reached its longest duration and is over."""
    try:
        await call(client, "end_session", session)
    except Refused as refusal:
        if refusal.code != "INVALID_STATE":
            raise


async def picture(client: Client, session: dict[str, str]) -> bytes:
    result = await client.call_tool("get_frame", session)
    block = result.content[0]
    if isinstance(block, ImageContent):
        return base64.b64decode(block.data)
    raise Refused(json.loads(block.text) if isinstance(block, TextContent) else {})


async def inspected(inspection: Inspection, model: Model, every: float, url: str, key: str) -> int:
    task = cast("asyncio.Task[int]", asyncio.current_task())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=90) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        try:
            return await inspection.run(client, model, every)
        except Refused as refusal:
            click.echo(f"{refusal.code}: {refusal}", err=True)
            return REFUSED


@click.command()
@click.argument("lat", type=float)
@click.argument("lng", type=float)
@click.option("--question", default="What is to be seen?", show_default=True)
@click.option("--budget", default=100_000, show_default=True, help="µUSDC that it may cost at most.")
@click.option("--every", default=2.0, show_default=True, help="Seconds between two looks.")
@click.option("--model", default="inspect_place:Steady", show_default=True, help="MODULE:CLASS that decides.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("report"), show_default=True)
def main(lat: float, lng: float, question: str, budget: int, every: float, model: str, out: Path) -> None:
    """Look at a place until the model has seen enough or the budget is used.

    LUXXON_API_KEY has the key, LUXXON_MCP_URL the server's /mcp.
    """
    module, _, name = model.partition(":")
    made = cast("Callable[[], Model]", getattr(import_module(module), name))()
    inspection = Inspection(lat, lng, question, budget)
    url = os.environ.get("LUXXON_MCP_URL", "http://127.0.0.1:3010/mcp")
    try:
        code = asyncio.run(inspected(inspection, made, every, url, os.environ["LUXXON_API_KEY"]))
    except asyncio.CancelledError:  # before there was a picture: nothing is left running
        sys.exit(INTERRUPTED)
    if inspection.receipt:
        click.echo(inspection.write(out))
    sys.exit(code)


if __name__ == "__main__":
    main()
