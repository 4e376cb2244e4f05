"""The only reader of the environment (``LUXXON_…``) and of ``luxxon.toml``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    Field,
    IPvAnyAddress,
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

from luxxon_core.chain_settings import ChainSettings
from luxxon_core.client_settings import ClientSettings as ClientSettings  # noqa: PLC0414
from luxxon_core.client_settings import OwnerSettings as OwnerSettings  # noqa: PLC0414
from luxxon_core.kernel.errors import StartError
from luxxon_core.setting_tables import CameraTable, CorridorSetting, IceServerSetting, PluginTable

S = TypeVar("S", bound=BaseSettings)


class PluginSettings(BaseSettings):
    """Which plugins there are, and what they are told."""

    model_config = SettingsConfigDict(
        env_prefix="LUXXON_", toml_file="luxxon.toml", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    # -- Files and plugins
    data_dir: Path = Field(default_factory=lambda: default_data_dir() / "server")
    """Database, chain, keys; one server process each. Not given: ``server`` in the user's data folder."""
    plugins_dir: Path | None = None
    """Modules and packages there are plugins (docs/plugins.md#how-plugins-are-found). Not given: ``plugins``
    in ``data_dir``."""
    plugins: dict[str, PluginTable] = Field(default_factory=dict)
    """A table ``[plugins.NAME]`` each: ``enabled``, and what the plugin is told."""

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
    """The cameras of this machine, by the names that their owner gave them: those of ``luxxon.toml`` in the
    current folder, and those that the console keeps in the user's own."""

    cameras: dict[str, CameraTable] = Field(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        from luxxon_core.profiles import console_file

        here = super().settings_customise_sources(
            settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
        )
        return (*here, _OwnCameras(settings_cls, toml_file=console_file()))


class _OwnCameras(TomlConfigSettingsSource):
    """The user's own cameras, and nothing else of that file; one of the folder's with the same name hides
    one of these as a whole."""

    def __call__(self) -> dict[str, Any]:
        own, here = super().__call__().get("cameras"), self.current_state.get("cameras")
        hidden = here if isinstance(here, dict) else {}
        return {"cameras": {k: v for k, v in own.items() if k not in hidden}} if isinstance(own, dict) else {}


class Settings(ChainSettings, PluginSettings):
    """How a server runs. What is left out gets its embedded default."""

    # -- The deployment
    environment: Literal["TEST", "LIVE"] = "TEST"
    """Which API keys are minted and accepted."""
    durable: bool = True
    """False for throw-away data: the embedded database does not wait for the disk."""

    # -- Where it listens
    host: str = "127.0.0.1"
    """The address that the API listens on."""
    port: int = Field(default=3010, ge=0, le=65535)
    """Its port; 0 takes a free one."""
    public_url: str | None = None
    """Where clients reach this server: in the URLs for WHIP and WHEP, and in what wallets sign. Not given:
    the address it listens on."""
    origins: frozenset[str] = frozenset({"https://console.luxxon.dev"})
    """Browser origins that may call with cookies."""
    cookie_secret: SecretStr | None = Field(default=None, min_length=32)
    """Signs sign-in cookies and seals kept answers; the same on all servers. Not given: one kept in
    ``data_dir``."""
    cookie_secrets_old: Annotated[tuple[Annotated[SecretStr, Field(min_length=32)], ...], NoDecode] = ()
    """With commas between; cookies of these are still good. Drop one 12 hours after the change."""

    link_ttl_s: float = Field(default=900, ge=10, le=86_400)
    """Seconds that a link to the page for phones is good before it is opened; while it is in use it is
    renewed."""

    # -- Database
    database_url: SecretStr | None = None
    """``postgresql://…``. Not given: the embedded PostgreSQL in ``data_dir``."""
    geography: Literal["auto", "postgis", "earthdistance"] = "auto"
    """How an empty database computes coverage; ``auto`` takes PostGIS where the server has it."""
    database_pool: int = Field(default=10, ge=2)
    """Most connections to the database that serve requests."""

    # -- Authorization
    spicedb_endpoint: str | None = None
    """``host:port``. Not given: the same rules over the member table."""
    spicedb_token: SecretStr | None = None
    """Its pre-shared key."""
    spicedb_insecure: bool = False
    """Without TLS."""
    spicedb_ca: Path | None = None
    """PEM file of the authority that signed SpiceDB's certificate, where it is no public one."""

    # -- Limits and proxies
    rate_limit_key: int = Field(default=12_000, ge=0)
    """Requests a minute of an API key; 0 for as many as one likes, here and below."""
    rate_limit_wallet: int = Field(default=12_000, ge=0)
    """Requests a minute of a wallet that has signed in."""
    rate_limit_address: int = Field(default=6_000, ge=0)
    """Public requests a minute of an address; as many offers, trickles and deletions to the embedded
    edge."""
    rate_limit_live_input: int = Field(default=6_000, ge=0)
    """The latter a minute to one side of a live input, whoever they are from."""
    rate_limit_failures: int = Field(default=1_200, ge=0)
    """Refused credentials and proofs a minute of an address."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Networks of your own proxies, whose word on the client's address is taken."""
    forwarded_header: Literal["X-Forwarded-For", "Forwarded"] = "X-Forwarded-For"
    # -- Watching it, ending it
    """What they write."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of its own for ``/metrics``, on the loopback address; without it, and without ``public_url``,
    processes of this machine find them on the API's port."""
    drain_seconds: float = Field(default=0, ge=0)
    """How long ``/ready`` says no before connections are refused, so that load balancers look elsewhere."""
    log_format: Literal["console", "json"] | None = None
    """Not given: ``console`` at a terminal, ``json`` elsewhere."""

    # -- Media
    media_edge: str = Field(default="embedded", pattern="^[a-z][a-z0-9-]*$")
    """Which edge mints new live inputs: ``embedded``, ``cloudflare``, ``mediamtx`` or a plugin's; the others
    that are configured go on serving theirs (docs/media.md#edges)."""
    udp_host: str = "127.0.0.1"
    """Of the one UDP port of all WebRTC peers: ``0.0.0.0`` for every IPv4 address, ``::`` for those of both
    families."""
    udp_port: int = Field(default=0, ge=0, le=65535)
    """0 takes a free one."""
    ice_servers: tuple[IceServerSetting, ...] = ()
    """STUN and TURN servers that media clients are told of, ``{url, username, credential}`` each, for
    networks that let no UDP through; the edge itself needs none."""
    public_addresses: Annotated[tuple[IPvAnyAddress, ...], NoDecode] = ()
    """Where peers reach the UDP port from outside, IPv4 and IPv6 with commas between, when it is behind 1:1
    NAT."""
    media_processes: int = Field(default=0, ge=0, le=256)
    """Processes that new live inputs are spread over; 0 for the server's own
    (docs/media.md#several-processes)."""
    media_http_port: int = Field(default=0, ge=0, le=65535)
    """HTTP port of the first of them, the others above; 0 takes free ones, kept in ``data_dir`` and taken
    again."""
    media_public_urls: Annotated[tuple[str, ...], NoDecode] = ()
    """Where publishers and viewers reach each, with commas between. Not given: its port at the host of
    ``public_url``, by http."""

    # -- Outside media edges
    cloudflare_account_id: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    """With the next, Cloudflare Stream is an edge."""
    cloudflare_api_token: SecretStr | None = None
    """With the permission Stream: Edit."""
    cloudflare_api_url: str = "https://api.cloudflare.com/client/v4"
    """For a proxy in between."""
    mediamtx_api_url: str | None = None
    """MediaMTX's control API; with this and the next, MediaMTX is an edge."""
    mediamtx_url: str | None = None
    """Where clients reach its WHIP and WHEP."""
    mediamtx_rtsp_url: str = "rtsp://127.0.0.1:8554"
    """Where MediaMTX reaches its own RTSP server."""
    mediamtx_user: str = "luxxon"
    """Of the control API."""
    mediamtx_password: SecretStr | None = None
    """Of the control API, where it asks for one."""

    # -- Sessions
    rate_limit_ptz: int = Field(default=20, ge=0)
    """Commands a second to the camera of one session; 0 for as many as one likes; ``stop`` is always
    taken."""
    telemetry_signatures: Literal["recorded", "required"] = "recorded"
    """``required``: telemetry that the operator's wallet has not signed is refused."""
    video_webhook_token: SecretStr | None = None
    """The secret in the path of ``POST /video/events/:token``."""
    video_webhook_auth: SecretStr | None = None
    """The secret of its header ``cf-webhook-auth``."""

    # -- Webhooks
    webhook_key: SecretStr | None = Field(default=None, min_length=32)
    """Encrypts the secrets of webhooks (docs/webhooks.md); the same on all servers. Not given: one kept in
    ``data_dir``."""
    webhook_keys_old: Annotated[tuple[Annotated[SecretStr, Field(min_length=32)], ...], NoDecode] = ()
    """Earlier ones, with commas between, which still read what they encrypted; drop one when every webhook
    has a new secret."""
    webhook_networks: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    """Private networks that deliveries may go to, with commas between; without it public addresses alone."""
    webhook_http: bool = False
    """Whether webhooks may have URLs without TLS."""
    webhook_timeout_s: float = Field(default=15, gt=0, le=60)
    """Seconds that a receiver may take to answer."""
    webhook_retry_s: float = Field(default=5, gt=0, le=3600)
    """The pause in seconds after the first failure; it doubles up to an hour, for 24 hours."""
    webhook_disable_after_h: float = Field(default=72, gt=0)
    """A webhook whose deliveries fail for so many hours without a success is disabled."""

    # -- Price
    base_rate_uusdc: int = Field(default=1000, ge=1)
    """µUSDC a second."""
    pricing: Literal["early_access", "live"] = "early_access"
    """``live``: supply, demand and corridors move the rate; else all factors are 1.0."""
    corridors: tuple[CorridorSetting, ...] = ()
    """Zones with a price of their own, ``{name, lat, lng, radius_m, multiplier_bps}`` each; the highest that
    holds the point counts."""
    corridor_max_bps: int = Field(default=30_000, ge=10_000)
    """None counts for more."""
    open_radius_m: float = Field(default=5000, gt=0)
    """Open sessions within it, in metres, count as demand."""
    quote_ttl_s: float = Field(default=30, gt=0)
    """Seconds that a quote is good."""
    platform_fee_bps: int = Field(default=1500, ge=0, le=10_000)
    """The platform's share, in basis points."""
    geofence_radius_m: float = Field(default=500, gt=0)
    """How far, in metres, from the requested point an operator may be."""
    holds: bool = True
    """Whether open sessions and unpaid charges count against a consumer's pool when it asks for another."""

    # -- Observations
    observation_unit_s: int = Field(default=10, ge=1, le=3600)
    """What an observation costs, in seconds at the rate of its place."""
    observation_kept_s: float = Field(default=604_800, gt=0)
    """Seconds for which the frame of an observation can be fetched."""
    observation_record_s: float = Field(default=2_592_000, ge=86_400)
    """Seconds for which an observation can be read after it has finished, longer while its frame is kept; its
    session and receipt stay. One that cost too much to be asked for is forgotten after a day."""
    observation_frame_kb: int = Field(default=1024, ge=8)
    """Of one such frame at most; a larger one is made smaller."""
    observation_store_mb: int = Field(default=4096, ge=1)
    """Of all of them; then the oldest go before their time."""

    @field_validator(
        "cookie_secrets_old",
        "public_addresses",
        "media_public_urls",
        "webhook_keys_old",
        "webhook_networks",
        mode="before",
    )
    @classmethod
    def _listed(cls, value: object) -> object:
        return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value

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
