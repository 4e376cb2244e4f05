"""Settings of the chain that a server settles on, and of what its relayer signs with."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator


class ChainSettings(BaseModel):
    """A part of :class:`luxxon_core.settings.Settings`."""

    # -- Chain
    rpc_port: int = Field(default=0, ge=0, le=65535)
    """Port of the embedded chain's JSON-RPC; 0 takes a free one."""

    rpc_url: SecretStr | None = None
    """JSON-RPC of a chain that somebody else runs, ``http(s)`` or ``ws(s)``; may hold a provider's key.
    Several nodes with commas between, or as a list: the first that works is asked; one that fails, lags or
    limits is passed over until it has recovered. Not given: the embedded development chain."""
    rpc_ws_url: SecretStr | None = None
    """Where a node tells of new blocks by WebSocket, which wakes the watcher; it polls without. Not given:
    the first ``ws(s)`` of ``rpc_url``."""
    public_rpc_url: str | None = None
    """What ``GET /config`` tells clients to use; needed beside an ``rpc_url`` that is not on this
    machine."""
    settlement_address: str | None = None
    """The settlement contract; needed beside ``rpc_url``."""
    usdc_address: str | None = None
    """Read from the contract when not given, checked when given."""
    chain_id: int | None = Field(default=None, ge=1)
    """Likewise, of the chain."""
    chain_name: str | None = None
    """For people. Not given: by chain id."""
    explorer_url: str = ""
    """For people."""
    settlement_block: int | None = Field(default=None, ge=0)
    """Where the contract's history begins; found out when not given."""
    confirmations: int | None = Field(default=None, ge=1)
    """Blocks until a transaction counts. Not given: 3, and 1 on the embedded chain."""
    final_confirmations: int | None = Field(default=None, ge=1, le=100)
    """Blocks until no reorganisation is looked for any more. Not given: 64, and 1 on the embedded chain."""
    max_fee_gwei: float = Field(default=50, gt=0, le=1_000_000)
    """Most that the relayer offers for a gas (EIP-1559 ``maxFeePerGas``); while the chain asks for more,
    payments wait."""
    priority_fee_gwei: float | None = Field(default=None, ge=0, le=1_000_000)
    """The relayer's tip for a gas. Not given: what the node proposes."""
    # -- The relayer's key
    relayer_key: SecretStr | None = None
    """In hexadecimal. At most one of these kinds of key; a server without any pays nothing
    (docs/running.md#keys)."""
    relayer_keystore: Path | None = None
    """A keystore (version 3); asks for its passphrase at a terminal when neither of the next is given."""
    relayer_passphrase: SecretStr | None = None
    """What opens it."""
    relayer_passphrase_file: Path | None = None
    """A file with what opens it."""
    relayer_kms_key: str | None = None
    """Id, ARN or alias of a key in AWS KMS."""
    relayer_signer: str | None = None
    """A signer that a plugin registers (docs/plugins.md#luxxon_register_signersregister-config)."""
    kms_region: str | None = None
    """Not given: boto3's."""
    kms_endpoint: str | None = None
    """Not given: boto3's."""

    # -- Deposits without ETH
    sponsored_deposits: bool = True
    """Whether the relayer pays the gas of deposits that consumers without ETH sign (ERC-3009)."""
    sponsored_deposit_min_uusdc: int = Field(default=1_000_000, ge=1)
    """None below it, in µUSDC."""
    rate_limit_deposits: int = Field(default=6, ge=0)
    """Such deposits an hour of one wallet; 0 for as many as one likes."""

    @field_validator("rpc_url", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("rpc_url", "rpc_ws_url")
    @classmethod
    def _of_nodes(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        schemes = ("http", "https", "ws", "wss") if info.field_name == "rpc_url" else ("ws", "wss")
        form = re.compile(rf"({'|'.join(schemes)})://[^\s/]\S*")
        if value is not None and not all(form.fullmatch(one) for one in _parts(value)):
            raise ValueError(f"must be {', '.join(schemes)}:// and a host")
        return value

    @property
    def rpc_urls(self) -> tuple[str, ...]:
        """Of the chain's nodes, the preferred one first; none for the embedded chain."""
        return () if self.rpc_url is None else _parts(self.rpc_url)


def _parts(listed: SecretStr) -> tuple[str, ...]:
    return tuple(one.strip() for one in listed.get_secret_value().split(","))
