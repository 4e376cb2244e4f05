"""A terminal's own notification, for what must be heard while another window is in front."""

from __future__ import annotations

import os
from collections.abc import Mapping

BY_777 = ("foot", "rxvt")
"""Terminals that know OSC 777 and not OSC 9."""


def notification(title: str, words: str, environ: Mapping[str, str] | None = None) -> str:
    """The escape sequence: OSC 9 (iTerm2, kitty, WezTerm, Ghostty, Windows Terminal), or OSC 777 (urxvt, VTE,
    foot); through tmux where that lets it pass. Control characters are left out."""
    environ = os.environ if environ is None else environ
    title, words = _plain(title).replace(";", ","), _plain(words)
    if environ.get("TERM", "").startswith(BY_777) or environ.get("VTE_VERSION"):
        sequence = f"\x1b]777;notify;{title};{words}\x1b\\"
    else:
        sequence = f"\x1b]9;{title}: {words}\x07"
    if environ.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return sequence


def _plain(text: str) -> str:
    return "".join(sign for sign in text if sign.isprintable())[:200]
