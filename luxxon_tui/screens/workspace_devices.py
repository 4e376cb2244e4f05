"""The cameras that this machine's settings offer for workspaces."""

from __future__ import annotations

from luxxon_core.kernel.errors import StartError


def cameras_of_settings() -> list[tuple[str, str, str]]:
    """Name, kind and workspace's slug of the cameras of ``luxxon.toml``. Blocks.

    Raises:
        StartError: the file has a fault; it names the field.
    """
    from luxxon_core.operator.enrolment import slug_of
    from luxxon_core.settings import load_cameras

    try:
        cameras = load_cameras().cameras
    except OSError as error:
        raise StartError(message=f"luxxon.toml cannot be read: {error.strerror or error}") from error
    return [
        (name, table.type.partition(":")[0], str(table.operate.get("slug") or slug_of(name)))
        for name, table in cameras.items()
    ]
