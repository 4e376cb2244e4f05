"""The command that shows a link, and the page that a link opens."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from typing import Any

import pytest
from access_table import bearer
from api_wire import Place, Tenant, Wire
from linked import assigned, link

from luxxon_core.qr import half_blocks

pytestmark = pytest.mark.asyncio(loop_scope="session")

# -- the command ------------------------------------------------------------------------------------------


async def command(url: str, key: str | None, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of ``luxxon link``."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("LUXXON_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "luxxon_core", "link", *arguments, "--url", url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=known if key is None else {**known, "LUXXON_API_KEY": key},
    )  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, output.decode(), errors.decode()


async def test_the_command_shows_the_link_and_its_code(wire: Wire, consumer: Tenant, place: Place) -> None:
    supplier, session = await assigned(wire, consumer, place)
    code, output, errors = await command(wire.server.url, supplier.key, session)
    assert (code, errors) == (0, "")
    (url,) = re.findall(r"^publish: (\S+)$", output, re.MULTILINE)
    assert (await wire.data("GET", "/link", auth=bearer(url.rpartition("/")[2])))["sessionId"] == session
    lines = output.splitlines()
    drawn = half_blocks(url, inverted=True)
    assert lines[1 : 1 + len(drawn)] == drawn
    code, output, _ = await command(wire.server.url, consumer.key, session, "--side", "watch", "--json")
    made = json.loads(output)
    assert (code, made["side"], set(made)) == (0, "consumer", {"url", "side", "expiresAt"})


async def test_the_command_says_in_a_line_what_is_wrong(
    wire: Wire, consumer: Tenant, stranger: Tenant, place: Place
) -> None:
    _, session = await assigned(wire, consumer, place)
    for key, arguments, said in (
        (None, [session], "LUXXON_API_KEY is not set"),
        ("", [session], "LUXXON_API_KEY is not set"),
        ("lxxn_test_é", [session], "setting api_key"),
        (stranger.key, [session], "Not authorized"),
        (consumer.key, ["no-id"], "not a valid UUID"),
    ):
        code, output, errors = await command(wire.server.url, key, *arguments)
        assert (code, output, errors.count("\n")) == (2, "", 1)
        assert said in errors


async def test_the_command_says_so_when_no_server_answers(nowhere: str) -> None:
    code, output, errors = await command("http://127.0.0.1:9", "lxxn_test_any", nowhere, "--json")
    assert (code, output, errors.count("\n")) == (2, "", 1)
    assert "no answer from 127.0.0.1" in errors


# -- the page ---------------------------------------------------------------------------------------------


async def page(wire: Wire, token: str) -> Any:
    response = await wire("GET", f"{wire.server.url}/s/{token}")
    assert response.status_code == 200
    return response


async def test_the_page_is_the_same_for_every_link_and_lets_itself_do_little(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    _, session = await assigned(wire, consumer, place)
    token = (await link(wire, session, consumer))["Authorization"].removeprefix("Bearer ")
    good, bad = await page(wire, token), await page(wire, "no-token")
    assert good.content == bad.content
    assert token not in good.text
    assert good.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(one.partition(" ")[::2] for one in good.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert good.headers["cache-control"] == "no-store"
    assert good.headers["referrer-policy"] == "no-referrer"
    assert good.headers["x-content-type-options"] == "nosniff"
    assert "camera=(self), microphone=(self), geolocation=(self)" in good.headers["permissions-policy"]


async def test_the_page_may_reach_the_edge_of_its_session_alone(
    wire: Wire, consumer: Tenant, place: Place
) -> None:
    supplier, started = await wire.live(consumer, place)
    auth = await link(wire, started["session"]["id"], consumer)
    token = auth["Authorization"].removeprefix("Bearer ")
    uid = started["videoBackendRef"]
    elsewhere = "https://edge-2.example/whep/secret"
    await wire.rows("update live_input set whep_url = $2 where uid = $1", uid, elsewhere)
    policy = (await page(wire, token)).headers["content-security-policy"]
    assert f"connect-src 'self' {wire.server.url} https://edge-2.example;" in policy
    assert "secret" not in policy
    assert "connect-src 'self';" in (await page(wire, "x" + token[1:])).headers["content-security-policy"]
    await wire.data("POST", f"/sessions/{started['session']['id']}/end", auth=supplier)


async def test_the_page_loads_from_this_server_alone_with_nothing_inline(wire: Wire) -> None:
    document = (await page(wire, "any")).text
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|javascript:", document)
    wanted = re.findall(r'(?:src|href)="([^"]+)"', document)
    assert wanted
    script = (await wire("GET", f"{wire.server.url}/s/assets/page.js")).text
    wanted += [f"/s/assets/{one}" for one in re.findall(r'from "\./([^"]+)"', script)]
    for path in wanted:
        response = await wire("GET", wire.server.url + path)
        assert response.status_code == 200, path
        assert response.headers["x-content-type-options"] == "nosniff"
        again = await wire("GET", wire.server.url + path, headers={"If-None-Match": response.headers["etag"]})
        assert again.status_code == 304
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", response.text), path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", response.text)
    assert (await wire("GET", f"{wire.server.url}/s/assets/other.js")).status_code == 404
