"""``luxxon operate``: offers the cameras of this machine to the marketplace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import LocalWallet
    from luxxon_core.operator.camera import Camera
    from luxxon_core.operator.config import OperateTable
    from luxxon_core.operator.keys import Kept, KeyFile
    from luxxon_core.operator.left_out import LeftOut
    from luxxon_core.setting_tables import CameraTable
    from luxxon_core.settings import CameraSettings, ClientSettings
    from luxxon_core.source import SourceType

    Kind = tuple[SourceType[Any], BaseModel]

EPILOG = """
\b
Exit codes:
  0  stopped by a signal: every camera is offline
  1  a camera of a dry run cannot be opened
  2  wrong settings or arguments, of every camera; one of several is left out, and the others run
  3  the marketplace has refused every camera for good
A second signal ends it at once: a shell says 128 and the signal's number.

\b
Examples:
  luxxon operate testcard --lat 50.8466 --lng 4.3528 --radius 500
  luxxon operate --setup            workspaces and keys for the cameras of luxxon.toml
  luxxon operate                    all of them
"""
WRONG, REFUSED = 2, 3
OF_SOURCE = ("lat", "lng", "accuracy", "follow", "radius", "device_kind", "microphone")
OF_ACCEPT = ("min_rate", "max_distance", "max_seconds", "hours", "zone")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The command's arguments."""

    source: str | None
    setup: bool
    dry_run: bool
    cameras: tuple[str, ...]
    isolate: bool
    as_json: bool
    offer: Mapping[str, Any]
    """``operate`` of a camera that SOURCE is."""
    fields: Mapping[str, str]
    name: str | None
    url: str | None
    data_dir: Path | None
    environment: Literal["TEST", "LIVE"]
    isolated: bool


@dataclass(frozen=True)
class Plan:
    """A camera as it is configured."""

    name: str
    spec: str
    fields: Mapping[str, Any]
    table: OperateTable


@click.command(epilog=EPILOG)
@click.argument("source", required=False)
@click.option("--setup", is_flag=True, help="Make a workspace and a key for each camera, and end.")
@click.option("--dry-run", is_flag=True, help="Open the cameras, print what would be, and end.")
@click.option("--camera", "cameras", multiple=True, help="Only this camera of luxxon.toml; repeatable.")
@click.option("--isolate", is_flag=True, help="Each camera in a process of its own.")
@click.option("--json", "as_json", is_flag=True, help="Log one JSON object a line.")
@click.option("--lat", type=click.FloatRange(-90, 90), help="Of SOURCE, in degrees.")
@click.option("--lng", type=click.FloatRange(-180, 180))
@click.option("--accuracy", type=click.FloatRange(0, 100_000), help="Metres within which that holds.")
@click.option("--follow", is_flag=True, default=None, help="SOURCE tells where it is.")
@click.option("--radius", type=click.FloatRange(1, 50_000), help="Metres that are covered.  [default: 500]")
@click.option("--device-kind", type=click.Choice(["PHONE", "LAPTOP", "DRONE", "PTZ", "FIXED", "OTHER"]))
@click.option("--min-rate", type=click.IntRange(0), help="Least µUSDC a second that are accepted.")
@click.option("--max-distance", type=click.FloatRange(0, min_open=True), help="Most metres to the request.")
@click.option("--max-seconds", type=click.IntRange(1), help="Longest session that is accepted.")
@click.option("--hours", help="When SOURCE is online, such as 08:00-20:00.")
@click.option("--zone", help="Time zone of the hours.  [default: UTC]")
@click.option("--microphone", is_flag=True, default=None, help="Publish the sound of SOURCE, too.")
@click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="Of SOURCE; never a secret.")
@click.option("--name", help="Of SOURCE.  [default: its type]")
@click.option("--url", help="The server.  [default: LUXXON_URL, else http://127.0.0.1:3010]")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where keys are kept.")
@click.option("--environment", type=click.Choice(["TEST", "LIVE"]), default="TEST", help="Of new keys.")
@click.option("--isolated", is_flag=True, hidden=True)
@click.pass_context
def operate(context: click.Context, /, fields: tuple[str, ...], **given: Any) -> None:
    """Offer cameras to the marketplace, and publish when they are asked for.

    SOURCE is a type of camera, such as testcard or webcam:/dev/video0, with LUXXON_API_KEY as its key.
    Without it all cameras of luxxon.toml are offered, each with a key of its own: --setup makes them, signed
    for by the wallet of luxxon wallet.
    """
    from luxxon_core.runner import log_to_stderr
    from luxxon_core.settings import load_cameras, load_client

    level = (context.parent.params.get("log_level") if context.parent else None) or "info"
    log_to_stderr(level, "json" if given["as_json"] else None)
    wish = _wish(fields, given)
    passphrase = sys.stdin.readline().rstrip("\n") if wish.isolated else None
    settings = load_cameras(**({} if wish.data_dir is None else {"data_dir": wish.data_dir}))
    client = load_client(**({} if wish.url is None else {"url": wish.url}))
    _run(_work(context, wish, settings, client, passphrase))


