"""A wallet's key in a file of one's own: Web3 Secret Storage, version 3, stretched with scrypt."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from luxxon_core.client.wallet import LocalWallet
from luxxon_core.kernel.errors import Conflict, InvalidInput


def write(path: Path, wallet: LocalWallet, passphrase: str) -> None:
    """Keep a wallet in a new file that only its owner can read; a second's work, by intent.

    Raises:
        Conflict: there is such a file; it stays as it is.
        InvalidInput: the file cannot be written, or the passphrase is empty.
    """
    if not passphrase:
        raise InvalidInput("wallet:passphrase", "An empty passphrase protects nothing")
    text = json.dumps(wallet.encrypted(passphrase))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                path.unlink()  # half a key is none, and keeps a whole one from this place
                raise
    except FileExistsError:
        raise Conflict("wallet:exists", f"There is a wallet in {path} already") from None
    except OSError as error:
        raise InvalidInput("wallet:file", f"{path} cannot be written: {error.strerror}") from None


def read(path: Path, passphrase: str) -> LocalWallet:
    """The wallet in a file.

    Raises:
        InvalidInput: there is none, it is not such a file, or the passphrase does not open it.
    """
    content = _content(path)
    try:
        return LocalWallet.decrypted(content, passphrase)
    except ValueError:
        raise InvalidInput("wallet:passphrase", f"The passphrase does not open {path}") from None
    except (KeyError, TypeError, AttributeError, NotImplementedError):
        raise InvalidInput("wallet:file", f"{path} is no keystore") from None


def address_in(path: Path) -> str:
    """The address that a file is for, as it says; EIP-55.

    Raises:
        InvalidInput: there is none, or it tells no address.
    """
    from eth_utils.address import to_checksum_address

    try:
        return to_checksum_address(str(_content(path)["address"]))
    except (KeyError, ValueError):
        raise InvalidInput("wallet:file", f"{path} does not tell its address") from None


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInput("wallet:missing", f"There is no wallet in {path}: luxxon wallet new") from None
    except OSError as error:
        raise InvalidInput("wallet:file", f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InvalidInput("wallet:file", f"{path} is no keystore")
    return content
