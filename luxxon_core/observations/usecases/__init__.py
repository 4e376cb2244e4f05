"""Ask for one frame, wait for it, and fetch it; and what is done about it meanwhile."""

from __future__ import annotations

from luxxon_core.observations.usecases.observations import Observations, Policy

__all__ = ["Observations", "Policy"]
