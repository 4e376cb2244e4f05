"""The command line. Every import of weight happens inside the command that needs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from luxxon_core.commands.coverage import coverage
from luxxon_core.commands.degrees import Degrees
from luxxon_core.commands.demand import demand
from luxxon_core.commands.events import events
from luxxon_core.commands.faucet import faucet
from luxxon_core.commands.keys import keys
from luxxon_core.commands.ledger import ledger as wallet_ledger
from luxxon_core.commands.observe import observe
from luxxon_core.commands.request import request
from luxxon_core.commands.sessions import sessions
from luxxon_core.commands.webhooks import webhooks
from luxxon_core.commands.workspace import workspace
from luxxon_core.contracts_command import contracts
from luxxon_core.kernel.text import plain
from luxxon_core.ledger_command import ledger
from luxxon_core.mcp_server.command import mcp
from luxxon_core.operate_command import operate
from luxxon_core.plugged_commands import PluginCommands
from luxxon_core.plugins_command import plugins
from luxxon_core.runner import log_to_stderr
from luxxon_core.runner import run as _run
from luxxon_core.settlements_command import settlements
from luxxon_core.wallet_command import wallet

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from uuid import UUID

    from luxxon_core.settings import Settings

EXAMPLES = """
\b
Examples:
  luxxon demo                       the whole product on this machine
  luxxon demo --headless --json     the same for scripts
  luxxon serve                      the marketplace without a console
"""


LOG_LEVELS = {"serve": "info", "events": "error", "link": "error", "wallet": "error"}
"""Of a command whose calls are tried again, nothing but the outcome is told."""


@click.group(
    cls=PluginCommands,
    invoke_without_command=True,
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="luxxon")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="[default: info of a server, error of a client, else warning]",
)
@click.option("--profile", help="Which profile the console opens.  [default: that of its settings]")
@click.option(
    "--serve-web",
    metavar="[HOST:PORT]",
    is_flag=False,
    flag_value="127.0.0.1:8000",
    help="Show the console to browsers of this machine.  [default: 127.0.0.1:8000]",
)
@click.option("--serve-web-anyone", is_flag=True, help="Let --serve-web listen for other machines.")
@click.pass_context
def cli(
    context: click.Context,
    log_level: str | None,
    profile: str | None,
    serve_web: str | None,
    serve_web_anyone: bool,
) -> None:
    """Luxxon: live video of real places, paid per second in USDC.

    Without a command it opens the console.
    """
    context.obj = log_level or LOG_LEVELS.get(context.invoked_subcommand or "", "warning")
    if serve_web_anyone and serve_web is None:
        raise click.UsageError("--serve-web-anyone goes with --serve-web")
    if context.invoked_subcommand is None:
        _console(profile, serve_web, anyone=serve_web_anyone)
    elif profile is not None or serve_web is not None:
        raise click.UsageError("--profile and --serve-web are for the console alone")


@cli.command()
@click.option("--headless", is_flag=True, help="No console; print the result.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (implies --headless).")
@click.option("--seconds", type=click.IntRange(1, 3600), default=15, show_default=True, help="LIVE time.")
@click.option(
    "--source",
    default="testcard",
    show_default=True,
    help="testcard, webcam[:DEVICE], file:PATH, or NAME of [cameras.NAME] in luxxon.toml.",
)
@click.option("--save-frame", type=click.Path(path_type=Path, dir_okay=False), help="Write a JPEG there.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Keep all data there.")
@click.option("--lat", type=Degrees(-90, 90), default=50.8466, show_default=True)
@click.option("--lng", type=Degrees(-180, 180), default=4.3528, show_default=True)
@click.pass_obj
def demo(
    log_level: str,
    headless: bool,
    as_json: bool,
    seconds: int,
    source: str,
    save_frame: Path | None,
    data_dir: Path | None,
    lat: float,
    lng: float,
) -> None:
    """Ask for a place, watch a camera there, and see the money move: all on this machine."""
    headless = headless or as_json or not _at_a_terminal()
    log_to_stderr(log_level if headless else "critical")
    from luxxon_core.demo.play import Options, run
    from luxxon_core.kernel.geo import Point

    _run(run(Options(headless, as_json, seconds, source, save_frame, data_dir, Point(lat, lng))))


@cli.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: 3010]")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where data is kept.")
@click.option(
    "--media-processes", type=click.IntRange(0, 256), help="Processes for live video.  [default: 0, its own]"
)
@click.pass_obj
def serve(
    log_level: str, host: str | None, port: int | None, data_dir: Path | None, media_processes: int | None
) -> None:
    """Run the marketplace: API, dispatcher, meter, relayer and media edge."""
    from luxxon_core.passphrases import for_the_relayer
    from luxxon_core.server import serve as run
    from luxxon_core.settings import load

    given = {"host": host, "port": port, "data_dir": data_dir, "media_processes": media_processes}
    settings = load(**{name: value for name, value in given.items() if value is not None})
    log_to_stderr(log_level, settings.log_format)
    _run(run(for_the_relayer(settings)))


@cli.command()
@click.argument("session_id", type=click.UUID)
@click.option(
    "--side", type=click.Choice(["watch", "publish"]), help="[default: the workspace's side of the session]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and no code.")
@click.option("--url", help="The server.  [default: LUXXON_URL, else http://127.0.0.1:3010]")
@click.pass_obj
def link(log_level: str, session_id: UUID, side: str | None, as_json: bool, url: str | None) -> None:
    """Make a link to SESSION_ID for a phone, and show it as a QR code.

    Whoever opens it watches or publishes without a key, and may end the session. The key that makes it is in
    LUXXON_API_KEY.
    """
    from luxxon_core.linking import show
    from luxxon_core.settings import load_client

    log_to_stderr(log_level)
    _run(show(load_client(**({} if url is None else {"url": url})), session_id, side, as_json=as_json))


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    from luxxon_core import __version__
    from luxxon_core.http.documents import BASE, openapi_json
    from luxxon_core.rows import described

    click.echo(openapi_json(described(), version=__version__, server_url=BASE), nl=False)


@cli.group()
def db() -> None:
    """Look at the database's schema and change it."""


