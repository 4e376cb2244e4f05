"""The only reader of the environment (``LUXXON_…``) and of ``luxxon.toml``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from luxxon_core.kernel.errors import StartError


class CorridorSetting(BaseModel):
    """A zone with a price of its own."""

    model_config = ConfigDict(frozen=True)

    name: str
    lat: float = Field(ge=-90, le=90)
    lng: float = Field(ge=-180, le=180)
    radius_m: float = Field(gt=0)
    multiplier_bps: int = Field(ge=1)


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
    """Signs the session cookies; kept in the data directory when not given. Several servers share one."""
    cookie_secrets_old: Annotated[tuple[Annotated[SecretStr, Field(min_length=32)], ...], NoDecode] = ()
    """Still open cookies of earlier secrets; drop one 12 hours after the change."""

    database_url: SecretStr | None = None
    """None: the embedded PostgreSQL in the data directory."""
    geography: Literal["auto", "postgis", "earthdistance"] = "auto"
    """How an empty database computes coverage; auto takes PostGIS where the server has it."""

    spicedb_endpoint: str | None = None
    """host:port; None: the same rules over the member table."""
    spicedb_token: SecretStr | None = None
    spicedb_insecure: bool = False
    """Without TLS."""
    spicedb_ca: Path | None = None
    """PEM file of the authority that signed SpiceDB's certificate, where it is no public one."""

    database_pool: int = Field(default=10, ge=2)
    """Most connections to the database that serve requests."""

    rate_limit_key: int = Field(default=12_000, ge=0)
    """Requests a minute of an API key; 0 for as many as one likes, here and below."""
    rate_limit_wallet: int = Field(default=12_000, ge=0)
    rate_limit_address: int = Field(default=6_000, ge=0)
    """Of public operations."""
    rate_limit_failures: int = Field(default=1_200, ge=0)
    """Refused credentials and proofs of one address."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Networks of our own proxies, whose word on the client's address is taken."""
    forwarded_header: Literal["X-Forwarded-For", "Forwarded"] = "X-Forwarded-For"
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of its own for /metrics, on the loopback address; without it, and without a public URL, processes
    of this machine find them on the API's port."""
    drain_seconds: float = Field(default=0, ge=0)
    """How long /ready says no before connections are refused, so that load balancers look elsewhere."""
    log_format: Literal["console", "json"] | None = None
    """None: for people on a terminal, JSON elsewhere."""

    udp_host: str = "127.0.0.1"
    udp_port: int = Field(default=0, ge=0, le=65535)

    rpc_port: int = Field(default=0, ge=0, le=65535)
    """Port of the embedded chain's JSON-RPC; 0 takes a free one."""

    rpc_url: SecretStr | None = None
    """JSON-RPC of a chain that somebody else runs; may hold a key. None: the embedded development chain."""
    public_rpc_url: str | None = None
    """What clients are told to use."""
    settlement_address: str | None = None
    usdc_address: str | None = None
    chain_id: int | None = Field(default=None, ge=1)
    """What the chain must be; the last two are read from it when not given."""
    chain_name: str | None = None
    explorer_url: str = ""
    settlement_block: int | None = Field(default=None, ge=0)
    """Where the contract's history begins; found out when not given."""
    confirmations: int | None = Field(default=None, ge=1)
    """Blocks until a transaction counts; 3, and 1 on the embedded chain."""
    relayer_key: SecretStr | None = None
    relayer_keystore: Path | None = None
    relayer_passphrase: SecretStr | None = None
    relayer_passphrase_file: Path | None = None
    """A key in hexadecimal, or a keystore and what opens it; with neither this server pays nothing."""

    telemetry_signatures: Literal["recorded", "required"] = "recorded"
    """Whether telemetry that the operator's wallet has not signed is refused."""
    video_webhook_token: SecretStr | None = None
    video_webhook_auth: SecretStr | None = None
    """The two secrets of POST /video/events: in the path and in the header cf-webhook-auth."""

    base_rate_uusdc: int = Field(default=1000, ge=1)
    pricing: Literal["early_access", "live"] = "early_access"
    """Whether the factors of supply, demand and corridors move the rate, or all are 1.0."""
    corridors: tuple[CorridorSetting, ...] = ()
    corridor_max_bps: int = Field(default=30_000, ge=10_000)
    open_radius_m: float = Field(default=5000, gt=0)
    """Open sessions within it count as demand."""
    quote_ttl_s: float = Field(default=30, gt=0)
    platform_fee_bps: int = Field(default=1500, ge=0, le=10_000)
    geofence_radius_m: float = Field(default=500, gt=0)
    holds: bool = True
    """Whether open sessions and unpaid charges count against a consumer's pool when it asks for another."""

    @field_validator("cookie_secrets_old", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value

    @field_validator("public_url")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/\s?#@]+/?", value):
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


def revealed(secret: SecretStr | None) -> str | None:
    """What a secret setting holds, for the one who needs it."""
    return None if secret is None else secret.get_secret_value()


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
    except SettingsError as error:
        _, name, *_ = str(error).split('"')  # error parsing value for field "name" from source …
        raise StartError(message=f"setting {name}: must be JSON") from None
    except (OSError, ValueError) as error:
        raise StartError(message=f"luxxon.toml cannot be read: {error}") from None


def default_data_dir() -> Path:
    """The user's data folder; for root a folder that the database's system user can reach."""
    import os

    import platformdirs

    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/luxxon")
    return platformdirs.user_data_path("luxxon", appauthor=False)
