"""Every hook there is. A plugin implements those it needs, and takes of the arguments those it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from luxxon_core.plugins.registrations import EdgeType, PanelType, SignerType
    from luxxon_core.source import SourceType

GROUP = "luxxon"
hookspec = pluggy.HookspecMarker(GROUP)

Config = Mapping[str, Any]
"""The table ``[plugins.NAME]`` of ``luxxon.toml`` without ``enabled``; secrets are ``pydantic.SecretStr``."""


class HookSpecifications:
    """Each hook is called once, when the plugin is loaded, and registers; nothing of weight happens in it."""

    @hookspec
    def luxxon_register_sources(self, register: Callable[[SourceType[Any]], None], config: Config) -> None:
        """Call ``register`` once for each type of camera, with an instance of it.

        The type is offered as ``--source KEY``, in the console's forms and to ``[cameras.NAME]``.
        """

    @hookspec
    def luxxon_register_edges(self, register: Callable[[EdgeType], None], config: Config) -> None:
        """Call ``register`` for each media edge that ``config`` suffices for.

        The server opens all that are registered; the one that the setting ``media_edge`` names mints new live
        inputs, the others serve what they minted before.
        """

    @hookspec
    def luxxon_register_signers(self, register: Callable[[SignerType], None], config: Config) -> None:
        """Call ``register`` for each kind of device that can hold the relayer's key.

        The server opens the one that the setting ``relayer_signer`` names.
        """

    @hookspec
    def luxxon_register_commands(self, register: Callable[[click.Command], None], config: Config) -> None:
        """Call ``register`` for each command of ``luxxon``.

        A package names them in the entry-point group ``luxxon.commands``, so that ``luxxon --help`` can list
        them without importing it.
        """

    @hookspec
    def luxxon_register_panels(self, register: Callable[[PanelType], None], config: Config) -> None:
        """Call ``register`` for each panel of the console."""


HOOKS = tuple(sorted(name for name in vars(HookSpecifications) if name.startswith("luxxon_")))
