"""Compile ``src/*.sol`` into the committed ``artifacts/*.json``.

``python contracts/build.py`` writes them; ``--check`` writes nothing and fails when a committed file is not
byte for byte what the sources compile to. Needs Node and ``npm ci --prefix contracts``; the output carries no
metadata hash and no paths, so every machine gets the same bytes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CONTRACTS = {
    "LuxxonSettlement": "src/LuxxonSettlement.sol",
    "SignatureValidator": "src/SignatureValidator.sol",
    "SmartWallet": "src/test/SmartWallet.sol",
    "SmartWalletFactory": "src/test/SmartWallet.sol",
    "TestUSDC": "src/TestUSDC.sol",
}
"""The artifacts, each with the file that declares it."""

SETTINGS: dict[str, Any] = {
    "evmVersion": "cancun",
    "optimizer": {"enabled": True, "runs": 10_000},
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
}


class BuildError(Exception):
    """The sources do not compile, or the compiler is missing."""


def run(*arguments: str, stdin: str | None = None) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            ["node", "bin/solc", *arguments],  # noqa: S607 - Node is wherever the system has it
            cwd=HERE,
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError as error:
        raise BuildError("Node is needed to compile the contracts") from error
    except subprocess.CalledProcessError as error:
        raise BuildError(f"solc failed; has `npm ci` been run in contracts/?\n{error.stderr}") from error
    return done.stdout


def build() -> dict[str, str]:
    """The text of every artifact by contract name."""
    version = run("--version").rsplit("Version: ", 1)[1].split("+")[0].strip()
    sources = {path: {"content": (HERE / path).read_text()} for path in sorted(set(CONTRACTS.values()))}
    outputs = {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}}
    request = {
        "language": "Solidity",
        "sources": sources,
        "settings": {**SETTINGS, "outputSelection": outputs},
    }
    answer = json.loads(run("--standard-json", stdin=json.dumps(request)))
    messages = [entry["formattedMessage"] for entry in answer.get("errors", ()) if counts(entry)]
    if messages:
        raise BuildError("\n".join(messages))
    contracts = answer["contracts"]
    return {name: artifact(name, version, contracts[path][name]) for name, path in CONTRACTS.items()}


def counts(entry: dict[str, Any]) -> bool:
    """Errors anywhere, and warnings about our own sources: they have none."""
    return bool(
        entry["severity"] == "error" or entry.get("sourceLocation", {}).get("file", "").startswith("src/")
    )


def artifact(name: str, version: str, compiled: dict[str, Any]) -> str:
    content = {
        "contractName": name,
        "compiler": {"name": "solc", "version": version, "settings": SETTINGS},
        "abi": compiled["abi"],
        "bytecode": "0x" + compiled["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + compiled["evm"]["deployedBytecode"]["object"],
    }
    return json.dumps(content, indent=1) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--check", action="store_true", help="compare with the committed artifacts, write nothing"
    )
    check: bool = parser.parse_args().check
    try:
        artifacts = build()
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stale = []
    for name, text in artifacts.items():
        path = HERE / "artifacts" / f"{name}.json"
        if path.exists() and path.read_bytes() == text.encode():
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode())
    if stale:
        sys.stderr.write(f"{'differ from the sources' if check else 'written'}: {', '.join(stale)}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
