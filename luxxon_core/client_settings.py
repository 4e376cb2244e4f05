"""Settings of those who call a server, and of the contracts' owner: from the environment alone.

Read by :mod:`luxxon_core.settings`.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    """The server that a command calls, and the key it calls it with."""

    model_config = SettingsConfigDict(
        env_prefix="LUXXON_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    url: str = Field(default="http://127.0.0.1:3010", pattern="^https?://[^/ ?#@]+/?$")
    """The server, without ``/api/v1``."""
    api_key: SecretStr | None = None
    """A key of a workspace."""
    wallet: Path | None = None
    """The keystore of your own wallet. Not given: ``wallet.json`` in your configuration folder."""
    wallet_passphrase: SecretStr | None = None
    """What opens it; asked for at a terminal when neither this nor the next is given."""
    wallet_passphrase_file: Path | None = None
    """A file with what opens it."""

    @field_validator("api_key")
    @classmethod
    def _sendable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not re.fullmatch("[!-~]+", value.get_secret_value()):
            raise ValueError("must be letters, digits and signs of ASCII")
        return value


class OwnerSettings(BaseSettings):
    """The key that deploys contracts and owns them: at most one of the three kinds."""

    model_config = SettingsConfigDict(
        env_prefix="LUXXON_OWNER_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    key: SecretStr | None = None
    """In hexadecimal."""
    keystore: Path | None = None
    """A keystore (version 3)."""
    passphrase: SecretStr | None = None
    """What opens it."""
    passphrase_file: Path | None = None
    """A file with what opens it."""
    kms_key: str | None = None
    """Id, ARN or alias of a key in AWS KMS."""
