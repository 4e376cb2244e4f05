"""What a server refuses of the settings for media processes, before any is started."""

from __future__ import annotations

import json
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from luxxon_core.bootstrap import shards
from luxxon_core.kernel.clock import utc_now
from luxxon_core.kernel.errors import StartError
from luxxon_core.settings import Settings, load

TWO = "https://one.example,https://two.example"


def settings(monkeypatch: pytest.MonkeyPatch, folder: Path, **given: object) -> Settings:
    monkeypatch.chdir(folder)
    for name, value in given.items():
        monkeypatch.setenv(f"LUXXON_{name.upper()}", str(value))
    return load(data_dir=folder)


async def refused(settings: Settings, public_url: str) -> str:
    async with AsyncExitStack() as stack:
        with pytest.raises(StartError) as caught:
            await shards.shards(stack, settings, public_url, "embedded-ab", utc_now, {})
    return caught.value.message


@pytest.mark.parametrize(
    ("given", "public_url", "told"),
    [
        ({"media_processes": 3, "media_public_urls": TWO}, "http://a", "one for each of media_processes"),
        ({"media_processes": 2}, "https://a.example", "needed beside media_processes and https"),
        ({"media_processes": 2, "media_http_port": 65534}, "http://a", "too high"),
        ({"media_processes": 2, "udp_port": 65534}, "http://a", "too high"),
    ],
)
async def test_what_does_not_fit_together_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, object], public_url: str, told: str
) -> None:
    assert told in await refused(settings(monkeypatch, tmp_path, **given), public_url)


def test_a_url_with_a_path_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"^setting media_public_urls: "):
        settings(monkeypatch, tmp_path, media_public_urls="https://one.example,https://two.example/media")


async def test_a_port_that_is_given_is_the_one_or_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shards, "BIND_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wanted = settings(monkeypatch, tmp_path, media_processes=1, media_http_port=port)
        told = await refused(wanted, "http://127.0.0.1")
    assert f"cannot listen on 127.0.0.1 port {port}" in told


async def test_free_ports_are_kept_unless_somebody_else_has_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shards, "BIND_SECONDS", 0.0)
    wanted = settings(monkeypatch, tmp_path, media_processes=2)
    kept = tmp_path / shards.KEPT

    async def ports() -> list[int]:
        async with AsyncExitStack() as stack:
            listeners = await shards.listeners(stack, wanted)
            return [listener.getsockname()[1] for listener in listeners]

    first = await ports()
    assert await ports() == first
    with socket.create_server(("127.0.0.1", first[0])):
        second = await ports()
    assert second[0] != first[0]
    assert second[1] == first[1]
    for damaged in ("no JSON", json.dumps({"not": "a list"}), json.dumps(["a", -1, 1e9])):
        kept.write_text(damaged)
        assert len(await ports()) == 2
