"""The only reader of the environment (``LUXXON_…``) and of ``luxxon.toml``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    Field,
    IPvAnyAddress,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
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
from luxxon_core.setting_tables import CameraTable, CorridorSetting, IceServerSetting, PluginTable

S = TypeVar("S", bound=BaseSettings)


class PluginSettings(BaseSettings):
    """Which plugins there are, and what they are told."""

    model_config = SettingsConfigDict(
        env_prefix="LUXXON_", toml_file="luxxon.toml", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(default_factory=lambda: default_data_dir() / "server")
    plugins_dir: Path | None = None
    """Modules and packages there are plugins; ``plugins`` in the data directory when not given."""
    plugins: dict[str, PluginTable] = Field(default_factory=dict)
    """By name."""

    @property
    def plugins_directory(self) -> Path:
        return self.plugins_dir if self.plugins_dir is not None else self.data_dir / "plugins"

    @property
    def disabled_plugins(self) -> tuple[str, ...]:
        return tuple(name for name, table in self.plugins.items() if not table.enabled)

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


class CameraSettings(PluginSettings):
    """The cameras of this machine, by the names that their owner gave them."""

    cameras: dict[str, CameraTable] = Field(default_factory=dict)


class Settings(PluginSettings):
    """How a server runs. What is left out gets its embedded default."""

    environment: Literal["TEST", "LIVE"] = "TEST"
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

    link_ttl_s: float = Field(default=900, ge=10, le=86_400)
    """How long a link to the page for phones is good before it is opened."""

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
    """Of public operations, and of offers, trickles and deletions to the embedded edge."""
    rate_limit_live_input: int = Field(default=6_000, ge=0)
    """Of the latter to one side of a live input, whoever they are from."""
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

    media_edge: str = Field(default="embedded", pattern="^[a-z][a-z0-9-]*$")
    """Which edge mints new live inputs; every one that is configured serves its own on. Beside the built-in
    ``embedded``, ``cloudflare`` and ``mediamtx`` there are those of plugins."""
    udp_host: str = "127.0.0.1"
    """0.0.0.0 for every IPv4 address, :: for those of both families."""
    udp_port: int = Field(default=0, ge=0, le=65535)
    ice_servers: tuple[IceServerSetting, ...] = ()
    """For clients whose network lets no UDP of theirs through; the edge itself needs none."""
    public_addresses: Annotated[tuple[IPvAnyAddress, ...], NoDecode] = ()
    """Where peers reach the UDP port from outside, when that is not where it listens (1:1 NAT)."""
    media_processes: int = Field(default=0, ge=0, le=256)
    """How many processes new live inputs are spread over; 0 for the server's own."""
    media_http_port: int = Field(default=0, ge=0, le=65535)
    """Where the first of them listens, the others above; 0 takes free ones, kept in the data directory."""
    media_public_urls: Annotated[tuple[str, ...], NoDecode] = ()
    """Where publishers and viewers reach each; its port at the public URL's host when not given."""

    cloudflare_account_id: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    cloudflare_api_token: SecretStr | None = None
    """With the permission Stream: Edit; with both, Cloudflare Stream is an edge."""
    cloudflare_api_url: str = "https://api.cloudflare.com/client/v4"
    mediamtx_api_url: str | None = None
    """Of its control API; with this and the next, MediaMTX is an edge."""
    mediamtx_url: str | None = None
    """Where clients reach its WHIP and WHEP."""
    mediamtx_rtsp_url: str = "rtsp://127.0.0.1:8554"
    """Where it reaches its own RTSP server."""
    mediamtx_user: str = "luxxon"
    mediamtx_password: SecretStr | None = None
    """Of the control API, where it asks for one."""

    rpc_port: int = Field(default=0, ge=0, le=65535)
    """Port of the embedded chain's JSON-RPC; 0 takes a free one."""

    rpc_url: SecretStr | None = None
    """JSON-RPC of a chain that somebody else runs; may hold a key. Several nodes with commas in between, the
    preferred one first. None: the embedded development chain."""
    rpc_ws_url: SecretStr | None = None
    """Where a node tells of new blocks by WebSocket; one of ``rpc_url`` does where it is such an address."""
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
    final_confirmations: int | None = Field(default=None, ge=1, le=100)
    """Blocks until no reorganisation is looked for any more; 64, and 1 on the embedded chain."""
    max_fee_gwei: float = Field(default=50, gt=0, le=1_000_000)
    """Most that the relayer offers for a gas; while the chain asks for more, payments wait."""
    priority_fee_gwei: float | None = Field(default=None, ge=0, le=1_000_000)
    """Its tip for a gas; what the node proposes when not given."""
    relayer_key: SecretStr | None = None
    relayer_keystore: Path | None = None
    relayer_passphrase: SecretStr | None = None
    relayer_passphrase_file: Path | None = None
    relayer_kms_key: str | None = None
    relayer_signer: str | None = None
    """A key in hexadecimal, a keystore and what opens it, a key in AWS KMS, or a signer of a plugin; with
    none this server pays nothing."""
    sponsored_deposits: bool = True
    """Whether the relayer pays the gas of deposits that consumers without ETH sign (ERC-3009)."""
    sponsored_deposit_min_uusdc: int = Field(default=1_000_000, ge=1)
    rate_limit_deposits: int = Field(default=6, ge=0)
    """Such deposits an hour of one wallet; 0 for as many as one likes."""
    rate_limit_ptz: int = Field(default=20, ge=0)
    """Commands a second to the camera of one session, beside ``stop``; 0 for as many as one likes."""
    kms_region: str | None = None
    kms_endpoint: str | None = None

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

    @field_validator("cookie_secrets_old", "public_addresses", "media_public_urls", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value

    @field_validator("rpc_url", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("rpc_url", "rpc_ws_url")
    @classmethod
    def _of_nodes(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        schemes = ("http", "https", "ws", "wss") if info.field_name == "rpc_url" else ("ws", "wss")
        form = re.compile(rf"({'|'.join(schemes)})://[^\s/]\S*")
        if value is not None and not all(form.fullmatch(one) for one in _parts(value)):
            raise ValueError(f"must be {', '.join(schemes)}:// and a host")
        return value

    @property
    def rpc_urls(self) -> tuple[str, ...]:
        """Of the chain's nodes, the preferred one first; none for the embedded chain."""
        return () if self.rpc_url is None else _parts(self.rpc_url)

    @field_validator("media_public_urls")
    @classmethod
    def _each_absolute(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            cls._absolute(one)
        return value

    @field_validator("public_url")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/\s?#@]+/?", value):
            raise ValueError("must be http:// or https:// and a host, without a path")
        return value


class ClientSettings(BaseSettings):
    """The server that a command calls, and the key it calls it with."""

    model_config = SettingsConfigDict(
        env_prefix="LUXXON_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    url: str = Field(default="http://127.0.0.1:3010", pattern="^https?://[^/ ?#@]+/?$")
    api_key: SecretStr | None = None
    wallet: Path | None = None
    """The keystore of the user's own wallet; in the user's configuration folder when not given."""
    wallet_passphrase: SecretStr | None = None
    wallet_passphrase_file: Path | None = None
    """What opens it; asked for when neither is given."""

    @field_validator("api_key")
    @classmethod
    def _sendable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not re.fullmatch("[!-~]+", value.get_secret_value()):
            raise ValueError("must be letters, digits and signs of ASCII")
        return value


class OwnerSettings(BaseSettings):
    """The key that deploys contracts and owns them: at most one of the three kinds."""

    model_config = SettingsConfigDict(
        env_prefix="LUXXON_OWNER_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    key: SecretStr | None = None
    keystore: Path | None = None
    passphrase: SecretStr | None = None
    passphrase_file: Path | None = None
    kms_key: str | None = None


def _parts(listed: SecretStr) -> tuple[str, ...]:
    return tuple(one.strip() for one in listed.get_secret_value().split(","))


def revealed(secret: SecretStr | None) -> str | None:
    """What a secret setting holds, for the one who needs it."""
    return None if secret is None else secret.get_secret_value()


def load(**given: object) -> Settings:
    """Settings from arguments, then environment, then ``luxxon.toml``.

    Raises:
        StartError: a value does not fit; names the first such field, never its value.
    """
    return _loaded(Settings, given)


def load_plugin_settings(**given: object) -> PluginSettings:
    """Those of the plugins alone, so that a fault elsewhere in ``luxxon.toml`` keeps nobody from a camera.

    Raises:
        StartError: as :func:`load`.
    """
    return _loaded(PluginSettings, given)


def load_cameras(**given: object) -> CameraSettings:
    """The cameras of ``luxxon.toml``, and what :func:`load_plugin_settings` gives.

    Raises:
        StartError: as :func:`load`.
    """
    return _loaded(CameraSettings, given)


def load_client(**given: object) -> ClientSettings:
    """A client's settings from arguments, then environment.

    Raises:
        StartError: as :func:`load`.
    """
    return _loaded(ClientSettings, given)


def load_owner(**given: object) -> OwnerSettings:
    """The owner's key from arguments, then environment.

    Raises:
        StartError: as :func:`load`.
    """
    return _loaded(OwnerSettings, given)


def _loaded(kind: Callable[..., S], given: Mapping[str, object]) -> S:
    try:
        return kind(**given)
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
    """The user's data folder; for root, who did not name one, a folder that the database's system user can
    reach."""
    import os

    import platformdirs

    if hasattr(os, "geteuid") and os.geteuid() == 0 and not os.environ.get("XDG_DATA_HOME"):
        return Path("/var/lib/luxxon")
    return platformdirs.user_data_path("luxxon", appauthor=False)
