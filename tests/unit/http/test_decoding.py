"""How a body that does not fit is told to its sender."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.http.decoding import field_of
from luxxon_core.http.envelope import failure, success
from luxxon_core.kernel.errors import InvalidState, SessionNotFound
from luxxon_core.kernel.wire import Latitude, convert

NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)


class Inner(msgspec.Struct, rename="camel"):
    deep_value: int


class Body(msgspec.Struct, rename="camel"):
    one_number: int
    many_texts: list[str]
    inner: Inner | None = None


GOOD = {"oneNumber": 1, "manyTexts": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"manyTexts": []}, "oneNumber"),
        ({**GOOD, "oneNumber": "x"}, "oneNumber"),
        ({**GOOD, "oneNumber": None}, "oneNumber"),
        ({**GOOD, "manyTexts": ["a", 5]}, "manyTexts"),
        ({**GOOD, "inner": {"deepValue": "x"}}, "inner.deepValue"),
    ],
)
def test_the_field_is_named_as_it_was_sent(body: dict[str, object], field: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        convert(body, Body)
    assert field_of(str(caught.value)) == field


class Query(msgspec.Struct, rename="camel"):
    lat: Latitude
    limit: int | None = None


@given(st.text(max_size=30))
def test_a_query_is_a_finite_number_in_range_or_refused(text: str) -> None:
    try:
        value = convert({"lat": text}, Query, strict=False).lat
    except msgspec.ValidationError as refused:
        assert field_of(str(refused)) == "lat"
    else:
        assert -90 <= value <= 90


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999", "", "1,5", "0x10", "90.1"])
def test_what_is_no_latitude_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        convert({"lat": text}, Query, strict=False)
    with pytest.raises(msgspec.ValidationError):
        convert({}, Query, strict=False)


def test_data_is_never_null() -> None:
    with pytest.raises(TypeError, match="null"):
        success(None, NOON)
    for empty in ([], {}, "", 0, False):
        body = msgspec.json.decode(success(empty, NOON).body)  # type: ignore[arg-type]
        assert body["data"] == empty


def test_a_detail_is_there_or_the_key_is_not() -> None:
    with_it = msgspec.json.decode(failure(InvalidState("a:b:C"), NOON).body)  # type: ignore[arg-type]
    without = msgspec.json.decode(failure(SessionNotFound(), NOON).body)  # type: ignore[arg-type]
    assert with_it == {
        "statusCode": 409,
        "code": "INVALID_STATE",
        "message": "Not allowed in the current state",
        "detail": "a:b:C",
        "timestamp": "2026-05-13T12:00:00.000Z",
    }
    assert set(without) == {"statusCode", "code", "message", "timestamp"}
