"""The documents about the API, as the running server serves them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from api_wire import Wire, refusal

from luxxon_core.http.openapi_30 import as_3_0

pytestmark = pytest.mark.asyncio(loop_scope="session")

COMMITTED = Path(__file__).parents[2] / "contracts" / "openapi.json"
PREFIXES = ("/api/v1", "", "/api/v1/api/v1")


def origin(wire: Wire) -> str:
    return wire.server.api_url.removesuffix("/api/v1")


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_document_is_bare_and_names_this_server(wire: Wire, prefix: str) -> None:
    response = await wire("GET", origin(wire) + prefix + "/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    served = response.json()
    assert served["servers"] == [{"url": wire.server.api_url}]
    committed = COMMITTED.read_text()
    assert response.text == committed.replace('"url": "/api/v1"', f'"url": "{wire.server.api_url}"')
    published = await wire("GET", origin(wire) + prefix + "/docs-json")
    assert published.headers["content-type"] == "application/json"
    assert published.json() == as_3_0(served)


@pytest.mark.parametrize(
    "path", ["/openapi.json", "/docs-json", "/docs", "/llms.txt", "/docs/swagger-ui.css"]
)
async def test_who_has_it_already_is_told_so(wire: Wire, path: str) -> None:
    first = await wire("GET", path)
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await wire("GET", path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert (await wire("GET", path, headers={"If-None-Match": '"other"'})).content == first.content


async def test_a_bad_credential_is_no_matter(wire: Wire) -> None:
    for path in ("/docs-json", "/docs", "/llms.txt", "/docs/start.js"):
        assert (await wire("GET", path, auth={"Authorization": "Bearer no"})).status_code == 200


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_page_loads_from_this_server_alone(wire: Wire, prefix: str) -> None:
    page = await wire("GET", origin(wire) + prefix + "/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    references = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    files = [one for one in references if one != "data:,"]
    assert {"docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "docs/start.js", "openapi.json"} <= set(files)
    assert not re.search(r"<script>|style=|https?://", page.text)
    for file in files:
        loaded = await wire("GET", f"{origin(wire)}{prefix}/{file}")
        assert loaded.status_code == 200
        assert len(loaded.content) > 200


async def test_a_client_that_cannot_inflate_gets_the_same_files(wire: Wire) -> None:
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        packed = await wire("GET", f"/docs/{name}", headers={"Accept-Encoding": "gzip"})
        plain = await wire("GET", f"/docs/{name}", headers={"Accept-Encoding": "identity"})
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert packed.content == plain.content
        assert packed.headers["etag"] != plain.headers["etag"]


@pytest.mark.parametrize(
    "name", ["nothing.js", "LICENSE", "index.html", "..%2Fdocuments.py", "swagger-ui.css.gz"]
)
async def test_no_other_file_is_served(wire: Wire, name: str) -> None:
    assert refusal(await wire("GET", f"/docs/{name}"))[:2] == (404, "NOT_FOUND")


async def test_agents_read_every_endpoint_and_code(wire: Wire) -> None:
    response = await wire("GET", "/llms.txt")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    text, served = response.text, (await wire("GET", "/openapi.json")).json()
    assert text.startswith("# Luxxon API ")
    for path, methods in served["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in text
    codes = {one["value"]["code"] for one in served["components"]["examples"].values()}
    assert [code for code in codes if f"`{code}`" not in text] == []
    assert f"{wire.server.api_url}/openapi.json" in text
    assert "{{" not in text


async def test_the_run_that_agents_read_is_of_endpoints_that_exist(wire: Wire) -> None:
    text = (await wire("GET", "/llms.txt")).text
    paths = (await wire("GET", "/openapi.json")).json()["paths"]
    block = text.split("```sh")[1].split("```")[0]
    called = {re.sub(r"\?.*", "", one) for one in re.findall(r"\$API(/[^\s\"]+)", block)}
    assert len(called) > 8
    known = {re.sub(r"\{\w+\}", "$ID", path) for path in paths}
    assert called - known == set()
