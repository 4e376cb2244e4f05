"""What the console knows, in one place: cells that the event stream fills and screens watch."""

from luxxon_tui.store.cells import Cell, Unwatch
from luxxon_tui.store.state import Happening, Readiness, Side, Store, Who

__all__ = ["Cell", "Happening", "Readiness", "Side", "Store", "Unwatch", "Who"]
