"""Real parts that a machine may lack."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(service: str, install: str) -> NoReturn:
    """Skip a test whose real part is not installed, telling how to get it; in CI that is a failure."""
    reason = f"service missing: {service}; install it with: {install}"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
