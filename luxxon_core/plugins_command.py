"""``luxxon plugins``: which there are, whether one is good, and the begin of a new one."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from luxxon_core.plugins import PluginInfo, PluginRegistry
    from luxxon_core.plugins.checks import Verdict

PASSED, FAILED, NOTHING = 0, 1, 2

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """List plugins, check one, begin a new one. Without a command: the types of camera there are."""
    if context.invoked_subcommand is None:
        from luxxon_core.plugins import load_plugins

        registry = load_plugins()
        for key, source_type in sorted(registry.sources.items()):
            click.echo(f"{key:12} {source_type.title}")
        _tell_failures(registry)


@plugins.command("list")
@_as_json
def list_(as_json: bool) -> None:
    """List all plugins, without importing any."""
    found = _installed()
    if as_json:
        click.echo(json.dumps({"plugins": [_described(info) for info in found]}, indent=2))
        return
    rows = [("PLUGIN", "DISTRIBUTION", "VERSION", "FROM", "")]
    for info in found:
        where = info.module if info.origin.value == "directory" else info.origin.value
        off = "" if info.enabled else "off"
        rows.append((info.name, info.distribution or "-", info.version or "-", where, off))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        click.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip()
        )


@plugins.command()
@click.argument("name")
@_as_json
def info(name: str, as_json: bool) -> None:
    """Say what the plugin NAME is and what it registers. Imports it."""
    from luxxon_core.plugins import load_plugins
    from luxxon_core.settings import load_plugin_settings

    found = _named(name)
    settings = load_plugin_settings()
    registry = load_plugins(settings=settings, only={name})
    told: dict[str, Any] = _described(found)
    told["path"] = _path_of(found, registry)
    told["configured"] = sorted(settings.plugins[name].config) if name in settings.plugins else []
    told["registers"] = _registered(registry)
    told["fields"] = {key: _fields(one.Config) for key, one in registry.sources.items()}
    told["failure"] = registry.failures[0].reason if registry.failures else None
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        for line in _lines(told):
            click.echo(line)
    if registry.failures:
        sys.exit(FAILED)


@plugins.command()
@click.argument("name_or_path")
@click.option("--source", "key", help="The type of camera to check.  [default: all that it registers]")
@click.option("--camera", help="Take the configuration of this camera of luxxon.toml.")
@click.option("--set", "values", multiple=True, metavar="FIELD=VALUE", help="A field of the configuration.")
@click.option("--still", is_flag=True, help="Leave out what moves the camera.")
@_as_json
@click.pass_obj
def check(
    log_level: str,
    name_or_path: str,
    key: str | None,
    camera: str | None,
    values: tuple[str, ...],
    still: bool,
    as_json: bool,
) -> None:
    """Check a plugin, by its NAME or the path of its module, package or project.

    Loads it, and runs the conformance suite on its cameras: they are opened, read and, where they can be,
    moved. Exits with 0 when all is well, 1 when not, 2 when nothing could be checked.
    """
    from luxxon_core.plugins.checks import State, Wish, verdicts
    from luxxon_core.runner import log_to_stderr

    log_to_stderr(log_level)
    fields = dict(_field(value) for value in values)
    seen: list[Verdict] = []
    for verdict in verdicts(name_or_path, Wish(key, camera, fields, still)):
        seen.append(verdict)
        if not as_json:
            # lines as they are found: some checks take seconds
            click.echo(f"{MARKS[verdict.state.value]} {verdict.subject}: {verdict.check}")
            for line in verdict.reason.splitlines():
                click.echo(f"       {line}")
    failed = sum(verdict.state is State.FAILED for verdict in seen)
    passed = sum(verdict.state is State.PASSED for verdict in seen)
    if as_json:
        told = [{**asdict(one), "state": one.state.value} for one in seen]
        click.echo(json.dumps({"passed": passed, "failed": failed, "checks": told}, indent=2))
    else:
        word = "not good yet" if failed else "good"
        click.echo(f"{word}: {passed} passed, {failed} failed, {len(seen) - passed - failed} do not apply")
    if any(verdict.hangs for verdict in seen):
        sys.stdout.flush()
        os._exit(FAILED)  # threads that never end would keep the process
    sys.exit(FAILED if failed else PASSED)


MARKS = {"passed": "ok    ", "failed": "FAILED", "left out": "-     "}


@plugins.command()
@click.argument("name")
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
def new(name: str, directory: Path | None) -> None:
    """Write a working package for the camera plugin NAME, by default into ./luxxon-NAME."""
    from luxxon_core.plugins.scaffold import write

    directory = directory or Path(f"luxxon-{name}")
    for path in write(name, directory):
        click.echo(str(path))
    click.echo(f"\nNext: cd {directory} && pip install -e . && luxxon plugins check {name}", err=True)


def _installed() -> tuple[PluginInfo, ...]:
    from luxxon_core.plugins import installed
    from luxxon_core.settings import load_plugin_settings

    settings = load_plugin_settings()
    return installed(settings.plugins_directory, settings.disabled_plugins)


def _named(name: str) -> PluginInfo:
    found = _installed()
    for one in found:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in found) or "none"
    raise click.ClickException(f"there is no plugin {name!r}; there are: {known}")


def _described(info: PluginInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "distribution": info.distribution or None,
        "version": info.version or None,
        "from": info.origin.value,
        "module": info.module,
        "enabled": info.enabled,
        "commands": list(info.commands),
    }


def _path_of(info: PluginInfo, registry: PluginRegistry) -> str | None:
    if info.name not in registry.plugins:
        return None
    return getattr(sys.modules.get(info.module.partition(":")[0]), "__file__", None) or info.module


def _registered(registry: PluginRegistry) -> dict[str, dict[str, str]]:
    titled: dict[str, Mapping[str, Any]] = {
        "cameras": registry.sources,
        "edges": registry.edges,
        "signers": registry.signers,
        "panels": registry.panels,
    }
    found = {kind: {key: one.title for key, one in group.items()} for kind, group in titled.items() if group}
    if registry.commands:
        found["commands"] = {key: one.get_short_help_str() for key, one in registry.commands.items()}
    return found


def _fields(config: type[BaseModel]) -> dict[str, str]:
    """What each field of a camera's configuration is."""
    return {
        name: ": ".join(filter(None, (field.title, field.description)))
        for name, field in config.model_fields.items()
    }


def _lines(told: dict[str, Any]) -> list[str]:
    lines = [f"{name:13} {told[name]}" for name in ("name", "distribution", "version", "from") if told[name]]
    lines.append(f"{'module':13} {told['path'] or told['module']}")
    lines.append(f"{'enabled':13} {'yes' if told['enabled'] else 'no'}")
    if told["configured"]:
        lines.append(f"{'configured':13} {', '.join(told['configured'])}")
    for kind, group in told["registers"].items():
        for key, title in group.items():
            lines.append(f"{kind:13} {key}: {title}")
            fields = told["fields"].get(key, {}) if kind == "cameras" else {}
            lines += [f"{'':13}   {name:18} {what}".rstrip() for name, what in fields.items()]
    if told["failure"]:
        lines.append(f"{'not loaded':13} {told['failure']}")
    return lines


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{name!r} is not of the form FIELD=VALUE", param_hint="--set")
    return name, value


def _tell_failures(registry: PluginRegistry) -> None:
    for failure in registry.failures:
        click.echo(f"{failure.plugin:12} not loaded: {failure.reason}", err=True)
