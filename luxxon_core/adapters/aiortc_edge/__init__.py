"""The embedded media edge: WHIP in, WHEP out, RTP packets forwarded without being decoded.

``edge.AiortcEdge`` implements ``luxxon_core.media.ports.Edge``. One UDP socket serves every peer of the
process. Read from the wire upwards: ``stun``, ``rtp``, ``transport_cc``, ``payload`` and ``sdp`` are pure;
``private`` holds every undocumented name of aiortc and pylibsrtp; ``udp``, ``batch`` and ``mux`` move
datagrams; ``peer``, ``publisher`` and ``viewer`` are the remote parties; ``inbound`` repairs loss,
``stream`` fans out, ``snapshot`` and ``decoder`` keep a JPEG, ``faults`` looks at it; ``channel`` is one
live input; ``routes`` speaks HTTP.

The same edge in a process of its own: ``shard`` is that process, ``shard_edge`` the port at the server's
end, ``shard_process`` one run of it, ``shard_wire`` what they say to each other, ``redirect`` the server's
own door; ``doors`` has the digests of secrets that both know.
"""
