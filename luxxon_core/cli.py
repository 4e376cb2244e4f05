"""The command line. Every import of weight happens inside the command that needs it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Coroutine

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
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning")
@click.pass_context
def cli(context: click.Context, log_level: str) -> None:
    """Luxxon: live video of real places, paid per second in USDC.

    Without a command it opens the console.
    """
    context.obj = log_level
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
    _logging("info" if log_level == "warning" else log_level)
    from luxxon_core.server import serve as run
    from luxxon_core.settings import load

    given = {"host": host, "port": port, "data_dir": data_dir}
    _run(run(load(**{name: value for name, value in given.items() if value is not None})))


@cli.command()
def plugins() -> None:
    """List the camera types that are installed."""
    from luxxon_core.plugins import load_plugins

    registry = load_plugins()
    for key, source_type in sorted(registry.sources.items()):
        click.echo(f"{key:12} {source_type.title}")
    for failure in registry.failures:
        click.echo(f"{failure.plugin:12} not loaded: {failure.reason}", err=True)


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


def _logging(level: str) -> None:
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # plain tracebacks: the pretty ones print local variables, and some of those are secrets
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ],
    )
    logging.basicConfig(level=logging.CRITICAL if level == "critical" else logging.ERROR, stream=sys.stderr)


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
