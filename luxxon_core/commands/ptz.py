"""``luxxon sessions ptz``: the camera of a LIVE session, moved from a script."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from luxxon_core.commands.calling import json_option, url_option, with_key, work

if TYPE_CHECKING:
    from uuid import UUID

    from luxxon_core.controls.schemas import Order, PtzAnswer
    from luxxon_core.settings import ClientSettings

COMMANDS = (
    "continuous_move",
    "relative_move",
    "absolute_move",
    "stop",
    "goto_preset",
    "goto_home",
    "get_presets",
    "get_status",
    "set_preset",
    "set_zoom",
    "set_pitch_yaw",
)


class Number(click.ParamType):  # type: ignore[type-arg]
    """A number that is one: not NaN, not infinite."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


@click.command()
@click.argument("session_id", type=click.UUID)
@click.argument("command", type=click.Choice(COMMANDS), metavar="COMMAND")
@click.option("--pan", type=Number(), help="Moves: -1 left to 1 right.")
@click.option("--tilt", type=Number(), help="Moves: -1 down to 1 up.")
@click.option("--zoom", type=Number(), help="Moves: -1 to 1; absolute_move: 0 wide to 1 tele.")
@click.option("--timeout", type=Number(), help="Moves that go on: they stop after so many seconds.")
@click.option("--token", help="goto_preset: of get_presets; set_preset: in place of that one.")
@click.option("--name", help="set_preset: what it is called.")
@click.option(
    "--kind", type=click.Choice(["STEP", "CONTINUOUS", "RANGE", "FOCAL_LENGTH"]), help="Of set_zoom."
)
@click.option("--value", type=Number(), help="set_zoom: steps, -1 to 1, percent or millimetres.")
@click.option("--pitch", type=Number(), help="set_pitch_yaw: degrees, negative looks down.")
@click.option("--yaw", type=Number(), help="set_pitch_yaw: degrees.")
@click.option("--frame", type=click.Choice(["VEHICLE", "EARTH"]), help="set_pitch_yaw: what yaw is of.")
@json_option
@url_option
def ptz(session_id: UUID, command: str, as_json: bool, url: str | None, **given: float | str | None) -> None:
    """Move the camera of SESSION_ID, which is LIVE, where its operator lets you.

    COMMAND is continuous_move, relative_move, absolute_move, stop, goto_home, goto_preset, get_presets,
    get_status, set_zoom or set_pitch_yaw; set_preset for the operator alone. It is sent once. Exits with 1
    where a newer command came before it.
    """

    async def todo(settings: ClientSettings) -> int:
        from luxxon_core.kernel.wire import encode

        order = _order(command, {name: value for name, value in given.items() if value is not None})
        async with with_key(settings) as api:
            answer = await api.sessions.ptz(session_id, order)
        click.echo(encode(answer) if as_json else _told(command, answer))
        return 0 if answer.executed else 1

    work(url, todo)


def _order(command: str, fields: dict[str, float | str]) -> Order:
    """The order, checked before anything is sent."""
    from typing import get_args

    import msgspec

    from luxxon_core.controls import schemas

    kinds = {str(kind.__struct_config__.tag): kind for kind in get_args(schemas.Order)}
    for name in fields:
        if name not in kinds[command].__struct_fields__:
            raise click.UsageError(f"--{name} does not go with {command}")
    try:
        order: Order = msgspec.convert({"command": command, **fields}, schemas.Order)
    except msgspec.ValidationError as error:
        raise click.UsageError(f"{command}: {error}") from None
    return order


def _told(command: str, answer: PtzAnswer) -> str:
    from luxxon_core.commands.table import facts, table
    from luxxon_core.kernel.text import plain

    if not answer.executed:
        return f"{command}: a newer command came before it"
    if answer.presets is not None:
        return table(("TOKEN", "NAME"), [(one.token, one.name) for one in answer.presets])
    if answer.status is not None:
        lines = [("moves", "yes" if answer.status.moving else "no")]
        if (at := answer.status.position) is not None:
            lines += [("pan", f"{at.pan:g}"), ("tilt", f"{at.tilt:g}"), ("zoom", f"{at.zoom:g}")]
        return facts(*lines)
    if answer.token is not None:
        return plain(answer.token)
    return f"{command}: done in {answer.latency_ms:.0f} ms"
