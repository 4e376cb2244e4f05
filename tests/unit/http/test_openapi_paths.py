"""Paths that the document tells apart are told apart by the router too."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from luxxon_core.http.routing import unambiguous

PATHS = (
    "/things",
    "/things/open",
    "/things/{thing_id}",
    "/things/{thing_id}/parts/{name}",
    "/things/{thing_id}/parts/all",
)


async def resolved(method: str, path: str) -> tuple[str | None, set[str]]:
    """The pattern that serves the request, or none and the methods that would be served."""

    async def serve(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    for one in PATHS:
        app.router.add_resource(unambiguous(one, PATHS)).add_route(
            "DELETE" if one.endswith("}") else "GET", serve
        )
    found = await app.router.resolve(make_mocked_request(method, path))
    if found.http_exception is None:
        resource = found.route.resource
        assert resource is not None
        return resource.canonical, set()
    refused = found.http_exception
    return None, refused.allowed_methods if isinstance(refused, web.HTTPMethodNotAllowed) else set()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/things/open", ("/things/open", set())),
        ("DELETE", "/things/open", (None, {"GET"})),
        ("DELETE", "/things/opened", ("/things/{thing_id}", set())),
        ("DELETE", "/things/7", ("/things/{thing_id}", set())),
        ("GET", "/things/7", (None, {"DELETE"})),
        ("DELETE", "/things/7/parts/8", ("/things/{thing_id}/parts/{name}", set())),
        ("GET", "/things/7/parts/all", ("/things/{thing_id}/parts/all", set())),
        ("DELETE", "/things/7/parts/all", (None, {"GET"})),
        ("DELETE", "/things/7/parts/8/9", (None, set())),
        ("DELETE", "/things/", (None, set())),
    ],
)
async def test_a_word_in_the_place_of_an_id_is_not_an_id(
    method: str, path: str, expected: tuple[str | None, set[str]]
) -> None:
    assert await resolved(method, path) == expected


def test_a_path_beside_which_nothing_lies_stays_as_it_is() -> None:
    assert unambiguous("/others/{one}", PATHS) == "/others/{one}"
