"""Publish a file by FFmpeg's ``whip`` muxer, packets as they are, in real time and for ever.

``python ffmpeg_publisher.py FILE WHIP_URL CERTIFICATE KEY [FLAGS]``. A program of its own: the muxer speaks
HTTP while it holds the interpreter, and would never be answered by a server in the same process.
"""

from __future__ import annotations

import sys
import time

import av

PAUSE = 0.05
"""Seconds between two rounds: sound begins a little before zero."""


def publish(file: str, url: str, certificate: str, key: str, flags: str = "0") -> None:
    """The muxer needs a certificate: what GnuTLS makes for it is of the curve P-224, which OpenSSL 4 has
    dropped from TLS."""
    options = {"cert_file": certificate, "key_file": key, "whip_flags": flags}
    with av.open(url, "w", format="whip", options=options) as out:
        with av.open(file) as source:
            streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        began, offset = time.monotonic(), 0.0
        while True:
            end = offset
            with av.open(file) as source:
                for packet in source.demux():
                    if packet.dts is None or packet.time_base is None or packet.pts is None:
                        continue
                    shift = round(offset / packet.time_base)
                    end = max(end, offset + float((packet.dts + (packet.duration or 0)) * packet.time_base))
                    packet.dts, packet.pts = packet.dts + shift, packet.pts + shift
                    time.sleep(max(0.0, began + float(packet.dts * packet.time_base) - time.monotonic()))
                    packet.stream = streams[packet.stream_index]
                    out.mux(packet)
            offset = end + PAUSE


if __name__ == "__main__":
    publish(*sys.argv[1:])
