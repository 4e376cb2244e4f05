"""The endpoints about the deployment itself."""

from __future__ import annotations

from luxxon_core.http.operation import Access, Call, Operation
from luxxon_core.http.schemas import Config, Health


def operations(config: Config, health: Health) -> list[Operation]:
    async def get_health(_: Call[None]) -> Health:
        return health

    async def get_config(_: Call[None]) -> Config:
        return config

    return [
        Operation("GET", "/health", get_health, Access.PUBLIC, Health),
        Operation("GET", "/config", get_config, Access.PUBLIC, Config),
    ]
