"""The running server against its own document, with credentials of each kind: every check of schemathesis."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest
from api_wire import Place, Tenant, Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

HERE = Path(__file__).parent
EXAMPLES = os.environ.get("LUXXON_EXAMPLES", "10")
"""Made up for each endpoint in each phase; more of them find rarer things."""


async def known(wire: Wire, tenant: Tenant, place: Place) -> dict[str, list[str]]:
    """Ids of things of the tenant, consumer and supplier in one: sessions in every state, a key, itself."""
    circle = {"coverageLat": place.lat, "coverageLng": place.lng, "coverageRadiusMeters": 500}
    await wire.data("PATCH", f"/workspaces/{tenant.workspace_id}", auth=tenant, json=circle)
    sessions = [str((await wire.create(tenant, place, waitTimeoutSeconds=3600))["id"]) for _ in range(6)]
    _, *accepted, cancelled = (f"/sessions/{one}" for one in sessions)
    for path in accepted:
        await wire.data("POST", path + "/accept", auth=tenant)
    _, *started = accepted
    for path in started:
        answer = await wire.data("POST", path + "/start", auth=tenant)
        if path != started[0]:
            await wire.first_frame(answer)
    await wire.data("POST", started[-1] + "/end", auth=tenant)
    await wire.data("DELETE", cancelled, auth=tenant)
    key = await wire.mint(tenant.cookie, tenant.workspace_id)
    return {
        "workspaceId": [tenant.workspace_id],
        "operatorWorkspaceId": [tenant.workspace_id],
        "sessionId": sessions,
        "keyId": [key["id"]],
        "token": ["path-secret-of-the-tests"],
        "cf-webhook-auth": ["header-secret-of-the-tests"],
    }


CREDENTIALS = {
    "key": '[auth.openapi.access-token]\nbearer = "${LUXXON_CREDENTIAL}"\n'
    '[auth.openapi.link-token]\nbearer = "${LUXXON_LINK}"\n',
    "cookie": '[auth.openapi.lx_session]\napi_key = "${LUXXON_CREDENTIAL}"\n',
    "none": "",
}
"""How schemathesis is told of a credential of each kind."""


async def link(wire: Wire, tenant: Tenant, session_id: str) -> str:
    """The token of the operator's link to the session."""
    body = {"side": "operator"}
    made = await wire.data("POST", f"/sessions/{session_id}/link", auth=tenant, json=body)
    return str(made["url"]).rpartition("/")[2]


async def run(wire: Wire, config: Path, credential: str, token: str, ids: dict[str, list[str]]) -> str:
    """The output of schemathesis, which found nothing; the credentials stay off its command line."""
    paths = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {"LUXXON_IDS": json.dumps(ids), "LUXXON_CREDENTIAL": credential}
    environment |= {"LUXXON_LINK": token, "PYTHONPATH": paths}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", wire.server.api_url + "/openapi.json", "--max-examples", EXAMPLES),
        cwd=config.parent,  # where it leaves files of its own
        env={**os.environ, **environment, "NO_PROXY": "*", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.parametrize("kind", CREDENTIALS)
async def test_the_server_keeps_to_its_document(wire: Wire, place: Place, tmp_path: Path, kind: str) -> None:
    tenant = await wire.tenant("CONSUMER", "SUPPLIER", funded=True)
    config = tmp_path / "schemathesis.toml"
    config.write_text((HERE / "schemathesis.toml").read_text() + "\n" + CREDENTIALS[kind])
    credential = {"key": tenant.key, "cookie": tenant.cookie, "none": ""}[kind]
    ids = await known(wire, tenant, place)
    token = await link(wire, tenant, ids["sessionId"][1])
    output = await run(wire, config, credential, token, ids)
    paths = (await wire("GET", "/openapi.json")).json()["paths"]
    tested = re.search(r"Tested: (\d+)", output)
    assert tested is not None, output
    # all but the document that it has read already
    assert int(tested[1]) == sum(len(methods) for methods in paths.values()) - 1
