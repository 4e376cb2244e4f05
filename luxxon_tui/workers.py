"""Work beside a screen that leaves nothing behind when it is cancelled before it has begun."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from textual.app import App
from textual.worker import Worker
from textual.worker_manager import WorkerManager


class Workers(WorkerManager):
    """Textual's, and what they were given is closed with them.

    A screen that goes away, or a later call of the same group, cancels a worker whose first step was not yet
    taken; Python would then tell of a coroutine that nobody awaited.
    """

    def __init__(self, app: App[Any]) -> None:
        super().__init__(app)
        self._awaited: dict[Worker[Any], Coroutine[Any, Any, object]] = {}

    def close_with(self, worker: Worker[Any], work: Coroutine[Any, Any, object]) -> None:
        """Close ``work``, which the worker's own coroutine awaits, when the worker has ended."""
        self._awaited[worker] = work

    def _remove_worker(self, worker: Worker[Any]) -> None:
        super()._remove_worker(worker)
        for work in (worker._work, self._awaited.pop(worker, None)):
            if isinstance(work, Coroutine):
                work.close()
