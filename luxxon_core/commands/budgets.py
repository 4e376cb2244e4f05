"""Budgets of API keys on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luxxon_core.access.schemas import ApiKey, KeyArea

HEAD = ("TODAY", "A DAY", "A SESSION", "AREAS")
ANY = "any"


class Cap(click.ParamType):  # type: ignore[type-arg]
    """An amount of USDC with up to six decimals, 0 too, as µUSDC."""

    name = "usdc"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from luxxon_core.kernel.money import parse_usdc

        try:
            return value if isinstance(value, int) else parse_usdc(str(value))
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


class Area(click.ParamType):  # type: ignore[type-arg]
    """``LAT,LNG,RADIUS``, the radius with ``m`` or ``km``, and ``,NAME`` where it has one."""

    name = "lat,lng,radius[,name]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> KeyArea:
        from luxxon_core.access.schemas import KeyArea

        try:
            return value if isinstance(value, KeyArea) else KeyArea.parse(str(value))
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


def columns(key: ApiKey) -> tuple[str, ...]:
    """What the key has spent today and may spend, below :data:`HEAD`."""
    from luxxon_core.kernel.money import short_usdc

    budget = key.limits
    if budget is None:
        return ("–", ANY, ANY, ANY)
    daily, one = budget.daily_cap_micro_usdc, budget.session_cap_micro_usdc
    return (
        short_usdc(int(budget.spent_today_micro_usdc)),
        ANY if daily is None else short_usdc(int(daily)),
        ANY if one is None else short_usdc(int(one)),
        " ".join(map(_described, budget.areas)) or ANY,
    )


def _described(area: KeyArea) -> str:
    return area.name or str(area)


def limited(keys: Iterable[ApiKey]) -> bool:
    """Whether any of them has a budget."""
    return any(key.limits is not None for key in keys)
