"""The ONVIF services of one camera, by onvif-zeep-async; its errors in the terms of the source interface."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from luxxon_core.source import (
    DeviceInformation,
    SourceAuthError,
    SourceConfigError,
    SourceError,
    SourceNotReady,
)
from luxxon_rtsp_ptz.credentials import Credentials

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from onvif.client import ONVIFService

log = structlog.get_logger(__name__)

CALL_SECONDS = 5.0
DEVICE_PATH = "/onvif/device_service"
SKEW = timedelta(seconds=2)
"""A clock of the camera that is this much off is worth asking again with its own time."""
_NOT_AUTHORIZED = ("notauthorized", "failedauthentication", "invalidsecurity")
_NOT_SUPPORTED = ("actionnotsupported", "optionalactionnotimplemented", "noptzprofile", "unknownaction")


class NotSupported(SourceConfigError):
    """The camera cannot do what was asked, whatever it said."""

    code, status, default_message = "SOURCE_UNSUPPORTED", 409, "The camera cannot do that"


class Refused(SourceConfigError):
    """The camera knows what was asked and refuses it: a preset that is not there, a value out of range."""

    code, status, default_message = "SOURCE_REFUSED", 409, "The camera refuses that"


@dataclass(frozen=True, slots=True)
class OnvifProfile:
    token: str
    name: str
    codec: str
    """As the camera says: ``H264``, ``JPEG`` …; empty where it does not say."""
    ptz: Any
    """The PTZConfiguration, or None."""


class OnvifDevice:
    """Made by :meth:`connect`; ``close`` it."""

    def __init__(self, address: str, credentials: Credentials, session: ClientSession) -> None:
        self.address = address
        self.information = DeviceInformation()
        self.profiles: list[OnvifProfile] = []
        self.profile_token = ""
        self._credentials, self._session = credentials, session
        self._services: dict[str, ONVIFService] = {}
        self._addresses: dict[str, str] = {"devicemgmt": address}
        self._skew: timedelta | None = None
        self._own_hosts: set[str] = set()
        """Hosts by which the camera knows itself, where they are not the one we reach it at."""

    @classmethod
    async def connect(cls, address: str, credentials: Credentials, tls: ssl.SSLContext | bool) -> OnvifDevice:
        """Read the camera's clock, services, information and profiles.

        Raises:
            SourceNotReady: it does not answer.
            SourceAuthError: it refuses the credentials.
            SourceConfigError: no such address, or no ONVIF device there.
        """
        import aiohttp

        digest = aiohttp.DigestAuthMiddleware(credentials.username, credentials.password)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls),
            # Where a camera wants HTTP Digest instead of WS-Security, it says so with 401.
            middlewares=(digest,) if credentials.username else (),
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
        )
        device = cls(device_url(address), credentials, session)
        try:
            await device._read_clock()
            await device._read_services()
            await device._read_information()
            await device._read_profiles()
        except BaseException:
            await device.close()
            raise
        return device

    async def close(self) -> None:
        for service in self._services.values():
            await service.close()
        self._services.clear()
        await self._session.close()

    def offers(self, service: str) -> bool:
        return service in self._addresses

    async def stream_uri(self, token: str) -> str:
        """The RTSP URL of a profile, at the host where we reach the camera."""
        setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
        answer = await self.call("media", "GetStreamUri", StreamSetup=setup, ProfileToken=token)
        uri = str(getattr(answer, "Uri", None) or "").strip()
        if not uri:
            raise SourceConfigError("onvif:noStream", f"the camera names no stream for profile {token}")
        return self._reachable(uri)

    async def set_synchronization_point(self) -> None:
        """Ask for a key frame (ONVIF Media §5.15)."""
        await self.call("media", "SetSynchronizationPoint", ProfileToken=self.profile_token)

    async def call(self, service: str, operation: str, **parameters: Any) -> Any:
        """One operation; with the camera's time read anew where it refuses ours.

        Raises:
            SourceAuthError, SourceNotReady, NotSupported, Refused
            SourceError: the answer makes no sense.
        """
        try:
            return await self._call(service, operation, parameters)
        except SourceAuthError:
            before = self._skew or timedelta()
            await self._read_clock()
            if abs((self._skew or timedelta()) - before) < SKEW:
                raise
            log.info("onvif.clock", skew=str(self._skew))
            return await self._call(service, operation, parameters)

    async def _call(
        self, service: str, operation: str, parameters: dict[str, Any], authenticate: bool = True
    ) -> Any:
        import aiohttp
        from zeep.exceptions import Fault, TransportError

        client = await self._service(service)
        named = authenticate and bool(self._credentials.username)  # zeep makes no token of no name
        name = operation if named else f"authless_{operation}"
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await getattr(client, name)(parameters)
        except Fault as fault:
            raise _of_fault(fault, operation) from None
        except TransportError as error:
            if error.status_code in (401, 403):
                raise SourceAuthError(
                    "onvif:refused", "the camera refused the ONVIF user and password"
                ) from None
            if error.status_code == 404:
                raise NotSupported("onvif:notFound", f"the camera has no {service} service") from None
            raise _nonsense(operation, error) from None
        except TimeoutError:
            raise SourceNotReady("onvif:timeout", f"the camera does not answer {operation}") from None
        except (aiohttp.ClientError, OSError) as error:
            log.debug("onvif.unreachable", error=type(error).__name__)
            raise SourceNotReady("onvif:unreachable", "the camera's ONVIF service is unreachable") from None
        except Exception as error:  # noqa: BLE001 - an answer may break the parser in any way
            raise _nonsense(operation, error) from None

    async def _service(self, name: str) -> ONVIFService:
        if name in self._services:
            return self._services[name]
        if name not in self._addresses:
            raise NotSupported("onvif:service", f"the camera has no {name} service")
        onvif = await asyncio.to_thread(_library)
        known = onvif.definition.SERVICES[name]
        service: ONVIFService = onvif.client.ONVIFService(
            self._addresses[name],
            self._credentials.username or None,
            self._credentials.password or None,
            str(Path(str(onvif.__file__)).parent / "wsdl" / known["wsdl"]),
            no_cache=True,
            dt_diff=self._skew,
            binding_name=f"{{{known['ns']}}}{known['binding']}",
        )
        service.transport.session = self._session  # the library's own does not verify certificates
        await service.setup()
        return self._services.setdefault(name, service)

    # -- what the camera says of itself ------------------------------------------------------------------

    async def _read_clock(self) -> None:
        """WS-Security digests carry a time that must be near the camera's (ONVIF Core §5.12.1)."""
        try:
            answer = await self._call("devicemgmt", "GetSystemDateAndTime", {}, authenticate=False)
        except (SourceAuthError, NotSupported, Refused):
            return  # it asks for credentials even for this; then our time must do
        self._skew = _skew(answer, datetime.now(UTC))
        for service in self._services.values():
            if service.zeep_client is not None:
                service.zeep_client.wsse.dt_diff = self._skew

    async def _read_services(self) -> None:
        from onvif.definition import SERVICES

        found: dict[str, str] = {}
        try:
            for one in await self.call("devicemgmt", "GetServices", IncludeCapability=False) or ():
                name = next((key for key in ("media", "ptz") if SERVICES[key]["ns"] == one.Namespace), None)
                if name and one.XAddr:
                    found[name] = str(one.XAddr)
        except (NotSupported, Refused, AttributeError, TypeError):
            found.clear()
        if not found:
            answer = await self.call("devicemgmt", "GetCapabilities", Category="All")
            for name, part in (("media", "Media"), ("ptz", "PTZ")):
                if address := getattr(getattr(answer, part, None), "XAddr", None):
                    found[name] = str(address)
        if "media" not in found:
            raise SourceConfigError("onvif:noMedia", "the device offers no ONVIF media service")
        for name, address in found.items():
            self._addresses[name] = self._at_our_host(address)

    async def _read_information(self) -> None:
        try:
            answer = await self.call("devicemgmt", "GetDeviceInformation")
        except SourceAuthError:
            raise
        except SourceError as error:
            log.info("onvif.no_device_information", reason=error.message)
            return
        fields = ("Manufacturer", "Model", "FirmwareVersion", "SerialNumber")
        self.information = DeviceInformation(*(str(getattr(answer, one, None) or "")[:100] for one in fields))

    async def _read_profiles(self) -> None:
        for one in await self.call("media", "GetProfiles") or ():
            token = getattr(one, "token", None)
            if not token or getattr(one, "VideoSourceConfiguration", None) is None:
                continue
            encoder = getattr(one, "VideoEncoderConfiguration", None)
            self.profiles.append(
                OnvifProfile(
                    str(token),
                    str(getattr(one, "Name", None) or token),
                    str(getattr(encoder, "Encoding", None) or ""),
                    getattr(one, "PTZConfiguration", None),
                )
            )
        if not self.profiles:
            raise SourceConfigError("onvif:noProfile", "the camera has no media profile with video")

    def choose(self, token: str) -> OnvifProfile:
        """The profile asked for; without a token the first that is H.264, or the first.

        Raises:
            SourceConfigError: there is none of that token.
        """
        candidates = [one for one in self.profiles if not token or one.token == token]
        if not candidates:
            known = ", ".join(one.token for one in self.profiles)
            raise SourceConfigError("onvif:profile", f"the camera has no profile {token!r}; it has {known}")
        chosen = next((one for one in candidates if one.codec.upper() == "H264"), candidates[0])
        self.profile_token = chosen.token
        return chosen

    def _at_our_host(self, address: str) -> str:
        """Cameras behind NAT, or with a wrong idea of their address, advertise one that we cannot reach."""
        own, ours = urlsplit(address), urlsplit(self.address)
        if own.hostname == ours.hostname or not own.hostname:
            return address
        self._own_hosts.add(own.hostname)
        return own._replace(scheme=ours.scheme, netloc=ours.netloc).geturl()

    def _reachable(self, uri: str) -> str:
        own, ours = urlsplit(uri), urlsplit(self.address).hostname or ""
        if own.hostname and not (own.hostname in self._own_hosts or _nowhere(own.hostname, ours)):
            return uri
        port = f":{own.port}" if own.port else ""
        return own._replace(netloc=(f"[{ours}]" if ":" in ours else ours) + port).geturl()


