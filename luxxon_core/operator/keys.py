"""The API keys of an operator's cameras: a file that only its owner can read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from luxxon_core.kernel.errors import StartError

FILE = "operator-keys.json"


class Kept(msgspec.Struct, frozen=True, rename="camel"):
    """A camera's workspace and the key for it."""

    workspace_id: str
    slug: str
    api_key: str

    def __repr__(self) -> str:
        return f"Kept({self.slug})"


Servers = dict[str, dict[str, Kept]]


@dataclass(frozen=True, slots=True)
class KeyFile:
    """By server and camera."""

    directory: Path

    @property
    def path(self) -> Path:
        return self.directory / FILE

    def read(self, server: str) -> Mapping[str, Kept]:
        """The cameras of a server; none where there is no such file.

        Raises:
            StartError: the file cannot be read, others can read it, or it is not ours.
        """
        return self._all().get(server, {})

    def write(self, server: str, camera: str, kept: Kept) -> None:
        """Keep one, and put the file in place whole.

        Raises:
            StartError: as :meth:`read`, or it cannot be written.
        """
        servers = self._all()
        servers.setdefault(server, {})[camera] = kept
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A temporary file is its owner's alone (0600) from the beginning.
            number, name = tempfile.mkstemp(dir=self.directory, prefix=FILE)
            with os.fdopen(number, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(servers)))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except OSError as error:
            raise StartError(message=f"{self.path} cannot be written: {error.strerror}") from None

    def _all(self) -> Servers:
        try:
            with self.path.open("rb") as file:
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                    raise StartError(message=f"{self.path} can be read by others: chmod 600 it")
                return msgspec.json.decode(file.read(), type=Servers)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StartError(message=f"{self.path} cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise StartError(message=f"{self.path} is no file of keys") from None
