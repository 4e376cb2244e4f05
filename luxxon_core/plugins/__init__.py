"""Finds plugins, checks them and keeps a broken one from taking the host down.

A plugin is a module that an entry point of group ``luxxon`` names, or that lies in the plugins directory; it
implements the hooks it needs, of those in :mod:`luxxon_core.plugins.hooks`::

    from luxxon_core.plugins import hookimpl

    @hookimpl
    def luxxon_register_sources(register):
        register(MySourceType())

Frames never pass through pluggy: hooks register, and that is all. ``docs/plugins.md`` is the guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luxxon_core.plugins.discovery import GROUP, Origin, PluginInfo, installed
from luxxon_core.plugins.loading import EntryPointLike, load_plugins, one_line
from luxxon_core.plugins.registrations import API_VERSION, EdgeContext, EdgeType, PanelType, SignerType
from luxxon_core.plugins.registry import PluginFailure, PluginRegistry, Register

if TYPE_CHECKING:
    from pluggy import HookimplMarker

    hookimpl: HookimplMarker

__all__ = [
    "API_VERSION",
    "EdgeContext",
    "EdgeType",
    "EntryPointLike",
    "Origin",
    "PanelType",
    "PluginFailure",
    "PluginInfo",
    "PluginRegistry",
    "Register",
    "SignerType",
    "hookimpl",
    "installed",
    "load_plugins",
    "one_line",
]


def __getattr__(name: str) -> Any:
    if name == "hookimpl":  # made on demand: pluggy is not paid for by who only reads this package's types
        from pluggy import HookimplMarker

        return HookimplMarker(GROUP)
    raise AttributeError(name)
