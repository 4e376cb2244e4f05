"""Where the console keeps a secret that somebody has typed: the keyring of the operating system, or a file
that only its owner can read.

Settings files then hold a reference to it (:mod:`luxxon_core.plugins.secrets`), never the secret.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from luxxon_core.kernel.errors import StartError
from luxxon_core.toml_edit import write_private

SERVICE = "luxxon"
"""Of entries in the keyring."""


def store_file() -> Path:
    """The file: ``LUXXON_SECRETS_FILE``, or ``secrets.json`` in the user's configuration folder."""
    import platformdirs

    named = os.environ.get("LUXXON_SECRETS_FILE")
    return Path(named) if named else platformdirs.user_config_path("luxxon", appauthor=False) / "secrets.json"


def keep(name: str, secret: str) -> Mapping[str, str]:
    """Keep a secret under a name, in the place of one that is there; the reference to it.

    Raises:
        StartError: it can be kept nowhere.
    """
    if _in_keyring(name, secret):
        return {"keyring": f"{SERVICE}/{name}"}
    _write({**_all(), name: secret})
    return {"kept": name}


def kept(name: str) -> str | None:
    """The secret that the file has under a name.

    Raises:
        StartError: the file cannot be read, or others can read it.
    """
    return _all().get(name)


def forget(reference: object) -> None:
    """Let go of what :meth:`keep` has kept; other references are somebody else's. Idempotent.

    Raises:
        StartError: as :func:`keep`.
    """
    match reference:
        case {"kept": str(name)} if name in (known := _all()):
            _write({each: secret for each, secret in known.items() if each != name})
        case {"keyring": str(place)} if place.startswith(f"{SERVICE}/"):
            _out_of_keyring(place.removeprefix(f"{SERVICE}/"))


def _in_keyring(name: str, secret: str) -> bool:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return False
    try:
        keyring.set_password(SERVICE, name, secret)
        return keyring.get_password(SERVICE, name) == secret  # some backends take it and keep nothing
    except (KeyringError, RuntimeError, OSError):
        return False


def _out_of_keyring(name: str) -> None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return
    try:
        keyring.delete_password(SERVICE, name)
    except (KeyringError, RuntimeError, OSError):
        return


def _all() -> dict[str, str]:
    path = store_file()
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise StartError(message=f"{path} can be read by others: chmod 600 it")
            found = json.loads(file.read())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StartError(message=f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise StartError(message=f"{path} is no file of secrets") from None
    if not isinstance(found, dict) or not all(isinstance(secret, str) for secret in found.values()):
        raise StartError(message=f"{path} is no file of secrets")
    return found


def _write(secrets: Mapping[str, str]) -> None:
    path = store_file()
    try:
        write_private(path, json.dumps(secrets, indent=1))
    except OSError as error:
        raise StartError(message=f"{path} cannot be written: {error.strerror}") from None
