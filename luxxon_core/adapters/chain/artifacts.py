"""The compiled contracts: ABI and bytecode as ``contracts/build.py`` committed them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from luxxon_core.kernel.errors import StartError

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "_artifacts", _HERE.parents[2] / "contracts" / "artifacts")
"""In a wheel, then in a checkout."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract: its ABI in JSON form and the code that creates it, without arguments."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes


@cache
def artifact(name: str) -> Artifact:
    """By name: ``LuxxonSettlement``, ``SignatureValidator``, ``TestUSDC``, or a test's wallet.

    Raises:
        StartError: the installation lacks the file.
    """
    for place in _PLACES:
        path = place / f"{name}.json"
        if path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"))
            return Artifact(content["contractName"], content["abi"], bytes.fromhex(content["bytecode"][2:]))
    raise StartError("chain:artifact", f"Contract artifact {name} is missing from this installation")
