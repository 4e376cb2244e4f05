"""Following what happens: one reader of the log in each process, and a queue for each follower.

Nothing is lost and nothing told twice, because a follower is entered before the log is read for it: what the
reader finds from then on waits in its queue, and what both have is told by position once.
"""

from __future__ import annotations

from luxxon_core.events.usecases.feed import Feed, Follower
from luxxon_core.events.usecases.streams import Purge, Streams, TellMedia

__all__ = ["Feed", "Follower", "Purge", "Streams", "TellMedia"]
