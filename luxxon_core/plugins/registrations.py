"""What plugins register beside cameras and commands: media edges, signers and panels of the console.

Frozen descriptions; what is of weight happens in ``open`` and ``widget``, which are called when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luxxon_core.kernel.clock import Clock
    from luxxon_core.kernel.signing import Signer
    from luxxon_core.media.ports import Edge

API_VERSION = 1
"""Version of the hooks and of what this module describes; cameras have ``luxxon_core.source.API_VERSION``.

A plugin writes the number it was written for, not this name, which always agrees with itself.
"""

SCREENS = frozenset({"map", "live", "sessions", "cameras", "wallet", "activity", "workspace"})
"""The console's screens that a panel may be on."""


@dataclass(frozen=True, slots=True)
class EdgeContext:
    """What a media edge is told of the server that opens it.

    Attributes:
        server: which server of the deployment this is, the same after a restart: the edge's name is
            ``key-server``, so that live inputs are found again.
        public_url: where clients reach the server.
        data_dir: where the edge may keep a file of its own.
    """

    server: str
    public_url: str
    data_dir: Path
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeType:
    """A media edge, which the setting ``media_edge`` names by its key.

    Attributes:
        api_version: the :data:`API_VERSION` that this was written for.
        open: starts the edge and ends it, as an async context manager.
        pictures: whether :meth:`Edge.frame` gives pictures; where it does not, the server watches by WHEP.
    """

    key: str
    title: str
    api_version: int
    open: Callable[[EdgeContext], AbstractAsyncContextManager[Edge]]
    pictures: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerType:
    """A device that holds the relayer's key, which the setting ``relayer_signer`` names by its key.

    Attributes:
        api_version: the :data:`API_VERSION` that this was written for.
        open: connects to the device and lets go of it, as an async context manager.
    """

    key: str
    title: str
    api_version: int
    open: Callable[[], AbstractAsyncContextManager[Signer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelType:
    """A panel of the console.

    Attributes:
        api_version: the :data:`API_VERSION` that this was written for.
        screen: the screen it is on, one of :data:`SCREENS`.
        widget: makes a Textual widget of the console's context, once for each screen that opens. Textual is
            imported there, not with the plugin.
    """

    key: str
    title: str
    api_version: int
    screen: str
    widget: Callable[[Any], Any]