_data_dir = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where data is kept."
)


@db.command()
@_data_dir
@click.pass_obj
def check(log_level: str, data_dir: Path | None) -> None:
    """Compare the schema with what this version needs.

    Exits with 0 when it is that, 1 when it is older or missing, 2 when it is newer.
    """
    from luxxon_core.adapters.postgres import schema

    async def run(dsn: str, geography: str) -> int:
        found = await schema.look(dsn)
        click.echo(f"revision   {found.revision or 'none'}")
        click.echo(f"head       {schema.head()}")
        click.echo(f"geography  {found.flavour or 'none'}")
        return {schema.Age.CURRENT: 0, schema.Age.NEWER: 2}.get(found.age, 1)

    on_database(log_level, data_dir, run, make=False)


@db.command()
@_data_dir
@click.pass_obj
def upgrade(log_level: str, data_dir: Path | None) -> None:
    """Bring the schema to what this version needs; an empty database is set up."""
    from luxxon_core.adapters.postgres import schema

    async def run(dsn: str, geography: str) -> int:
        before = await schema.upgrade(dsn, geography)
        came = "as it was" if before.age is schema.Age.CURRENT else f"from {before.revision or 'nothing'}"
        click.echo(f"the database has schema {schema.head()}, {came}")
        return 0

    on_database(log_level, data_dir, run, make=True)


