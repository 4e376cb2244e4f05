"""What a server's settings refuse, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from luxxon_core.kernel.errors import StartError
from luxxon_core.settings import load


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ORIGINS", "https://one.example", "setting origins: must be JSON"),
        ("TRUSTED_PROXIES", "10.0.0.0/8", "setting trusted_proxies: must be JSON"),
        ("PUBLIC_URL", "https://name:secret-word@one.example", "setting public_url: "),
        ("COOKIE_SECRET", "secret-word", "setting cookie_secret: "),
        ("RPC_URL", "https://one.example/secret-word,ftp://two.example", "setting rpc_url: "),
        ("RPC_URL", "https:///secret-word", "setting rpc_url: "),
        ("RPC_WS_URL", "https://one.example/secret-word", "setting rpc_ws_url: "),
        ("PUBLIC_ADDRESSES", "203.0.113.1, media.example", "setting public_addresses"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"LUXXON_{name}", value)
    with pytest.raises(StartError) as refused:
        load()
    assert refused.value.message.startswith(told)
    assert "secret-word" not in refused.value.message


def test_several_nodes_of_a_chain_are_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    nodes = ("https://one.example/secret-word", "wss://two.example/")
    assert load().rpc_urls == ()
    (tmp_path / "luxxon.toml").write_text(f"rpc_url = {list(nodes)}")
    assert load().rpc_urls == nodes
    monkeypatch.setenv("LUXXON_RPC_URL", ", ".join(nodes))
    settings = load()
    assert settings.rpc_urls == nodes
    assert "secret-word" not in repr(settings)


def test_a_file_that_is_no_toml_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "luxxon.toml").write_text("port =")
    with pytest.raises(StartError, match=r"^luxxon\.toml cannot be read: "):
        load()


def test_public_addresses_of_both_families_stand_with_commas_between(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUXXON_PUBLIC_ADDRESSES", "203.0.113.1, 2001:db8::1")
    assert [str(address) for address in load().public_addresses] == ["203.0.113.1", "2001:db8::1"]
