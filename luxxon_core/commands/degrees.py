"""Coordinates on the command line."""

from __future__ import annotations

import math
from typing import Any

import click


class Degrees(click.FloatRange):
    """A coordinate; NaN, which compares false with every bound, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not a number of degrees.", param, ctx)
        return number