def _wish(fields: Sequence[str], given: Mapping[str, Any]) -> Wish:
    named = dict(given)
    offer = {name: named.pop(name) for name in OF_SOURCE}
    accept = {name: named.pop(name) for name in OF_ACCEPT}
    renamed = {
        "accuracy": "accuracy_meters",
        "radius": "radius_meters",
        "min_rate": "min_rate_uusdc",
        "max_distance": "max_distance_meters",
    }
    told = {renamed.get(name, name): value for name, value in offer.items() if value is not None}
    rules = {renamed.get(name, name): value for name, value in accept.items() if value is not None}
    pairs = [pair.partition("=") for pair in fields]
    if bad := next((name for name, equals, _ in pairs if not equals), None):
        raise click.UsageError(f"--field {bad}: must be NAME=VALUE")
    if named["source"] is None and (told or rules or pairs or named["name"]):
        raise click.UsageError("options of SOURCE without a SOURCE; those of others are in luxxon.toml")
    if named["source"] is not None and named["cameras"]:
        raise click.UsageError("SOURCE, or cameras of luxxon.toml")
    if rules:
        told["accept"] = rules
    return Wish(offer=told, fields={name: value for name, _, value in pairs}, **named)


def _plans(wish: Wish, settings: CameraSettings, left: LeftOut) -> list[Plan]:
    """The cameras that are wanted, checked as far as that goes without opening them."""
    from luxxon_core.kernel.errors import StartError
    from luxxon_core.operator.config import operate_table

    if wish.source is not None:
        if "lat" not in wish.offer and "follow" not in wish.offer:
            raise StartError(message="where is the camera? --lat and --lng, or --follow")
        name = wish.name or wish.source.partition(":")[0]
        return [Plan(name, wish.source, wish.fields, operate_table(name, wish.offer))]
    if not settings.cameras:
        raise StartError(message="luxxon.toml has no [cameras.NAME]; see luxxon operate --help")
    unknown = next((name for name in wish.cameras if name not in settings.cameras), None)
    if unknown is not None:
        raise StartError(message=f"luxxon.toml has no camera {unknown}")

    def plan(name: str, one: CameraTable) -> Plan:
        return Plan(name, one.type, one.fields, operate_table(name, one.operate))

    wanted = {name: one for name, one in settings.cameras.items() if not wish.cameras or name in wish.cameras}
    return left.of((name, partial(plan, name, one)) for name, one in wanted.items())


async def _work(
    context: click.Context,
    wish: Wish,
    settings: CameraSettings,
    client: ClientSettings,
    passphrase: str | None,
) -> int:
    import stamina.instrumentation

    from luxxon_core.operator.keys import KeyFile

    stamina.instrumentation.set_on_retry_hooks(())  # the agent tells what fails, once
    keys, base_url = KeyFile(settings.data_dir), f"{client.url.rstrip('/')}/api/v1"
    from luxxon_core.operator.left_out import LeftOut

    left = LeftOut()
    plans = _plans(wish, settings, left)
    alone = len(plans) + len(left.errors) == 1
    # First what is wrong with the cameras; of luxxon.toml their secrets may be elsewhere at a setup.
    apart = wish.isolate and not wish.dry_run
    kinds: dict[str, Kind] = {}
    if not apart and (wish.source is not None or not wish.setup):
        kinds = dict(left.of(_kinds(settings, plans)))
        plans = [plan for plan in plans if plan.name in kinds]
    if wish.setup:
        left.tell(len(plans))
        wallet, _ = _wallet(client, passphrase, needed=True)
        assert wallet is not None
        return await _set_up(wish, plans, keys, base_url, wallet)
    kept = keys.read(base_url)
    connecting = partial(_connection, wish, alone=alone, kept=kept, client=client, base_url=base_url)
    connections = dict(left.of((plan.name, partial(connecting, plan)) for plan in plans))
    plans = [plan for plan in plans if plan.name in connections]
    left.tell(len(plans))
    wallet, words = (None, "") if wish.dry_run else _wallet(client, passphrase, needed=False)
    if apart:
        return await _isolated(context, wish, plans, words)
    cameras = _cameras(kinds, plans, connections, wallet)
    return await (_rehearse(wish, cameras, left) if wish.dry_run else _operate(wish, cameras))


# -- what it takes ----------------------------------------------------------------------------------------


def _connection(
    wish: Wish,
    plan: Plan,
    *,
    alone: bool,
    kept: Mapping[str, Kept],
    client: ClientSettings,
    base_url: str,
) -> tuple[str, Callable[[], Luxxon]]:
    """How a camera calls the marketplace; ``alone``: no other is wanted."""
    from luxxon_core.client import Luxxon
    from luxxon_core.kernel.errors import StartError
    from luxxon_core.settings import revealed

    key = revealed(plan.table.api_key)
    if key is None and alone:
        key = revealed(client.api_key)
    if key is None and plan.name in kept:
        key = kept[plan.name].api_key
    if key is None and not wish.dry_run:
        again = f"operate {wish.source} …" if wish.source else "operate"
        what = f"camera {plan.name} has no API key: luxxon {again} --setup makes one"
        raise StartError(message=f"{what}, or set LUXXON_API_KEY" if alone else what)
    return plan.name, lambda: Luxxon(base_url, api_key=key)


