"""Wire types of the endpoints that belong to no slice (api-contract §5.7)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from luxxon_core.kernel.wire import Address


class Config(msgspec.Struct, frozen=True, rename="camel"):
    environment: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["TEST", "LIVE"]})]
    chain_id: int
    chain_name: str
    rpc_url: str
    explorer_url: str
    usdc_address: Address
    settlement_address: Address


class Health(msgspec.Struct, frozen=True, rename="camel"):
    ok: bool
    surface: str
    version: str
    build_sha: str


class Ready(msgspec.Struct, frozen=True, rename="camel"):
    ready: bool
    checks: dict[str, bool]
