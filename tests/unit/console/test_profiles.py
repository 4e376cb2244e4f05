"""The console's file: read strictly, changed in place, and never from the current folder."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from luxxon_core.kernel.errors import StartError
from luxxon_core.profiles import ProfileTable, keep, keep_profile, load_console


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config" / "luxxon.toml"
    monkeypatch.setenv("LUXXON_CONSOLE_FILE", str(path))
    monkeypatch.chdir(tmp_path)
    return path


def test_nothing_written_is_the_defaults() -> None:
    settings = load_console()
    assert (settings.profile, settings.profiles, settings.theme) == (None, {}, "luxxon-dark")


def test_a_profile_is_kept_for_its_owner_alone(file: Path) -> None:
    keep_profile("acme", ProfileTable(url="https://api.acme.test", api_key='lxxn_"test\\'))
    settings = load_console()
    assert settings.profile == "acme"
    profile = settings.profiles["acme"]
    assert profile.api_key == 'lxxn_"test\\'
    assert profile.api_url == "https://api.acme.test/api/v1"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and "lxxn" not in repr(settings)


def test_an_edit_leaves_the_rest_as_it_was(file: Path) -> None:
    file.parent.mkdir()
    begin = '# mine\ntheme = "luxxon-light"  # by day\n\n'
    file.write_text(begin + '[profiles.home]\nembedded = true\n\n[keymap]\n"live.end" = "E"\n')
    keep(theme="luxxon-dark")
    keep_profile("acme", ProfileTable(url="https://a.test"), chosen=False)
    keep_profile("home", ProfileTable(embedded=True, data_dir=Path("/somewhere")))
    text = file.read_text()
    assert "# mine" in text and text.count("[profiles.home]") == 1
    settings = load_console()
    assert settings.theme == "luxxon-dark" and settings.keymap == {"live.end": "E"}
    assert set(settings.profiles) == {"home", "acme"} and settings.profile == "home"
    assert settings.profiles["home"].data_dir == Path("/somewhere")


def test_a_file_written_in_another_way_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    text = 'profiles.home = { embedded = true }\nprofiles.away = { url = "https://a.test" }\n'
    file.write_text(text)
    with pytest.raises(StartError, match=r"by hand|cannot be edited"):
        keep_profile("home", ProfileTable(url="https://b.test"))
    assert file.read_text() == text


def test_the_current_folder_turns_nobody_elsewhere(tmp_path: Path) -> None:
    keep_profile("acme", ProfileTable(url="https://acme.test", api_key="k"))
    (tmp_path / "luxxon.toml").write_text('[profiles.acme]\nurl = "https://evil.test"\n')
    assert load_console().profiles["acme"].url == "https://acme.test"


@pytest.mark.parametrize(
    "table",
    ["", "embedded = true\nurl = 'https://a.test'", "url = 'ftp://a'", "url = 'https://a'\nextra = 1"],
)
def test_a_profile_that_makes_no_sense_is_named(file: Path, table: str) -> None:
    file.parent.mkdir()
    file.write_text(f"[profiles.odd]\n{table}\n")
    with pytest.raises(StartError, match=r"profiles\.odd"):
        load_console()


def test_a_name_is_a_name() -> None:
    with pytest.raises(StartError):
        keep_profile("a]\nx", ProfileTable(embedded=True))
