"""Observable values, for one event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

Unwatch = Callable[[], None]
"""Ends a watch. Idempotent."""


class Cell(Generic[T]):
    """A value that tells those who watch it when another takes its place. Values are never changed in place.

    Not for use from threads.
    """

    __slots__ = ("_value", "_watchers")

    def __init__(self, value: T) -> None:
        self._value = value
        self._watchers: dict[object, Callable[[], None]] = {}

    @property
    def value(self) -> T:
        return self._value

    def set(self, value: T) -> None:
        """Take a value; an equal one tells nobody."""
        if value == self._value:
            self._value = value
            return
        self.change(value)

    def change(self, value: T) -> None:
        """Take a value that is known to be another: large ones take long to compare."""
        self._value = value
        for told in tuple(self._watchers.values()):
            told()

    def watch(self, told: Callable[[], None]) -> Unwatch:
        """Call ``told`` after each change, before :meth:`set` returns: it notes that there is something to
        draw and draws later."""
        key = object()
        self._watchers[key] = told

        def unwatch() -> None:
            self._watchers.pop(key, None)

        return unwatch

    def __repr__(self) -> str:
        return f"Cell({type(self._value).__name__})"  # some values hold secrets
