"""Commands of plugins beside those of ``luxxon``, known by metadata and imported when they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

    from luxxon_core.plugins.registry import PluginRegistry

GROUP, COMMANDS = "luxxon", "luxxon.commands"


class PluginCommands(click.Group):
    """A group with the commands of plugins behind its own, which nobody can replace.

    Help lists what the entry-point group ``luxxon.commands`` names. A command that it does not name may be of
    a module in the plugins directory: those that register commands are loaded to find out.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        own = super().list_commands(ctx)
        return own + sorted({entry_point.name for entry_point in _entry_points(COMMANDS)} - set(own))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name.startswith("-"):
            return own
        named = [*_entry_points(COMMANDS).select(name=cmd_name)]
        if named:
            return PluginCommand(cmd_name, named[0])
        return _of_directory(cmd_name)


class PluginCommand(click.Command):
    """Stands for a command until it is run, or asked for help."""

    def __init__(self, name: str, entry_point: EntryPoint) -> None:
        dist = entry_point.dist
        super().__init__(name, short_help=f"(of {dist.name} {dist.version})" if dist is not None else "")
        self._entry_point = entry_point

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return self._loaded().make_context(info_name, args, parent, **extra)

    def _loaded(self) -> click.Command:
        registry = _registry(self._names())
        command = registry.commands.get(self.name or "")
        if command is None:
            why = registry.absences or f"; {self._entry_point.value} does not register it"
            raise click.ClickException(f"no command {self.name!r}{why}")
        return command

    def _names(self) -> set[str]:
        """The plugins of that module in that distribution: one, where all is well."""
        dist = self._entry_point.dist
        return {
            one.name
            for one in _entry_points(GROUP)
            if one.value == self._entry_point.value
            and (one.dist is None or dist is None or one.dist.name == dist.name)
        }


def _of_directory(name: str) -> click.Command | None:
    from luxxon_core.plugins.discovery import Origin, installed
    from luxxon_core.settings import load_plugin_settings

    settings = load_plugin_settings()
    found = installed(settings.plugins_directory, settings.disabled_plugins)
    names = {
        info.name for info in found if info.origin is Origin.DIRECTORY and info.commands and info.enabled
    }
    if not names:
        return None
    registry = _registry(names)
    for failure in registry.failures:
        click.echo(f"luxxon: plugin {failure.plugin} not loaded: {failure.reason}", err=True)
    return registry.commands.get(name)


def _registry(names: set[str]) -> PluginRegistry:
    from luxxon_core.plugins.loading import load_plugins

    return load_plugins(only=names)


def _entry_points(group: str) -> EntryPoints:
    from importlib import metadata  # not paid for by commands of our own

    try:
        return metadata.entry_points(group=group)
    except (ValueError, TypeError, AttributeError, OSError):  # some package's metadata is broken
        return metadata.EntryPoints(())