def device_url(address: str) -> str:
    """``host``, ``host:port`` or a URL → URL of the device service. Raises SourceConfigError."""
    url = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = None
    if not usable or any(ord(one) < 33 for one in url):
        raise SourceConfigError("onvif:address", "the ONVIF address must be a host, host:port or http URL")
    netloc = parts.netloc.rpartition("@")[2]
    path = parts.path if parts.path not in ("", "/") else DEVICE_PATH
    return parts._replace(netloc=netloc, path=path).geturl()


def _library() -> Any:
    """The library, whose import sets up the root logger for the whole process: that is undone.

    Raises:
        SourceConfigError: it is not installed.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        import onvif
        import onvif.client
        import onvif.definition
    except ImportError:
        raise SourceConfigError("onvif:notInstalled", "ONVIF needs: pip install 'luxxon[rtsp-ptz]'") from None
    root.handlers[:] = handlers
    root.setLevel(level)
    return onvif


def _skew(answer: Any, now: datetime) -> timedelta | None:
    """The camera's clock less ours; None where it does not say."""
    try:
        utc = answer.UTCDateTime
        date, time = utc.Date, utc.Time
        # A leap second, or a camera that counts 60.
        clock = datetime(date.Year, date.Month, date.Day, time.Hour, time.Minute, 0, tzinfo=UTC)
        return clock + timedelta(seconds=int(time.Second)) - now
    except (AttributeError, TypeError, ValueError):
        return None


def _nowhere(host: str, ours: str) -> bool:
    """An address that means nothing to anybody but the camera: unspecified, loopback, link-local."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return host != ours and (address.is_unspecified or address.is_loopback or address.is_link_local)


def _of_fault(fault: Any, operation: str) -> SourceError:
    """A SOAP fault by its ter: subcodes (ONVIF Core §5.11.2), which some cameras put into the text."""
    subcodes = [getattr(one, "text", None) or str(one) for one in fault.subcodes or ()]
    words = " ".join([*subcodes, str(fault.message or "")]).lower().replace(" ", "")
    if any(one in words for one in _NOT_AUTHORIZED):
        return SourceAuthError("onvif:refused", "the camera refused the ONVIF user and password")
    if any(one in words for one in _NOT_SUPPORTED):
        return NotSupported("onvif:notSupported", f"the camera does not support {operation}")
    said = " ".join(str(fault.message or "no reason given").split())[:120]
    return Refused("onvif:fault", f"the camera refuses {operation}: {said}")


def _nonsense(operation: str, error: Exception) -> SourceError:
    log.info("onvif.malformed", operation=operation, error=type(error).__name__)
    return SourceError("onvif:malformed", f"the camera's answer to {operation} cannot be read")