def _kinds(
    settings: CameraSettings, plans: Sequence[Plan]
) -> Iterable[tuple[str, Callable[[], tuple[str, Kind]]]]:
    """Of each camera what finds its type and its configuration."""
    from luxxon_core.plugins import load_plugins

    registry = load_plugins(settings=settings)

    def kind(plan: Plan) -> tuple[str, Kind]:
        return plan.name, registry.configure(plan.spec, plan.fields)

    return [(plan.name, partial(kind, plan)) for plan in plans]


def _cameras(
    kinds: Mapping[str, Kind],
    plans: Sequence[Plan],
    connections: Mapping[str, Callable[[], Luxxon]],
    wallet: LocalWallet | None,
) -> list[Camera]:
    from luxxon_core.operator.camera import Camera

    return [
        Camera(plan.name, *kinds[plan.name], plan.table, connections[plan.name], wallet) for plan in plans
    ]


def _wallet(
    client: ClientSettings, passphrase: str | None, *, needed: bool
) -> tuple[LocalWallet | None, str]:
    """The operator's wallet and what opened it; None where nobody can open one and none is ``needed``."""
    import platformdirs

    from luxxon_core.client.keystore import address_in, read
    from luxxon_core.kernel.errors import InvalidInput, StartError
    from luxxon_core.passphrases import ask
    from luxxon_core.settings import revealed

    path = client.wallet or platformdirs.user_config_path("luxxon", appauthor=False) / "wallet.json"
    try:
        address_in(path)
    except InvalidInput:
        if needed or client.wallet is not None:
            raise
        return None, ""
    words = passphrase or revealed(client.wallet_passphrase) or _from_file(client.wallet_passphrase_file)
    if not words and sys.stdin.isatty():
        words = ask(path)
    if words:
        return read(path, words), words
    if needed:
        raise StartError(message="no terminal to ask for the passphrase: set LUXXON_WALLET_PASSPHRASE_FILE")
    return None, ""


def _from_file(path: Path | None) -> str | None:
    from luxxon_core.kernel.errors import StartError

    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise StartError(message="LUXXON_WALLET_PASSPHRASE_FILE cannot be read") from None


# -- what it does -----------------------------------------------------------------------------------------


async def _set_up(
    wish: Wish, plans: Sequence[Plan], keys: KeyFile, base_url: str, wallet: LocalWallet
) -> int:
    from luxxon_core.client import Luxxon
    from luxxon_core.operator.enrolment import enrol, slug_of

    cameras = {plan.name: plan.table.slug or slug_of(plan.name) for plan in plans}
    async with Luxxon(base_url) as api:
        async for one in enrol(api, wallet, keys, cameras, wish.environment):
            what = "new key" if one.fresh else "as it was"
            click.echo(f"{one.camera:20} {one.slug:40} {one.workspace_id}  {what}")
    click.echo(f"keys are in {keys.path}", err=True)
    return 0


async def _rehearse(wish: Wish, cameras: Sequence[Camera], left: LeftOut) -> int:
    import json

    from luxxon_core.kernel.clock import utc_now
    from luxxon_core.operator.rehearsal import rehearse

    found = await rehearse(cameras, utc_now)
    found += [{"camera": name, "error": error.message} for name, error in left.errors.items()]
    for told in found:
        if wish.as_json:
            click.echo(json.dumps(told))
            continue
        for name, value in told.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(f"{name:14}{shown}")
        click.echo()
    return 1 if any("error" in told for told in found) else 0


async def _operate(wish: Wish, cameras: Sequence[Camera]) -> int:
    from luxxon_core.operator.fleet import Fleet
    from luxxon_core.operator.stopping import stop_requested

    async with stop_requested(at_the_end_of_stdin=wish.isolated) as stop:
        return 0 if await Fleet(cameras).run(stop) else REFUSED


async def _isolated(context: click.Context, wish: Wish, plans: Sequence[Plan], words: str) -> int:
    from luxxon_core.kernel.errors import StartError
    from luxxon_core.operator.isolation import IsolatedFleet, python_command
    from luxxon_core.operator.stopping import stop_requested

    if wish.source is not None:
        raise StartError(message="--isolate is for the cameras of luxxon.toml")
    level = (context.parent.params.get("log_level") if context.parent else None) or "info"
    options = ["--isolated", *(["--json"] if wish.as_json else [])]
    for name, value in (("--url", wish.url), ("--data-dir", wish.data_dir)):
        options += [] if value is None else [name, str(value)]

    def command(camera: str) -> list[str]:
        return python_command("--log-level", level, "operate", *options, "--camera", camera)

    async with stop_requested() as stop:
        fleet = IsolatedFleet([plan.name for plan in plans], command, words)
        if await fleet.run(stop):
            return 0
        return WRONG if set(fleet.ended.values()) == {WRONG} else REFUSED


def _run(work: Coroutine[Any, Any, int]) -> None:
    from luxxon_core.runner import run

    run(work)