@db.command()
@click.argument("revision", default="-1")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_data_dir
@click.pass_obj
def downgrade(log_level: str, revision: str, yes: bool, data_dir: Path | None) -> None:
    """Take the schema back to REVISION, by default the one before; "base" removes everything."""
    if not yes:
        click.confirm("What later schemas added is lost. Go on?", abort=True)
    from luxxon_core.adapters.postgres import schema

    async def run(dsn: str, geography: str) -> int:
        before = await schema.downgrade(dsn, revision)
        after = await schema.look(dsn)
        click.echo(f"the database has schema {after.revision or 'none'}, from {before.revision or 'none'}")
        return 0

    on_database(log_level, data_dir, run, make=False)


def on_database(
    log_level: str,
    data_dir: Path | None,
    work: Callable[[str, str], Coroutine[Any, Any, int]],
    *,
    make: bool,
) -> None:
    """Run ``work`` on the address and the wished geography of the database that the settings name, or on
    those of the embedded one, which is started for it, and made if ``make``."""
    log_to_stderr(log_level)
    from luxxon_core.adapters.postgres.embedded import EmbeddedPostgres
    from luxxon_core.adapters.system import locked
    from luxxon_core.kernel.errors import StartError
    from luxxon_core.settings import load

    settings = load(**({"data_dir": data_dir} if data_dir is not None else {}))

    async def embedded(directory: Path) -> int:
        if not make and not (directory / "PG_VERSION").exists():
            raise StartError(message=f"there is no database in {directory} yet")
        with locked(settings.data_dir):
            server = await EmbeddedPostgres.start(directory, durable=settings.durable)
            try:
                return await work(server.dsn, settings.geography)
            finally:
                await server.close()

    if settings.database_url is not None:
        _run(work(settings.database_url.get_secret_value(), settings.geography))
    else:
        _run(embedded(settings.data_dir / "postgres"))


def on_settings(
    log_level: str, data_dir: Path | None, work: Callable[[Settings], Coroutine[Any, Any, int]]
) -> None:
    """Run ``work`` on the settings."""
    log_to_stderr(log_level)
    from luxxon_core.settings import load

    _run(work(load(**({"data_dir": data_dir} if data_dir is not None else {}))))


cli.add_command(contracts)
cli.add_command(coverage)
cli.add_command(demand)
cli.add_command(events)
cli.add_command(keys)
cli.add_command(webhooks)
cli.add_command(ledger)
cli.add_command(mcp)
cli.add_command(observe)
cli.add_command(operate)
cli.add_command(plugins)
cli.add_command(request)
cli.add_command(sessions)
cli.add_command(settlements)
cli.add_command(wallet)
cli.add_command(workspace)
wallet.add_command(faucet)
wallet.add_command(wallet_ledger)


def _at_a_terminal() -> bool:
    """Keys come from standard input, and Textual draws on standard error; a dumb one cannot place text."""
    if os.environ.get("TERM") == "dumb":
        return False
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


def _console(profile: str | None, serve_web: str | None = None, *, anyone: bool = False) -> None:
    from importlib import import_module

    if serve_web is not None:
        log_to_stderr("error")
        import_module("luxxon_tui.web").serve(serve_web, profile, anyone=anyone)
    if not _at_a_terminal():
        dumb = ", and TERM says that this one is dumb" if os.environ.get("TERM") == "dumb" else ""
        raise click.UsageError(f"the console needs a terminal{dumb}; see luxxon --help for what runs without")
    log_to_stderr("critical")  # the terminal is the console's
    sys.exit(import_module("luxxon_tui.program").main(profile))


def main() -> None:
    """Run the command line: bad input is one line on standard error and exit code 2."""
    try:
        cli.main(prog_name="luxxon", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except click.ClickException as error:
        _fail(error.format_message())
    except Exception as error:
        from luxxon_core.kernel.errors import LuxxonError

        if not isinstance(error, LuxxonError):
            raise
        _fail(error.message)


def _fail(message: str) -> None:
    click.echo(f"luxxon: {plain(' '.join(message.split()))}", err=True)
    sys.exit(2)
