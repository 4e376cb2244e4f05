"""What can be known of ``deploy/`` without Docker: it is well-formed, and its names are ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from doc_pages import ROOT

from luxxon_core.settings import Settings, load

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
EXAMPLE = dict(
    line.split("=", 1)
    for line in (DEPLOY / "luxxon.env.example").read_text().splitlines()
    if line and not line.startswith("#")
)
FILLED = {
    "LUXXON_SETTLEMENT_ADDRESS": "0x" + "1" * 40,
    **{name: "0123456789abcdef" * 4 for name, text in EXAMPLE.items() if text == "…"},
}


def told_to_luxxon() -> dict[str, str]:
    """The environment of the service, with the example filled in."""
    values = EXAMPLE | FILLED
    own = SERVICES["luxxon"]["environment"]
    return values | {
        name: re.sub(r"\$\{(\w+):\?\}", lambda at: values[at[1]], text) for name, text in own.items()
    }


def test_its_environment_is_a_servers_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    told = {name: text for name, text in told_to_luxxon().items() if name.startswith("LUXXON_")}
    assert {name.removeprefix("LUXXON_").lower() for name in told} <= set(Settings.model_fields)
    for name, text in told.items():
        monkeypatch.setenv(name, text)
    settings = load()
    assert settings.geography == "postgis"
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value().startswith("postgresql://luxxon:0123")


def test_every_variable_is_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert wanted <= set(EXAMPLE)


def test_services_name_each_other_and_what_is_there() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        assert ("image" in service) != ("build" in service)
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", service.get("image", "x:1")), "a version, never latest"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    for name in re.findall(r"@(\w+):5432", str(SERVICES)) + re.findall(r"http://(\w+):9997", str(SERVICES)):
        assert name in SERVICES
    build = SERVICES["luxxon"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve().exists()


def test_ports_agree() -> None:
    own = SERVICES["luxxon"]["environment"]
    exposed = re.search(r"EXPOSE (\d+)/tcp (\d+)/udp", (DEPLOY / "Dockerfile").read_text())
    assert exposed is not None
    assert exposed.groups() == ("3010", own["LUXXON_UDP_PORT"])
    assert SERVICES["luxxon"]["ports"] == ["127.0.0.1:3010:3010", "8200:8200/udp"]
    media = yaml.safe_load((DEPLOY / "mediamtx.yml").read_text())
    assert media["apiAddress"] == ":" + own["LUXXON_MEDIAMTX_API_URL"].rpartition(":")[2]
    assert [port.split(":")[-1].removesuffix("/udp") for port in SERVICES["mediamtx"]["ports"]] == [
        media["webrtcAddress"].lstrip(":"),
        media["webrtcLocalUDPAddress"].lstrip(":"),
    ]
    assert media["authInternalUsers"][1]["user"] == Settings.model_fields["mediamtx_user"].default
    rtsp = Settings.model_fields["mediamtx_rtsp_url"].default
    assert rtsp == f"rtsp://{media['rtspAddress']}"


def test_the_image_has_what_the_build_copies() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert [name for name in line.split() if not (ROOT / name).exists()] == []
    for name, value in re.findall(r"LUXXON_(\w+)=(\S+)", text):
        assert name.lower() in Settings.model_fields, value
    assert 'ENTRYPOINT ["luxxon"]' in text


def test_the_unit_of_the_operator_names_our_settings() -> None:
    text = (DEPLOY / "luxxon-operate.service").read_text()
    assert "ExecStart=/opt/luxxon/bin/luxxon operate" in text
