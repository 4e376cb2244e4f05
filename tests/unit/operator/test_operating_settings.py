"""What is written about cameras: their tables, their keys, and their workspaces' names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from luxxon_core.kernel.errors import StartError
from luxxon_core.operator.config import operate_table
from luxxon_core.operator.enrolment import slug_of
from luxxon_core.operator.keys import FILE, Kept, KeyFile
from luxxon_core.source import SourceConfigError
from luxxon_core.testing.fake import FakeCamera, FakeSource

PLACE = {"lat": 50.8466, "lng": 4.3528}
URL = "http://127.0.0.1:3010/api/v1"
TRIANGLE = [[0, 0], [1, 0], [0.5, 1]]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "either lat and lng, or follow"),
        (PLACE | {"follow": True}, "either lat and lng, or follow"),
        ({"lat": 5}, "belong together"),
        ({"lat": 95, "lng": 0}, "operate.lat"),
        (PLACE | {"accept": {"hours": "8-20"}}, "accept.hours: must be two times"),
        (PLACE | {"accept": {"hours": "08:00-25:00"}}, "must be two times"),
        (PLACE | {"accept": {"zone": "Mars/Olympus"}}, "time zone"),
        (PLACE | {"privacy": {"masks": [[[0, 0], [1, 1]]]}}, "privacy.masks.0"),
        (PLACE | {"privacy": {"masks": [[[0, 0], [1, 1], [2, 0]]]}}, "privacy.masks.0"),
        (PLACE | {"radius": 5}, "operate.radius"),
        (PLACE | {"api_key": 5}, "api_key"),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, Any], says: str) -> None:
    with pytest.raises(StartError) as refused:
        operate_table("quay", values)
    assert refused.value.message.startswith("cameras.quay.operate")
    assert says in refused.value.message


def test_a_key_shows_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUAY_KEY", "lx_test_secret")
    table = operate_table("quay", PLACE | {"api_key": {"env": "QUAY_KEY"}})
    assert table.api_key is not None
    assert table.api_key.get_secret_value() == "lx_test_secret"
    assert "secret" not in repr(table).lower().replace("secretstr", "")
    monkeypatch.delenv("QUAY_KEY")
    with pytest.raises(SourceConfigError, match="QUAY_KEY"):
        operate_table("quay", PLACE | {"api_key": {"env": "QUAY_KEY"}})


def test_hours_until_midnight_and_days() -> None:
    accept = {"hours": "18:00-24:00", "zone": "Europe/Brussels", "days": ["sat", "sun"]}
    rules = operate_table("quay", PLACE | {"accept": accept}).accept.rules()
    assert rules.open_at(datetime(2026, 7, 18, 21, 59, tzinfo=UTC)), (
        "a Saturday, one minute to midnight there"
    )
    assert not rules.open_at(datetime(2026, 7, 18, 22, 1, tzinfo=UTC))
    assert not rules.open_at(datetime(2026, 7, 17, 20, 0, tzinfo=UTC))


async def test_views_are_for_cameras_that_tell_where_they_look() -> None:
    views = {"quay": {"position": {"pan": 0.1, "tilt": 0}, "masks": [TRIANGLE]}}
    table = operate_table("quay", PLACE | {"privacy": {"views": views, "cover": "blurred"}})
    assert table.privacy is not None
    assert table.privacy.privacy(FakeSource()).policy()["masks"] == {
        "cover": "blurred",
        "always": 0,
        "views": {"quay": 1},
        "elsewhere": "everything",
    }
    with pytest.raises(SourceConfigError):
        table.privacy.privacy(FakeCamera())


def test_keys_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "new" / "folder")
    assert keys.read(URL) == {}
    keys.write(URL, "quay", Kept("w1", "quay", "lx_test_one"))
    keys.write(URL, "tower", Kept("w2", "tower", "lx_test_two"))
    keys.write("https://elsewhere", "quay", Kept("w3", "quay", "lx_test_three"))
    assert {name: one.api_key for name, one in keys.read(URL).items()} == {
        "quay": "lx_test_one",
        "tower": "lx_test_two",
    }
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in keys.directory.iterdir()] == [FILE]
    assert "lx_test" not in repr(keys.read(URL))
    keys.path.chmod(0o644)
    with pytest.raises(StartError, match="others"):
        keys.read(URL)
    keys.path.chmod(0o600)
    keys.path.write_text("[]")
    with pytest.raises(StartError, match="no file of keys"):
        keys.read(URL)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Grand Place", "grand-place"),
        ("Café 3 – été", "cafe-3-ete"),
        ("x", "camera-x"),
        ("東京", "camera"),
        ("-a-" * 30, "a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a"),
    ],
)
def test_names_become_slugs(name: str, slug: str) -> None:
    assert slug_of(name) == slug
