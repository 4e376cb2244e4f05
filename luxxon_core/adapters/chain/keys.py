"""Where a signing key is, as settings and the command line say it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from luxxon_core.adapters.chain.signer import LocalSigner, Signer
from luxxon_core.kernel.errors import StartError


@dataclass(frozen=True, slots=True)
class KeySource:
    """At most one of a key, a keystore with what opens it, and a KMS key.

    Attributes:
        name: what the settings of this key begin with: ``relayer`` or ``owner``.
        key: 32 bytes in hexadecimal.
        keystore: a file in Web3 Secret Storage form (version 3).
        kms_key: id, ARN or alias of a key in AWS KMS.
    """

    name: str
    key: str | None = field(default=None, repr=False)
    keystore: Path | None = None
    passphrase: str | None = field(default=None, repr=False)
    passphrase_file: Path | None = None
    kms_key: str | None = None
    kms_region: str | None = None
    kms_endpoint: str | None = None

    @property
    def asks(self) -> bool:
        """Whether nothing but a person can open the keystore."""
        return self.keystore is not None and self.passphrase is None and self.passphrase_file is None


async def signer_of(source: KeySource) -> Signer | None:
    """The key; None when the source names none.

    Raises:
        StartError: it cannot be read, or there are several; the line names the setting, never its value.
    """
    named = [name for name in ("key", "keystore", "kms_key") if getattr(source, name) is not None]
    if len(named) > 1:
        raise StartError(
            message=f"settings {', '.join(f'{source.name}_{one}' for one in named)}: one is enough"
        )
    if source.key is not None:
        return _plain(source.key, source.name)
    if source.keystore is not None:
        passphrase = _passphrase(source)
        return await asyncio.to_thread(LocalSigner.from_keystore, source.keystore, passphrase)
    if source.kms_key is not None:
        from luxxon_core.adapters.chain.kms import KmsSigner

        return await KmsSigner.open(source.kms_key, region=source.kms_region, endpoint=source.kms_endpoint)
    return None


def _plain(key: str, name: str) -> LocalSigner:
    from eth_utils.exceptions import ValidationError

    try:
        return LocalSigner(bytes.fromhex(key.removeprefix("0x")))
    except (ValueError, ValidationError):
        raise StartError(message=f"setting {name}_key: not a private key in hexadecimal") from None


def _passphrase(source: KeySource) -> str:
    if source.passphrase is not None:
        return source.passphrase
    if source.passphrase_file is None:
        raise StartError(message=f"setting {source.name}_keystore: a passphrase is needed to open it")
    try:
        return source.passphrase_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise StartError(message=f"setting {source.name}_passphrase_file: the file cannot be read") from None
