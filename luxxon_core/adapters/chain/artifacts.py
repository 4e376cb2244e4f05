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
    """One compiled contract: its ABI in JSON form, the code that creates it, without arguments, and the code
    that this leaves on the chain, with zeros for immutables."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    deployed: bytes


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
            created, deployed = (bytes.fromhex(content[one][2:]) for one in ("bytecode", "deployedBytecode"))
            return Artifact(content["contractName"], content["abi"], created, deployed)
    raise StartError("chain:artifact", f"Contract artifact {name} is missing from this installation")
