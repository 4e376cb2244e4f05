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


def test_a_file_that_is_no_toml_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "luxxon.toml").write_text("port =")
    with pytest.raises(StartError, match=r"^luxxon\.toml cannot be read: "):
        load()
