"""Cloudflare Stream as a media edge: its live inputs API; all of it in ``edge.CloudflareStream``.

What becomes of a live input is told by notifications (``POST /video/events/:token``, api-contract §15.5), by
our own viewer, and, where neither comes, by the status that Cloudflare gives when it is asked.
"""
