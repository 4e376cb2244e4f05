"""Media edges as the rest of the marketplace deals with them."""

from luxxon_core.media.usecases.edges import Edges
from luxxon_core.media.usecases.watched import Watched

__all__ = ["Edges", "Watched"]
