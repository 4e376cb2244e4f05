"""Runs a command's coroutine to its exit code, and sends what it logs to standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Coroutine


def run(work: Coroutine[Any, Any, int | None]) -> NoReturn:
    """On the fastest loop there is; exits with what ``work`` returns, 0 for nothing."""
    import asyncio

    import structlog

    if not structlog.is_configured():
        log_to_stderr("error")
    try:
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    except ImportError:
        runner = asyncio.Runner()
    with runner:
        sys.exit(runner.run(work) or 0)


def log_to_stderr(level: str, form: str | None = None) -> None:
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
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        processors=[*common, *rendered],
    )
    handler = logging.StreamHandler(sys.stderr)  # what libraries say, in the same form
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=[remove, *rendered])
    )
    logging.basicConfig(level=logging.CRITICAL if level == "critical" else logging.ERROR, handlers=[handler])
