"""One session from its request to its bill."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from luxxon_core.client import Luxxon
from luxxon_core.client.sessions import Picture
from luxxon_core.commands.calling import say
from luxxon_core.kernel.errors import FrameNotAvailable, InvalidState, Unavailable
from luxxon_core.kernel.money import format_usdc
from luxxon_core.kernel.wire import encode
from luxxon_core.sessions.schemas import Session

PICTURE_SECONDS = 15.0
"""How long a LIVE session may take to its first picture before the command gives up."""
LOOK_AGAIN = 0.5


class Visit:
    """A session that is let go however its use ends."""

    def __init__(self, api: Luxxon, session: Session, as_json: bool) -> None:
        self._api, self._session, self._json = api, session, as_json
        self._over = False
        self._told: dict[str, Any] = {}

    async def run(self, wait: int, save_frame: Path | None, width: int | None) -> int:
        sessions, id_ = self._api.sessions, self._session.id
        try:
            await sessions.dispatch(id_)
        except Unavailable as error:
            return self._in_vain(error.message, error.code)
        session = await sessions.wait_for(id_, "LIVE", timeout=wait)
        if session.state != "LIVE":
            return self._in_vain(f"not LIVE within {wait} s", "TIMEOUT")
        if save_frame is not None:
            picture = await self._picture(width)
            if picture is None:
                return self._in_vain("no picture came", "FRAME_NOT_AVAILABLE")
            await asyncio.to_thread(save_frame.write_bytes, picture)
            self._told |= {"frame": str(save_frame), "capturedAt": picture.captured_at}
            self._say(f"saved {save_frame}")
        else:
            self._told["whepUrl"] = (await sessions.viewer_token(id_)).whep_url
            say(self._told["whepUrl"], err=self._json)
            await sessions.wait_for(id_, "ENDED", timeout=session.max_duration_seconds + 5)
        return 0

    async def _picture(self, width: int | None) -> Picture | None:
        try:
            async with asyncio.timeout(PICTURE_SECONDS):
                while True:
                    try:
                        return await self._api.sessions.frame(self._session.id, max_width=width)
                    except FrameNotAvailable:
                        await asyncio.sleep(LOOK_AGAIN)
        except TimeoutError:
            return None

    async def leave(self) -> None:
        """End or cancel what is not over, and tell the bill."""
        sessions, id_ = self._api.sessions, self._session.id
        session = await sessions.get(id_)
        for let_go in (sessions.end, sessions.cancel):
            if session.state in ("ENDED", "EXPIRED", "CANCELLED"):
                break
            try:
                session = await let_go(id_)
            except InvalidState:  # what is LIVE ends, what is not is cancelled; either may just be over
                session = await sessions.get(id_)
        charged = format_usdc(int(session.charged_micro_usdc))
        self._say(f"{session.state}: {session.clean_seconds} s, {charged} USDC")
        if self._json:
            bill = {"cleanSeconds": session.clean_seconds, "chargedMicroUsdc": session.charged_micro_usdc}
            click.echo(encode({"sessionId": id_, "state": session.state, **bill, **self._told}))

    def _in_vain(self, why: str, code: str) -> int:
        self._told |= {"code": code, "message": why}
        say(f"luxxon: {why}", err=True)
        return 1

    def _say(self, line: str) -> None:
        if not self._json:
            say(line, err=True)
