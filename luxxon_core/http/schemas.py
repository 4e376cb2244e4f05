"""Wire types of the endpoints that belong to no slice (api-contract §5.7)."""

from __future__ import annotations

import msgspec


class Config(msgspec.Struct, frozen=True, rename="camel"):
    environment: str
    chain_id: int
    chain_name: str
    rpc_url: str
    explorer_url: str
    usdc_address: str
    settlement_address: str


class Health(msgspec.Struct, frozen=True, rename="camel"):
    ok: bool
    surface: str
    version: str
    build_sha: str
