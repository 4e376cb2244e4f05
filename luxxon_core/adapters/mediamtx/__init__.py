"""MediaMTX as a media edge: its control API v3, its WHIP and WHEP paths; all of it in ``edge.MediaMtx``.

MediaMTX tells a publisher from a reader of a path by credentials, which WHIP and WHEP URLs have no place for.
A live input is therefore two paths, each named by a secret of its own: one that a publisher sends to, and one
whose source is the first, fetched by RTSP when somebody watches. A path with a source takes no publisher, and
its name tells nothing of the other's.
"""
