"""``[cameras.NAME.operate]`` of ``luxxon.toml``: how a camera is offered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from luxxon_core.kernel.errors import StartError
from luxxon_core.operator.masks import Cover, Elsewhere, Privacy, View
from luxxon_core.operator.presence import Location
from luxxon_core.operator.rules import EVERY_DAY, Hours, Rules
from luxxon_core.source import PtzControl, PtzVector, Source, SourceConfigError

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
Share = Annotated[float, Field(ge=0, le=1)]
Corners = Annotated[tuple[tuple[Share, Share], ...], Field(min_length=3, max_length=64)]
Polygons = Annotated[tuple[Corners, ...], Field(max_length=32)]


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _zone(name: object) -> object:
    try:
        return ZoneInfo(name) if isinstance(name, str) else name
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be the name of a time zone, such as Europe/Brussels") from None


class AcceptTable(Table):
    """Which assignments are taken; what is left out sets no limit."""

    max_distance_meters: float | None = Field(default=None, gt=0)
    min_rate_uusdc: int | None = Field(default=None, ge=0)
    """For a second."""
    max_seconds: int | None = Field(default=None, gt=0)
    hours: str | None = None
    """``08:00-20:00``, over midnight where the second is the earlier; outside of them it is OFFLINE."""
    days: tuple[Day, ...] = DAYS
    zone: Annotated[ZoneInfo, BeforeValidator(_zone)] = ZoneInfo("UTC")

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @field_validator("hours")
    @classmethod
    def _clocks(cls, value: str | None) -> str | None:
        if value is not None:
            _span(value)
        return value

    def rules(self) -> Rules:
        limited = self.hours is not None or set(self.days) != set(DAYS)
        begin, end = _span(self.hours or "00:00-00:00")
        days = frozenset(DAYS.index(day) for day in self.days) if self.days else EVERY_DAY
        return Rules(
            max_distance_meters=self.max_distance_meters,
            min_rate_micro_usdc=self.min_rate_uusdc,
            max_seconds=self.max_seconds,
            hours=Hours(begin, end, self.zone, days) if limited else None,
        )


def _span(text: str) -> tuple[time, time]:
    found = re.fullmatch(r"(\d\d:\d\d)-(\d\d:\d\d)", text.replace("24:00", "00:00"))
    try:
        if found is None:
            raise ValueError
        first, second = (time.fromisoformat(one) for one in found.groups())
        return first, second
    except ValueError:
        raise ValueError("must be two times, such as 08:00-20:00") from None


class PositionTable(Table):
    pan: float = Field(ge=-1, le=1)
    tilt: float = Field(ge=-1, le=1)
    zoom: float = Field(default=0, ge=0, le=1)


class ViewTable(Table):
    """What is covered while the camera looks there."""

    position: PositionTable
    masks: Polygons = ()


class PrivacyTable(Table):
    masks: Polygons = ()
    """In every picture. Corners are (x, y), 0…1 from the upper left."""
    views: dict[str, ViewTable] = Field(default_factory=dict, max_length=64)
    cover: Cover = Cover.FILLED
    elsewhere: Elsewhere = Elsewhere.EVERYTHING
    tolerance: float = Field(default=0.005, gt=0, le=0.5)

    def privacy(self, source: Source) -> Privacy:
        """Raises SourceConfigError where there are views of a camera that does not tell where it looks."""
        if self.views and not isinstance(source, PtzControl):
            raise SourceConfigError("privacy:views", "the camera has views to mask, but no pan-tilt-zoom")
        return Privacy(
            masks=self.masks,
            views={
                name: View(PtzVector(view.position.pan, view.position.tilt, view.position.zoom), view.masks)
                for name, view in self.views.items()
            },
            control=source if isinstance(source, PtzControl) else None,
            cover=self.cover,
            elsewhere=self.elsewhere,
            tolerance=self.tolerance,
        )


class OperateTable(Table):
    """One camera of an operator."""

    lat: float | None = Field(default=None, ge=-90, le=90)
    lng: float | None = Field(default=None, ge=-180, le=180)
    accuracy_meters: float = Field(default=10, ge=0, le=100_000)
    follow: bool = False
    """Take the location from the camera."""
    radius_meters: float = Field(default=500, ge=1, le=50_000)
    device_kind: Literal["PHONE", "LAPTOP", "DRONE", "PTZ", "FIXED", "OTHER"] | None = None
    api_key: SecretStr | None = None
    """Else the one that --setup has kept, or, of a single camera, LUXXON_API_KEY."""
    slug: str | None = Field(default=None, pattern="^[a-z0-9][a-z0-9-]{1,38}[a-z0-9]$")
    """Of its workspace; made of the camera's name when not given."""
    microphone: bool = False
    controls: tuple[Literal["ptz", "zoom", "gimbal"], ...] = ()
    """What both sides of a session may do with the camera."""
    accept: AcceptTable = AcceptTable()
    privacy: PrivacyTable | None = None

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if (self.lat is None) != (self.lng is None):
            raise ValueError("lat and lng belong together")
        if self.follow == (self.lat is not None):
            raise ValueError("either lat and lng, or follow = true")
        return self

    @property
    def location(self) -> Location | None:
        if self.lat is None or self.lng is None:
            return None
        return Location(self.lat, self.lng, self.accuracy_meters)


def operate_table(camera: str, values: Mapping[str, Any]) -> OperateTable:
    """The table of a camera, the references to its secrets resolved.

    Raises:
        StartError: names the first field that does not fit, never its value.
        SourceConfigError: a secret is not there.
    """
    from luxxon_core.plugins.secrets import resolved

    try:
        return OperateTable.model_validate(resolved(values))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(["cameras", camera, "operate", *(str(part) for part in first["loc"])])
        raise StartError(message=f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
