"""An RTSP camera by GStreamer's RTSP server, a process of the system's Python: gst_camera.py CONFIG.

CONFIG is a JSON object. ``clips`` are files of framed access units (``camera_clips``), played in a loop, the
first to begin with. Commands come on standard input: ``clip N``, ``pause``, ``resume``.
"""

import json
import math
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

Gst.init(None)
CONFIG = json.loads(sys.argv[1])
ENCODINGS = {"h264": ("video/x-h264", "rtph264pay"), "h265": ("video/x-h265", "rtph265pay")}


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Clip:
    def __init__(self, path):
        data = Path(path).read_bytes()
        head, _, body = data.partition(b"\n")
        described = json.loads(head)
        self.codec, self.rate = described["codec"], described["rate"]
        self.units, position = [], 0
        while position < len(body):
            size = int.from_bytes(body[position : position + 4], "big")
            order = int.from_bytes(body[position + 4 : position + 8], "big")
            self.units.append((order, body[position + 8 : position + 8 + size]))
            position += 8 + size


class Pusher:
    ended = False

    def end(self):
        """At its next turn: a timer that has ended itself must not be removed again."""
        self.ended = True


class Feed(Pusher):
    """Pushes one media's access units at their time."""

    def __init__(self, camera, source):
        self.camera, self.source, self.number, self.start = camera, source, 0, 0
        self.clip = camera.clip
        GLib.timeout_add(int(1000 / self.clip.rate), self.push)

    def push(self):
        if self.ended:
            return False
        if self.camera.paused:
            return True
        if self.clip is not self.camera.clip:
            self.start += self.number
            self.number, self.clip = 0, self.camera.clip
        units = self.clip.units
        rounds, at = divmod(self.number, len(units))
        order, data = units[at]
        tick = Gst.SECOND / self.clip.rate
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = int((self.start + rounds * len(units) + order + 3) * tick)
        buffer.dts = int((self.start + self.number) * tick)
        self.number += 1
        return self.source.emit("push-buffer", buffer) == Gst.FlowReturn.OK


def sound_rate():
    return 48000 if CONFIG.get("audio") == "opus" else 8000


class Tone(Pusher):
    """Pushes 1 kHz, 20 ms at a time."""

    def __init__(self, source):
        self.source, self.number = source, 0
        rate = sound_rate()
        samples = (round(8000 * math.sin(2 * math.pi * 1000 * at / rate)) for at in range(rate // 50))
        self.data = b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)
        GLib.timeout_add(20, self.push)

    def push(self):
        if self.ended:
            return False
        buffer = Gst.Buffer.new_wrapped(self.data)
        buffer.pts = self.number * 20 * Gst.MSECOND
        buffer.duration = 20 * Gst.MSECOND
        self.number += 1
        return self.source.emit("push-buffer", buffer) == Gst.FlowReturn.OK


class Camera:
    def __init__(self):
        self.clips = [Clip(path) for path in CONFIG["clips"]]
        self.clip, self.paused = self.clips[0], False
        self.feeds = []
        self.server = GstRtspServer.RTSPServer()
        self.server.set_address("127.0.0.1")
        self.server.set_service(str(CONFIG.get("port", 0)))
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_shared(True)
        factory.set_launch(self.launch())
        if transport := CONFIG.get("only"):
            flags = GstRtsp.RTSPLowerTrans
            factory.set_protocols(flags.TCP if transport == "tcp" else flags.UDP)
        factory.connect("media-configure", self.configure)
        if CONFIG.get("password") or CONFIG.get("certificate"):
            self.protect(factory)
        self.server.get_mount_points().add_factory("/cam", factory)
        self.server.attach(None)
        say(self.server.get_bound_port())
        GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_IN | GLib.IO_HUP, self.command)

    def launch(self):
        caps, payloader = ENCODINGS[self.clip.codec]
        caps += ",stream-format=byte-stream,alignment=au"
        loss = CONFIG.get("loss", 0)
        pay = f"{payloader} pt=96 mtu={CONFIG.get('mtu', 1200)} config-interval=0 name="
        tail = f"{pay}pay ! identity drop-probability={loss} name=pay0" if loss else f"{pay}pay0"
        parts = [f"appsrc name=video is-live=true format=time caps={caps} ! {tail}"]
        if audio := CONFIG.get("audio"):
            chains = {
                "pcmu": "mulawenc ! rtppcmupay",
                "pcma": "alawenc ! rtppcmapay",
                "opus": "opusenc ! rtpopuspay pt=97",
            }
            caps = f"audio/x-raw,format=S16LE,layout=interleaved,rate={sound_rate()},channels=1"
            # Not audiotestsrc: with it the server takes the whole for something to seek in, and fails.
            parts.append(
                f"appsrc name=sound is-live=true format=time caps={caps} ! {chains[audio]} name=pay1"
            )
        return "( " + " ".join(parts) + " )"

    def protect(self, factory):
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        if CONFIG.get("password"):
            if CONFIG.get("basic"):
                auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
                basic = GstRtspServer.RTSPAuth.make_basic(CONFIG["username"], CONFIG["password"])
                auth.add_basic(basic, token)
            else:
                auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
                auth.add_digest(CONFIG["username"], CONFIG["password"], token)
        else:
            auth.set_default_token(token)
        if CONFIG.get("certificate"):
            auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(CONFIG["certificate"]))
        self.server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("user", "media.factory.access", True)
        permissions.add_permission_for_role("user", "media.factory.construct", True)
        factory.set_permissions(permissions)

    def configure(self, _factory, media):
        element = media.get_element()
        feeds = [Feed(self, element.get_by_name_recurse_up("video"))]
        if CONFIG.get("audio"):
            feeds.append(Tone(element.get_by_name_recurse_up("sound")))
        self.feeds += feeds
        media.connect("unprepared", lambda _media: [feed.end() for feed in feeds])

    def command(self, _descriptor, condition):
        line = sys.stdin.readline() if condition & GLib.IO_IN else ""
        if not line:
            sys.exit(0)
        name, _, value = line.strip().partition(" ")
        if name == "clip":
            self.clip = self.clips[int(value)]
        else:
            self.paused = name == "pause"
        say(name)
        return True


camera = Camera()
GLib.MainLoop().run()
