"""The tables of ``luxxon.toml`` that hold more than one value, as they stand there.

Secrets of plugins and cameras are still references here (:mod:`luxxon_core.plugins.secrets`); their values
never show in ``repr``, because somebody will write a secret itself.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class CorridorSetting(BaseModel):
    """A zone with a price of its own."""

    model_config = ConfigDict(frozen=True)

    name: str
    lat: float = Field(ge=-90, le=90)
    lng: float = Field(ge=-180, le=180)
    radius_m: float = Field(gt=0)
    multiplier_bps: int = Field(ge=1)


class IceServerSetting(BaseModel):
    """A STUN or TURN server that media clients are told of."""

    model_config = ConfigDict(frozen=True)

    url: str
    username: str | None = None
    credential: SecretStr | None = None


class PluginTable(BaseModel):
    """``[plugins.NAME]``: whether a plugin is loaded, and what it is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    enabled: bool = True
    config: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Everything else in the table."""

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, table: object) -> object:
        return _gather(table, ("enabled",), "config")


class CameraTable(BaseModel):
    """``[cameras.NAME]``: a camera by its type and the fields of the type's configuration.

    ``[cameras.NAME.operate]`` is for the agent that offers it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: str = Field(pattern="^[a-z][a-z0-9-]*(:.*)?$")
    """``key`` or ``key:value``, as on the command line."""
    fields: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Everything else in the table."""
    operate: dict[str, Any] = Field(default_factory=dict, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, table: object) -> object:
        return _gather(table, ("type", "operate"), "fields")


def _gather(table: object, own: tuple[str, ...], rest: str) -> object:
    if not isinstance(table, dict):
        return table
    gathered = {name: value for name, value in table.items() if name in own}
    return gathered | {rest: {name: value for name, value in table.items() if name not in own}}
