"""The fields of a camera's ``Config`` as lines of a form, and what is typed as its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from luxxon_drone.config import DroneConfig
from luxxon_rtsp_ptz.config import RtspConfig, Transport
from luxxon_testcard.file import FileConfig
from luxxon_testcard.testcard import TestcardConfig as CardConfig
from luxxon_webcam.webcam import WebcamConfig
from pydantic import BaseModel, Field, HttpUrl, SecretStr, model_validator

from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.source import SourceConfigError
from luxxon_core.testing.fake import FakeSourceType
from luxxon_tui.operate.fields import NO, YES, Sort, WrongFields, form_of, validated, values_of

SECRET = "open-sesame"

CONFIGS = [
    (RtspConfig, {"onvif": "192.0.2.7"}),
    (
        RtspConfig,
        {"url": "rtsp://u:p@192.0.2.7/1", "transport": Transport.UDP, "tls_verify": False, "audio": True},
    ),
    (DroneConfig, {"signing_key": "s", "announce_as": "gcs", "heartbeat_hz": 2.5}),
    (WebcamConfig, {"device": "/dev/video0", "encoding": "raw"}),
    (FileConfig, {"path": "clip.mp4", "loop": False}),
    (CardConfig, {"width": 640}),
]


@pytest.mark.parametrize(("kind", "values"), CONFIGS)
def test_a_form_that_nobody_touches_is_the_configuration(
    kind: type[BaseModel], values: Mapping[str, Any]
) -> None:
    config = kind.model_validate(values)
    form = form_of(kind, config)
    same = values_of(form, {line.name: line.text for line in form})
    assert kind.model_validate(same) == config
    assert all(line.title for line in form) and "'s'" not in repr(form) and "'p'" not in repr(form)


def type_of(kind: type[BaseModel]) -> Any:
    made = FakeSourceType(key="odd")
    made.Config = kind  # type: ignore[assignment]
    return made


class Odd(BaseModel):
    url: HttpUrl
    many: list[int] = [1]
    maybe: bool | None = None
    level: float = Field(default=0.5, gt=0)
    token: SecretStr | None = None
    steps: int = Field(default_factory=lambda: 3)


def test_every_kind_of_field_has_a_line() -> None:
    form = form_of(Odd)
    sorts = {line.name: line.sort for line in form}
    assert sorts == {
        "url": Sort.TEXT, "many": Sort.JSON, "maybe": Sort.CHOICE, "level": Sort.TEXT,
        "token": Sort.SECRET, "steps": Sort.TEXT,
    }  # fmt: skip
    assert [line.fallback for line in form] == ["needed", "[1]", "", "0.5", "", "3"]
    typed = {
        "url": "http://c.test",
        "many": "[2, 3]",
        "maybe": YES,
        "level": " 2 ",
        "token": " t ",
        "steps": "",
    }
    config = validated(type_of(Odd), values_of(form, typed))
    assert isinstance(config, Odd) and isinstance(config.token, SecretStr)
    assert (str(config.url), config.many, config.maybe, config.level) == ("http://c.test/", [2, 3], True, 2.0)
    assert (config.token.get_secret_value(), config.steps) == (" t ", 3)
    assert values_of(form, {"maybe": NO}) == {"maybe": False}


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({"url": "nowhere"}, {"url": "no address: scheme://host/path"}),
        ({"url": "ftp://c.test"}, {"url": "an address that begins with 'http' or 'https'"}),
        ({"url": "http://c.test", "level": "0"}, {"level": "more than 0.0"}),
        (
            {"url": "http://c.test", "level": "much", "steps": "1.5"},
            {"level": "a number", "steps": "a whole number"},
        ),
        ({"url": "http://c.test", "many": "some"}, {"many": "a list, as [1, 2]"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words(typed: Mapping[str, str], wrong: Mapping[str, str]) -> None:
    with pytest.raises(WrongFields) as error:
        validated(type_of(Odd), values_of(form_of(Odd), typed))
    assert error.value.wrong == wrong
    assert error.value.message == "{}: {}".format(*next(iter(wrong.items())))


@pytest.mark.parametrize("fault", [RuntimeError(SECRET), SystemExit(SECRET)])
def test_a_configuration_whose_own_code_fails_is_told_by_its_type(fault: BaseException) -> None:
    class Failing(BaseModel):
        @model_validator(mode="before")
        @classmethod
        def _fails(cls, _values: object) -> object:
            raise fault

    with pytest.raises(SourceConfigError) as error:
        validated(type_of(Failing), {})
    assert type(fault).__name__ in error.value.message and SECRET not in error.value.message


def test_an_error_shows_no_password_of_an_address() -> None:
    with pytest.raises(LuxxonError) as error:
        validated(type_of(RtspConfig), {"url": "rtsp://u:hunter2@/"})
    assert "hunter2" not in str(error.value)
