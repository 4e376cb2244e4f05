"""Secrets that a configuration refers to: ``{ env = "VARIABLE" }``, ``{ keyring = "service/user" }``, or
``{ kept = "name" }`` where the console has kept it (:mod:`luxxon_core.plugins.secret_store`).

They are fetched when the camera or the plugin that needs them is configured, not when the file is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def resolved(values: Mapping[str, Any], wrap: Callable[[str], Any] = str) -> dict[str, Any]:
    """The values with every reference, however deep, replaced by the secret in what ``wrap`` makes of it.

    Raises:
        SourceConfigError: a secret is not there. It names the reference.
    """
    return {name: _resolved(value, wrap) for name, value in values.items()}


def secrets_in(values: Any) -> Iterator[str]:
    """The plain text of every ``SecretStr`` in resolved values, to keep it out of what is shown."""
    from pydantic import SecretStr

    if isinstance(values, SecretStr):
        yield values.get_secret_value()
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from secrets_in(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from secrets_in(value)


def _resolved(value: Any, wrap: Callable[[str], Any]) -> Any:
    if isinstance(value, Mapping):
        match dict(value):
            case {"env": str(name), **rest} if not rest:
                return wrap(_of_environment(name))
            case {"keyring": str(name), **rest} if not rest:
                return wrap(_of_keyring(name))
            case {"kept": str(name), **rest} if not rest:
                return wrap(_of_store(name))
        return resolved(value, wrap)
    if isinstance(value, list | tuple):
        return [_resolved(one, wrap) for one in value]
    return value


def _of_environment(name: str) -> str:
    if (found := os.environ.get(name)) is None:
        raise _missing("env", f"the environment has no variable {name}")
    return found


def _of_keyring(name: str) -> str:
    service, _, user = name.rpartition("/")
    if not service or not user:
        raise _missing("keyring", f"the keyring entry {name!r} is not of the form service/user")
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise _missing("keyring", 'reading the keyring needs: pip install "luxxon[keyring]"') from None
    try:
        found = keyring.get_password(service, user)
    except KeyringError as error:
        raise _missing("keyring", f"the keyring does not answer ({type(error).__name__})") from None
    if found is None:
        raise _missing("keyring", f"the keyring has no entry for {user} of {service}")
    return str(found)


def _of_store(name: str) -> str:
    from luxxon_core.kernel.errors import StartError
    from luxxon_core.plugins.secret_store import kept

    try:
        found = kept(name)
    except StartError as error:
        raise _missing("kept", error.message) from None
    if found is None:
        raise _missing("kept", f"no secret {name} has been kept")
    return found


def _missing(label: str, message: str) -> Exception:
    from luxxon_core.source import SourceConfigError

    return SourceConfigError(f"secret:{label}", message)
