"""Everything that happens to a session, each in one transaction.

A transition locks the row, asks the domain, and compares and swaps: of two racing writers one wins and the
other sees the state the winner left. Edges are told after the commit; the sweep repeats what a crash lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from luxxon_core.sessions.usecases.consumer import Requests
from luxxon_core.sessions.usecases.operator import Assignments
from luxxon_core.sessions.usecases.steps import Policy
from luxxon_core.sessions.usecases.system import Lifecycle
from luxxon_core.sessions.usecases.units import Keep, Units

__all__ = ["Keep", "Policy", "SessionCases"]


@dataclass(frozen=True, slots=True)
class SessionCases(Requests, Assignments, Lifecycle, Units):
    """One method for each thing that can happen to a session."""
