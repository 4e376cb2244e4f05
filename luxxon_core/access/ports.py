"""What access needs from outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.access.domain import ApiKey, Challenge, Purpose
from luxxon_core.http.principal import MemberRole
from luxxon_core.kernel.uow import Tx


@dataclass(frozen=True, slots=True)
class Membership:
    id: UUID
    slug: str
    name: str
    role: MemberRole


class Challenges(Protocol):
    """Issued challenges, each good once."""

    async def add(self, tx: Tx, challenge: Challenge) -> None: ...

    async def use(
        self, tx: Tx, nonce: str, wallet_address: str, purpose: Purpose, now: datetime
    ) -> Challenge | None:
        """Mark the challenge used and return it; None when unknown, used, expired or of another purpose."""
        ...

    async def purge(self, tx: Tx, before: datetime) -> int: ...


class ApiKeys(Protocol):
    """Keys by their hash."""

    async def add(self, tx: Tx, key: ApiKey) -> None: ...

    async def by_hash(self, tx: Tx, digest: bytes) -> ApiKey | None: ...

    async def of_workspace(self, tx: Tx, workspace_id: UUID) -> list[ApiKey]: ...

    async def revoke(self, tx: Tx, workspace_id: UUID, key_id: UUID, now: datetime) -> ApiKey | None:
        """Set the revocation once; a second call keeps the first times. None for an unknown key."""
        ...

    async def touch(self, tx: Tx, key_id: UUID, now: datetime) -> None: ...


class Members(Protocol):
    """Who belongs to which workspace, and as what."""

    async def add(
        self, tx: Tx, workspace_id: UUID, wallet_address: str, role: MemberRole, now: datetime
    ) -> None: ...

    async def role(self, tx: Tx, wallet_address: str, workspace_id: UUID) -> MemberRole | None: ...

    async def of_wallet(self, tx: Tx, wallet_address: str) -> list[Membership]: ...

    async def workspace_name(self, tx: Tx, workspace_id: UUID) -> tuple[str, str] | None:
        """Slug and name of the workspace."""
        ...


class Wallets(Protocol):
    """Knows addresses and signatures of the chain."""

    def checksum(self, address: str) -> str:
        """The EIP-55 form of an address in any letter case.

        Raises:
            InvalidInput: not 20 bytes of hex.
        """
        ...

    async def verify(self, wallet_address: str, message: str, signature: str) -> bool:
        """True when ``signature`` (0x hex, EIP-191 personal message) is the wallet's."""
        ...


class Secrets(Protocol):
    """The only source of randomness."""

    def token(self, size: int) -> bytes:
        """``size`` random bytes fit for secrets."""
        ...
