"""The operating system: randomness, secrets kept in a data directory, and who may use one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from luxxon_core.kernel.errors import StartError


class SystemSecrets:
    """Implements :class:`~luxxon_core.access.ports.Secrets`."""

    def token(self, size: int) -> bytes:
        return secrets.token_bytes(size)


def kept_secret(path: Path, size: int = 32) -> bytes:
    """The secret in ``path``, made at first use, readable by its owner alone; whole or absent.

    Raises:
        StartError: the file can be neither read nor made, or it holds less than ``size`` bytes.
    """
    try:
        if not path.exists():
            draft = path.with_suffix(".new")
            draft.unlink(missing_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(size))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        kept = path.read_bytes()
    except OSError as error:
        raise StartError(message=f"cannot keep secrets in {path.parent}: {error.strerror}") from error
    if len(kept) < size:
        raise StartError(message=f"{path} is damaged; remove it to have a new secret made")
    return kept


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[Path]:
    """``directory``, made if need be, for one process at a time: the kernel frees the lock when we die.

    Raises:
        StartError: not writable, or in use.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartError(message=f"data directory {directory} is not writable: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(message=f"data directory {directory} is in use by another luxxon") from error
        yield directory
    finally:
        os.close(handle)


@contextlib.contextmanager
def private_directory(root: Path, clear: Callable[[Path], object]) -> Iterator[Path]:
    """A new folder under ``root`` for this run alone, removed at its end.

    Folders that killed runs left there go first, once ``clear(folder)`` has ended what may still run there.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        left = [folder for folder in root.iterdir() if folder.is_dir()]
    except OSError as error:
        raise StartError(message=f"data directory {root} is not writable: {error.strerror}") from error
    for folder in left:
        with contextlib.suppress(StartError), locked(folder):
            clear(folder)
            shutil.rmtree(folder, ignore_errors=True)
    with locked(root / f"run-{os.getpid()}-{secrets.token_hex(4)}") as made:
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
