"""What access needs from outside."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from luxxon_core.access.domain import ApiKey, Challenge, Member, Purpose
from luxxon_core.http.principal import MemberRole
from luxxon_core.kernel.uow import Tx


@dataclass(frozen=True, slots=True)
class Membership:
    id: UUID
    slug: str
    name: str
    role: MemberRole


@dataclass(frozen=True, slots=True)
class Relation:
    """What a wallet, in any letter case, is in a workspace; a ``role`` of None: nothing."""

    workspace_id: UUID
    wallet_address: str
    role: MemberRole | None


class Challenges(Protocol):
    """Issued challenges, each good once."""

    async def add(self, tx: Tx, challenge: Challenge) -> None: ...

    async def use(
        self, tx: Tx, nonce: str, wallet_address: str, purpose: Purpose, now: datetime
    ) -> Challenge | None:
        """Mark the challenge used and return it; None when unknown, used, expired or of another purpose."""
        ...

    async def restore(self, tx: Tx, nonce: str) -> None:
        """Undo :meth:`use`, when whether the signature is good could not be found out."""
        ...

    async def purge(self, tx: Tx, before: datetime) -> int: ...


class Spending(Protocol):
    """What sessions take of the budgets of the keys that created them."""

    async def spent(
        self, tx: Tx, key_ids: Collection[UUID], since: datetime, until: datetime
    ) -> Mapping[UUID, int]:
        """µUSDC by key of the sessions created from ``since`` on and before ``until``: the charge of those
        that are over, the hold of the others. Keys without any may be missing."""
        ...

    async def spent_alone(self, tx: Tx, key_id: UUID, since: datetime, until: datetime) -> int:
        """The same of one key; nobody else can ask so for it until the transaction ends."""
        ...


class ApiKeys(Spending, Protocol):
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

    async def put(
        self, tx: Tx, workspace_id: UUID, wallet_address: str, role: MemberRole, now: datetime
    ) -> Member:
        """Add the member, or change the role of one that exists."""
        ...

    async def remove(self, tx: Tx, workspace_id: UUID, wallet_address: str) -> Member | None:
        """What the member was; None when it was none."""
        ...

    async def owners(self, tx: Tx, workspace_id: UUID) -> list[str]:
        """The owners' wallets; nobody else who asks so can change members until the transaction ends."""
        ...

    async def of_workspace(self, tx: Tx, workspace_id: UUID) -> list[Member]:
        """Oldest first."""
        ...

    async def role(self, tx: Tx, wallet_address: str, workspace_id: UUID) -> MemberRole | None: ...

    async def of_wallet(self, tx: Tx, wallet_address: str) -> list[Membership]: ...

    async def workspace_name(self, tx: Tx, workspace_id: UUID) -> tuple[str, str] | None:
        """Slug and name of the workspace."""
        ...


class Mirror(Protocol):
    """Keeps the authorization service in step with the member table, which is what it is made from."""

    async def changed(self, tx: Tx, workspace_id: UUID, wallet_address: str, now: datetime) -> None:
        """Note, in the transaction that changes the member, that the service is to hear of it."""
        ...

    async def flush(self, workspace_id: UUID) -> str | None:
        """Tell the service what was noted of the workspace and committed.

        Returns a consistency token that covers it; None when the service could not be told now: it will be.
        """
        ...


class Relationships(Protocol):
    """The relations that the authorization service holds. All raise :class:`AuthzError` when it fails."""

    async def prepare(self) -> None:
        """See to it that the service knows the schema."""
        ...

    async def write(self, relations: Sequence[Relation]) -> str:
        """Make these true, each wallet being one thing in a workspace; returns a consistency token.

        Without any it is a token of the newest state.
        """
        ...

    async def page(self, cursor: str | None) -> tuple[list[Relation], str | None]:
        """Some relations held, wallets in lower case, and the cursor to go on with, None at the end."""
        ...

    async def lacking(self, relations: Sequence[Relation]) -> list[Relation]:
        """Those of the given ones, roles all, that the service does not hold."""
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
