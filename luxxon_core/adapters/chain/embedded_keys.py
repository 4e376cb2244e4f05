"""The development chain's own keys: made at first start, kept encrypted beside the chain."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from eth_keyfile.keyfile import create_keyfile_json

from luxxon_core.adapters.chain.signer import LocalSigner
from luxxon_core.kernel.errors import StartError

WORK_FACTOR = 4096
"""scrypt's N: low, because stretching adds nothing to a passphrase of 256 random bits."""


@dataclass(frozen=True, slots=True)
class ChainKeys:
    """Who acts on the chain: ``owner`` deploys and hands out test money, ``platform`` receives the fees."""

    owner: LocalSigner
    relayer: LocalSigner
    platform: LocalSigner

    @classmethod
    def load(cls, directory: Path | None) -> ChainKeys:
        """The keys kept in ``directory``, made there when it has none; None makes keys for this run only.

        Raises:
            StartError: a key or the passphrase is missing or unreadable.
        """
        if directory is None:
            return cls(*(LocalSigner(secrets.token_bytes(32)) for _ in range(3)))
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        passphrase = _passphrase(directory / "passphrase")
        return cls(
            *(_key(directory / f"{name}.json", passphrase) for name in ("owner", "relayer", "platform"))
        )


def _passphrase(path: Path) -> str:
    if not path.exists():
        _write_secret(path, secrets.token_urlsafe(32))
    try:
        return path.read_text().strip()
    except OSError as error:
        raise StartError("chain:passphrase", f"{path} cannot be read") from error


def _key(path: Path, passphrase: str) -> LocalSigner:
    if not path.exists():
        keystore = create_keyfile_json(
            secrets.token_bytes(32), passphrase.encode(), kdf="scrypt", iterations=WORK_FACTOR
        )
        _write_secret(path, json.dumps(keystore))
    return LocalSigner.from_keystore(path, passphrase)


def _write_secret(path: Path, text: str) -> None:
    """Readable by the owner alone, and whole or absent."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
