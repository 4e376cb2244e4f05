"""Video that comes by RTP: packets in order, whole pictures only, what they are. Without I/O.

:class:`~luxxon_core.rtp.receiver.Receiver` orders the packets of a track and marks losses; of them
:class:`~luxxon_core.rtp.depacketize.Depacketizer` makes access units and leaves out what a loss has spoilt;
:class:`~luxxon_core.rtp.nal.ParameterSets` makes these fit to send; :func:`~luxxon_core.rtp.stream.inspect`
says whether WebRTC viewers can play them. For plugin authors as for ourselves.
"""
