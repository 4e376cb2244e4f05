"""The only reader of the environment (``LUXXON_…``) and of ``luxxon.toml``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from luxxon_core.kernel.errors import StartError


class Settings(BaseSettings):
    """How a server runs. What is left out gets its embedded default."""

    model_config = SettingsConfigDict(
        env_prefix="LUXXON_", toml_file="luxxon.toml", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["TEST", "LIVE"] = "TEST"
    data_dir: Path = Field(default_factory=lambda: default_data_dir() / "server")
    durable: bool = True
    """False for throw-away data: the embedded database does not wait for the disk."""

    host: str = "127.0.0.1"
    port: int = Field(default=3010, ge=0, le=65535)
    public_url: str | None = None
    """Where clients reach the server; the address it listens on when not given."""
    origins: frozenset[str] = frozenset({"https://console.luxxon.dev"})
    cookie_secret: SecretStr | None = Field(default=None, min_length=32)
    """Signs the session cookies; kept in the data directory when not given."""

    database_url: SecretStr | None = None
    """None: the embedded PostgreSQL in the data directory."""

    udp_host: str = "127.0.0.1"
    udp_port: int = Field(default=0, ge=0, le=65535)

    rpc_port: int = Field(default=0, ge=0, le=65535)
    """Port of the embedded chain's JSON-RPC; 0 takes a free one."""

    base_rate_uusdc: int = Field(default=1000, ge=1)
    platform_fee_bps: int = Field(default=1500, ge=0, le=10_000)
    geofence_radius_m: float = Field(default=500, gt=0)
    holds: bool = True
    """Whether open sessions and unpaid charges count against a consumer's pool when it asks for another."""

    @field_validator("public_url")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/\s?#]+/?", value):
            raise ValueError("must be http:// or https:// and a host, without a path")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load(**given: object) -> Settings:
    """Settings from arguments, then environment, then ``luxxon.toml``.

    Raises:
        StartError: a value does not fit; names the first such field, never its value.
    """
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise StartError(message=f"setting {name}: {first['msg'].lower()}") from None
    except (OSError, ValueError) as error:
        raise StartError(message=f"luxxon.toml cannot be read: {error}") from None


def default_data_dir() -> Path:
    """The user's data folder; for root a folder that the database's system user can reach."""
    import os

    import platformdirs

    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/luxxon")
    return platformdirs.user_data_path("luxxon", appauthor=False)
