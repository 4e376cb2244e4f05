"""A media edge on loopback, and waiting for things to become true."""

from tests.running_edge import edge, until

__all__ = ["edge", "until"]
