"""An ONVIF camera with pan, tilt and zoom: real SOAP envelopes on 127.0.0.1, WS-Security, and its vices."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

from aiohttp import web

SOAP = "{http://www.w3.org/2003/05/soap-envelope}"
SCHEMA = "{http://www.onvif.org/ver10/schema}"
SECURITY = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd}"
UTILITY = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"
SPACES = "http://www.onvif.org/ver10/tptz"
GENERIC = {
    "AbsolutePanTiltPositionSpace": "PanTiltSpaces/PositionGenericSpace",
    "AbsoluteZoomPositionSpace": "ZoomSpaces/PositionGenericSpace",
    "RelativePanTiltTranslationSpace": "PanTiltSpaces/TranslationGenericSpace",
    "RelativeZoomTranslationSpace": "ZoomSpaces/TranslationGenericSpace",
    "ContinuousPanTiltVelocitySpace": "PanTiltSpaces/VelocityGenericSpace",
    "ContinuousZoomVelocitySpace": "ZoomSpaces/VelocityGenericSpace",
}
ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:trt="http://www.onvif.org/ver10/media/wsdl" '
    'xmlns:tptz="http://www.onvif.org/ver20/ptz/wsdl" xmlns:tt="http://www.onvif.org/ver10/schema" '
    'xmlns:ter="http://www.onvif.org/ver10/error"><s:Body>{}</s:Body></s:Envelope>'
)
FREE = ("GetSystemDateAndTime",)
"""What is answered without credentials (ONVIF Core, access class PRE_AUTH)."""


@dataclass(frozen=True)
class Command:
    operation: str
    at: float
    """Monotonic seconds."""
    values: dict[str, str]
    """``PanTilt.x``, ``Zoom.x``, ``Timeout``, ``PresetToken`` …"""


@dataclass
class OnvifCamera:
    username: str = "admin"
    password: str = "s3cret"
    stream_uri: str = "rtsp://127.0.0.1:1/cam"
    skew: timedelta = timedelta()
    """Its clock less the real one."""
    has_ptz: bool = True
    spaces: tuple[str, ...] = tuple(GENERIC)
    pan_range: tuple[float, float] = (-1, 1)
    faults: dict[str, str] = field(default_factory=dict)
    """Operation to a ter: subcode that it is answered with."""
    answers: dict[str, str] = field(default_factory=dict)
    """Operation to a body that is sent instead, however broken."""
    advertised_host: str = ""
    ignores_timeouts: bool = False
    deaf: set[str] = field(default_factory=set)
    """Operations that are never answered."""
    commands: list[Command] = field(default_factory=list)
    refused: int = 0
    port: int = 0
    synchronization_points: int = 0
    presets: dict[str, str] = field(default_factory=lambda: {"1": "Door", "2": "Gate"})
    position: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.25])
    """Pan, tilt in ``pan_range`` if it is not the generic one, and zoom."""
    _velocity: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    _moved_at: float = 0.0
    _moving_until: float = 0.0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def moving(self) -> bool:
        return time.monotonic() < self._moving_until

    def of(self, operation: str) -> list[Command]:
        return [one for one in self.commands if one.operation == operation]

    async def received(self, operation: str, count: int = 1, seconds: float = 10.0) -> Command:
        """The ``count``-th command of that kind, as soon as it is there."""
        async with asyncio.timeout(seconds):
            while len(self.of(operation)) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.of(operation)[count - 1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[OnvifCamera]:
        app = web.Application()
        app.router.add_post("/onvif/{service}", self._post)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        root = ElementTree.fromstring(await request.read())
        body = root.find(f"{SOAP}Body")
        assert body is not None
        operation = body[0].tag.partition("}")[2]
        if operation in self.deaf:
            await asyncio.sleep(3600)
        if operation not in FREE and not self._authentic(root):
            self.refused += 1
            return self._fault("NotAuthorized", "Sender not Authorized")
        if operation in self.faults:
            return self._fault(self.faults[operation], f"{operation} failed")
        self._note(operation, body[0])
        if operation == "GotoPreset" and body[0].findtext("{*}PresetToken") not in self.presets:
            return self._fault("NoToken", "The requested preset token does not exist.")
        if operation in self.answers:
            return web.Response(text=self.answers[operation], content_type="application/soap+xml")
        answer = getattr(self, f"_{operation}", None)
        if answer is None:
            return self._fault("ActionNotSupported", "Optional Action Not Implemented")
        return web.Response(text=ENVELOPE.format(answer(body[0])), content_type="application/soap+xml")

    def _note(self, operation: str, element: ElementTree.Element) -> None:
        values = {}
        for one in element.iter():
            name = one.tag.partition("}")[2]
            if one.text and one.text.strip():
                values[name] = one.text.strip()
            values |= {f"{name}.{key}": value for key, value in one.attrib.items()}
        self.commands.append(Command(operation, time.monotonic(), values))
        self._arrived.set()

    def _authentic(self, root: ElementTree.Element) -> bool:
        token = root.find(f".//{SECURITY}UsernameToken")
        if token is None:
            return not self.username
        created = token.findtext(f"{UTILITY}Created", "")
        at = datetime.fromisoformat(created.replace("Z", "+00:00"))
        if abs(at.replace(tzinfo=UTC) - datetime.now(UTC) - self.skew) > timedelta(seconds=10):
            return False
        nonce = base64.b64decode(token.findtext(f"{SECURITY}Nonce", ""))
        digest = hashlib.sha1(nonce + created.encode() + self.password.encode()).digest()
        return (
            token.findtext(f"{SECURITY}Username") == self.username
            and token.findtext(f"{SECURITY}Password") == base64.b64encode(digest).decode()
        )

    @staticmethod
    def _fault(subcode: str, reason: str) -> web.Response:
        body = (
            f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:{subcode}</s:Value>"
            f'</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">{reason}</s:Text></s:Reason></s:Fault>'
        )
        status = 400 if subcode == "NotAuthorized" else 500
        return web.Response(status=status, text=ENVELOPE.format(body), content_type="application/soap+xml")

    # -- device and media --------------------------------------------------------------------------------

    def _GetSystemDateAndTime(self, _: ElementTree.Element) -> str:
        now = datetime.now(UTC) + self.skew
        return (
            "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>"
            "<tt:DaylightSavings>false</tt:DaylightSavings><tt:UTCDateTime>"
            f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute>"
            f"<tt:Second>{now.second}</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year>"
            f"<tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date></tt:UTCDateTime>"
            "</tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
        )

    def _GetServices(self, _: ElementTree.Element) -> str:
        host = self.advertised_host or self.address
        namespaces = {
            "device_service": "http://www.onvif.org/ver10/device/wsdl",
            "media": "http://www.onvif.org/ver10/media/wsdl",
            "ptz": "http://www.onvif.org/ver20/ptz/wsdl",
        }
        services = "".join(
            f"<tds:Service><tds:Namespace>{namespace}</tds:Namespace>"
            f"<tds:XAddr>http://{host}/onvif/{path}</tds:XAddr>"
            "<tds:Version><tt:Major>2</tt:Major><tt:Minor>6</tt:Minor></tds:Version></tds:Service>"
            for path, namespace in namespaces.items()
        )
        return f"<tds:GetServicesResponse>{services}</tds:GetServicesResponse>"

    def _GetCapabilities(self, _: ElementTree.Element) -> str:
        return (
            "<tds:GetCapabilitiesResponse><tds:Capabilities>"
            f"<tt:Media><tt:XAddr>http://{self.address}/onvif/media</tt:XAddr><tt:StreamingCapabilities/></tt:Media>"
            f"<tt:PTZ><tt:XAddr>http://{self.address}/onvif/ptz</tt:XAddr></tt:PTZ>"
            "</tds:Capabilities></tds:GetCapabilitiesResponse>"
        )

    def _GetDeviceInformation(self, _: ElementTree.Element) -> str:
        return (
            "<tds:GetDeviceInformationResponse><tds:Manufacturer>Luxxon Works</tds:Manufacturer>"
            "<tds:Model>Dome 3</tds:Model><tds:FirmwareVersion>1.2.3</tds:FirmwareVersion>"
            "<tds:SerialNumber>0042</tds:SerialNumber><tds:HardwareId>7</tds:HardwareId>"
            "</tds:GetDeviceInformationResponse>"
        )

    def _GetProfiles(self, _: ElementTree.Element) -> str:
        ptz = (
            '<tt:PTZConfiguration token="ptz"><tt:Name>PTZ</tt:Name><tt:UseCount>1</tt:UseCount>'
            "<tt:NodeToken>node</tt:NodeToken></tt:PTZConfiguration>"
            if self.has_ptz
            else ""
        )

        def profile(token: str, encoding: str) -> str:
            return (
                f'<trt:Profiles token="{token}" fixed="true"><tt:Name>{token}</tt:Name>'
                '<tt:VideoSourceConfiguration token="vs"><tt:Name>vs</tt:Name><tt:UseCount>1</tt:UseCount>'
                '<tt:SourceToken>0</tt:SourceToken><tt:Bounds x="0" y="0" width="320" height="192"/>'
                '</tt:VideoSourceConfiguration><tt:VideoEncoderConfiguration token="ve"><tt:Name>ve</tt:Name>'
                f"<tt:UseCount>1</tt:UseCount><tt:Encoding>{encoding}</tt:Encoding><tt:Resolution>"
                "<tt:Width>320</tt:Width><tt:Height>192</tt:Height></tt:Resolution><tt:Quality>5</tt:Quality>"
                f"</tt:VideoEncoderConfiguration>{ptz}</trt:Profiles>"
            )

        profiles = profile("snapshots", "JPEG") + profile("live", "H264")
        return f"<trt:GetProfilesResponse>{profiles}</trt:GetProfilesResponse>"

    def _GetStreamUri(self, _: ElementTree.Element) -> str:
        return (
            f"<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>{self.stream_uri}</tt:Uri>"
            "<tt:InvalidAfterConnect>false</tt:InvalidAfterConnect><tt:InvalidAfterReboot>false"
            "</tt:InvalidAfterReboot><tt:Timeout>PT0S</tt:Timeout></trt:MediaUri></trt:GetStreamUriResponse>"
        )

    def _SetSynchronizationPoint(self, _: ElementTree.Element) -> str:
        self.synchronization_points += 1
        return "<trt:SetSynchronizationPointResponse/>"

    # -- PTZ ---------------------------------------------------------------------------------------------

    def _GetNode(self, _: ElementTree.Element) -> str:
        low, high = self.pan_range
        spaces = ""
        for name in self.spaces:
            bounds = (0, 1) if name == "AbsoluteZoomPositionSpace" else (-1, 1)
            bounds = (low, high) if name == "AbsolutePanTiltPositionSpace" else bounds
            limits = f"<tt:Min>{bounds[0]}</tt:Min><tt:Max>{bounds[1]}</tt:Max>"
            along = f"<tt:YRange>{limits}</tt:YRange>" if "PanTilt" in name else ""
            spaces += (
                f"<tt:{name}><tt:URI>{SPACES}/{GENERIC[name]}</tt:URI><tt:XRange>{limits}</tt:XRange>"
                f"{along}</tt:{name}>"
            )
        return (
            '<tptz:GetNodeResponse><tptz:PTZNode token="node"><tt:Name>node</tt:Name><tt:SupportedPTZSpaces>'
            f"{spaces}</tt:SupportedPTZSpaces><tt:MaximumNumberOfPresets>8</tt:MaximumNumberOfPresets>"
            "<tt:HomeSupported>true</tt:HomeSupported></tptz:PTZNode></tptz:GetNodeResponse>"
        )

    def _GetConfigurationOptions(self, _: ElementTree.Element) -> str:
        return (
            "<tptz:GetConfigurationOptionsResponse><tptz:PTZConfigurationOptions><tt:Spaces/><tt:PTZTimeout>"
            "<tt:Min>PT1S</tt:Min><tt:Max>PT60S</tt:Max></tt:PTZTimeout></tptz:PTZConfigurationOptions>"
            "</tptz:GetConfigurationOptionsResponse>"
        )

    def _now_at(self) -> list[float]:
        """Where it is: it moves through a tenth of its range a second."""
        until = min(time.monotonic(), self._moving_until)
        for axis, (low, high) in enumerate((self.pan_range, self.pan_range, (0, 1))):
            gone = self._velocity[axis] * max(0.0, until - self._moved_at) * (high - low) / 10
            self.position[axis] = min(high, max(low, self.position[axis] + gone))
        self._moved_at = max(self._moved_at, until)
        return self.position

    @staticmethod
    def _vector(element: ElementTree.Element | None) -> list[float | None]:
        if element is None:
            return [None, None, None]
        pan_tilt, zoom = element.find("{*}PanTilt"), element.find("{*}Zoom")
        pan, tilt = (pan_tilt.get("x"), pan_tilt.get("y")) if pan_tilt is not None else (None, None)
        near = zoom.get("x") if zoom is not None else None
        return [None if text is None else float(text) for text in (pan, tilt, near)]

    def _goto(self, position: list[float | None]) -> None:
        self._now_at()
        self._moving_until = 0.0
        self.position = [
            before if to is None else to for before, to in zip(self.position, position, strict=True)
        ]

    def _ContinuousMove(self, element: ElementTree.Element) -> str:
        timeout = re.search(r"PT([\d.]+)S", element.findtext("{*}Timeout", "") or "")
        lasts = float(timeout[1]) if timeout and not self.ignores_timeouts else 3600.0
        self._now_at()
        self._velocity = [part or 0.0 for part in self._vector(element.find("{*}Velocity"))]
        self._moved_at = time.monotonic()
        self._moving_until = self._moved_at + lasts
        return "<tptz:ContinuousMoveResponse/>"

    def _Stop(self, _: ElementTree.Element) -> str:
        self._now_at()
        self._moving_until = 0.0
        return "<tptz:StopResponse/>"

    def _RelativeMove(self, element: ElementTree.Element) -> str:
        steps = [part or 0.0 for part in self._vector(element.find("{*}Translation"))]
        self._goto([at + step for at, step in zip(self._now_at(), steps, strict=True)])
        return "<tptz:RelativeMoveResponse/>"

    def _AbsoluteMove(self, element: ElementTree.Element) -> str:
        self._goto(self._vector(element.find("{*}Position")))
        return "<tptz:AbsoluteMoveResponse/>"

    def _GotoHomePosition(self, _: ElementTree.Element) -> str:
        self._goto([sum(self.pan_range) / 2] * 2 + [0.0])
        return "<tptz:GotoHomePositionResponse/>"

    def _GetStatus(self, _: ElementTree.Element) -> str:
        state = "MOVING" if self.moving else "IDLE"
        pan, tilt, zoom = self._now_at()
        return (
            f'<tptz:GetStatusResponse><tptz:PTZStatus><tt:Position><tt:PanTilt x="{pan}" y="{tilt}"/>'
            f'<tt:Zoom x="{zoom}"/></tt:Position><tt:MoveStatus><tt:PanTilt>{state}</tt:PanTilt>'
            "<tt:Zoom>IDLE</tt:Zoom></tt:MoveStatus><tt:UtcTime>2026-01-01T00:00:00Z</tt:UtcTime>"
            "</tptz:PTZStatus></tptz:GetStatusResponse>"
        )

    def _GetPresets(self, _: ElementTree.Element) -> str:
        presets = "".join(
            f'<tptz:Preset token="{token}"><tt:Name>{name}</tt:Name></tptz:Preset>'
            for token, name in self.presets.items()
        )
        return f"<tptz:GetPresetsResponse>{presets}</tptz:GetPresetsResponse>"

    def _SetPreset(self, element: ElementTree.Element) -> str:
        token = element.findtext("{*}PresetToken") or str(len(self.presets) + 1)
        self.presets[token] = element.findtext("{*}PresetName") or token
        return (
            f"<tptz:SetPresetResponse><tptz:PresetToken>{token}</tptz:PresetToken></tptz:SetPresetResponse>"
        )

    def _GotoPreset(self, _: ElementTree.Element) -> str:
        return "<tptz:GotoPresetResponse/>"

    def _GetPresetTours(self, _: ElementTree.Element) -> str:
        return (
            '<tptz:GetPresetToursResponse><tptz:PresetTour token="t1"><tt:Name>Round</tt:Name><tt:Status>'
            "<tt:State>Idle</tt:State></tt:Status><tt:AutoStart>false</tt:AutoStart><tt:StartingCondition/>"
            "</tptz:PresetTour></tptz:GetPresetToursResponse>"
        )

    def _OperatePresetTour(self, _: ElementTree.Element) -> str:
        return "<tptz:OperatePresetTourResponse/>"
