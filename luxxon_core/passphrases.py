"""Asks a person for what opens a keystore; only at a terminal, and never as an argument."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from luxxon_core.adapters.chain.keys import KeySource
    from luxxon_core.settings import Settings


def ask(keystore: Path, *, new: bool = False) -> str:
    """The passphrase of a keystore; of a ``new`` one twice."""
    words: str = click.prompt(
        f"Passphrase of {keystore}", hide_input=True, confirmation_prompt=new and "Once more", err=True
    )
    return words


def opened_by_a_person(source: KeySource) -> KeySource:
    """The same source with the passphrase, where a person is there and nothing else opens it."""
    if not (source.asks and sys.stdin.isatty()):
        return source
    assert source.keystore is not None
    return replace(source, passphrase=ask(source.keystore))


def for_the_relayer(settings: Settings) -> Settings:
    """A server's settings with the passphrase of the relayer's keystore, likewise."""
    from pydantic import SecretStr

    from luxxon_core.bootstrap.parts import relayer_key

    source = relayer_key(settings)
    opened = opened_by_a_person(source) if settings.rpc_url is not None else source
    if opened is source:
        return settings
    return settings.model_copy(update={"relayer_passphrase": SecretStr(opened.passphrase or "")})
