"""The command line. Every import of weight happens inside the command that needs it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

EXAMPLES = """
\b
Examples:
  luxxon demo                       the whole product on this machine
  luxxon demo --headless --json     the same for scripts
  luxxon serve                      the marketplace without a console
"""


class Degrees(click.FloatRange):
    """A coordinate; NaN, which compares false with every bound, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not a number of degrees.", param, ctx)
        return number


@click.group(
    invoke_without_command=True, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="luxxon")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="[default: info of a server, else warning]",
)
@click.pass_context
def cli(context: click.Context, log_level: str | None) -> None:
    """Luxxon: live video of real places, paid per second in USDC.

    Without a command it opens the console.
    """
    context.obj = log_level or ("info" if context.invoked_subcommand == "serve" else "warning")
    if context.invoked_subcommand is None:
        _console()


@cli.command()
@click.option("--headless", is_flag=True, help="No console; print the result.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (implies --headless).")
@click.option("--seconds", type=click.IntRange(1, 3600), default=15, show_default=True, help="LIVE time.")
@click.option(
    "--source", default="testcard", show_default=True, help="testcard, webcam[:DEVICE] or file:PATH."
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
    _logging(log_level if headless else "critical")
    from luxxon_core.demo.play import Options, run
    from luxxon_core.kernel.geo import Point

    _run(run(Options(headless, as_json, seconds, source, save_frame, data_dir, Point(lat, lng))))


@cli.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: 3010]")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where data is kept.")
@click.pass_obj
def serve(log_level: str, host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Run the marketplace: API, dispatcher, meter, relayer and media edge."""
    from luxxon_core.server import serve as run
    from luxxon_core.settings import load

    given = {"host": host, "port": port, "data_dir": data_dir}
    settings = load(**{name: value for name, value in given.items() if value is not None})
    _logging(log_level, settings.log_format)
    _run(run(settings))


@cli.command()
def plugins() -> None:
    """List the camera types that are installed."""
    from luxxon_core.plugins import load_plugins

    registry = load_plugins()
    for key, source_type in sorted(registry.sources.items()):
        click.echo(f"{key:12} {source_type.title}")
    for failure in registry.failures:
        click.echo(f"{failure.plugin:12} not loaded: {failure.reason}", err=True)


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

    _on_database(log_level, data_dir, run, make=False)


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

    _on_database(log_level, data_dir, run, make=True)


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

    _on_database(log_level, data_dir, run, make=False)


def _on_database(
    log_level: str,
    data_dir: Path | None,
    work: Callable[[str, str], Coroutine[Any, Any, int]],
    *,
    make: bool,
) -> None:
    """Run ``work`` on the address and the wished geography of the database that the settings name, or on
    those of the embedded one, which is started for it, and made if ``make``."""
    _logging(log_level)
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


def _at_a_terminal() -> bool:
    """Keys come from standard input, and Textual draws on standard error."""
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


def _console() -> None:
    from importlib import import_module

    if not _at_a_terminal():
        raise click.UsageError("the console needs a terminal; see luxxon --help for what runs without")
    sys.exit(import_module("luxxon_tui.app").main())


def _run(work: Coroutine[Any, Any, int | None]) -> None:
    import asyncio

    try:
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    except ImportError:
        runner = asyncio.Runner()
    with runner:
        sys.exit(runner.run(work) or 0)


def _logging(level: str, form: str | None = None) -> None:
    """Log to standard error, ``form`` ``console`` or ``json``; else as suits who reads it.

    Tracebacks are plain: the pretty ones show local variables, and some of those are secrets.
    """
    import logging

    import structlog

    from luxxon_core.http.context import merge_request

    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        merge_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[structlog.typing.Processor]
    if (form or ("console" if sys.stderr.isatty() else "json")) == "json":
        rendered = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    else:
        rendered = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        processors=[*common, *rendered],
    )
    handler = logging.StreamHandler(sys.stderr)  # what libraries say, in the same form
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=[remove, *rendered])
    )
    logging.basicConfig(level=logging.CRITICAL if level == "critical" else logging.ERROR, handlers=[handler])


def main() -> None:
    """Run the command line: bad input is one line on standard error and exit code 2."""
    try:
        cli.main(standalone_mode=False)
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
    click.echo(f"luxxon: {' '.join(message.split())}", err=True)
    sys.exit(2)
