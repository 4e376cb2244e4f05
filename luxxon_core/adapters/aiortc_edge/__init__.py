"""The embedded media edge: WHIP in, WHEP out, RTP packets forwarded without being decoded.

``edge.AiortcEdge`` implements ``luxxon_core.media.ports.Edge``. One UDP socket serves every peer of the
process. Read from the wire upwards: ``stun``, ``rtp``, ``payload`` and ``sdp`` are pure; ``private`` holds
every undocumented name of aiortc and pylibsrtp; ``udp``, ``batch`` and ``mux`` move datagrams; ``peer``,
``publisher`` and ``viewer`` are the remote parties; ``inbound`` repairs loss, ``stream`` fans out,
``snapshot`` and ``decoder`` keep a JPEG; ``channel`` is one live input; ``routes`` speaks HTTP.
"""
