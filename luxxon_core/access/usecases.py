"""Sign in, pick a workspace, mint and use keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from luxxon_core.access.domain import (
    LAST_USED_EVERY,
    NONCE,
    PREFIX_LENGTH,
    ApiKey,
    Challenge,
    Purpose,
    SignInDomain,
    check_mint,
    key_hash,
    key_plaintext,
    new_challenge,
    seal,
    unseal,
)
from luxxon_core.access.ports import ApiKeys, Challenges, Members, Membership, Secrets, Wallets
from luxxon_core.http.principal import ApiKeyPrincipal, MemberRole, WalletPrincipal
from luxxon_core.kernel.errors import (
    InvalidApiKey,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    RevokedApiKey,
    WorkspaceNotFound,
)
from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.uow import Tx, UnitOfWork


@dataclass(frozen=True, slots=True)
class Access:
    """Sign-in, keys and roles; implements the guard's ``Authenticator`` and ``Authorizer``."""

    uow: UnitOfWork
    challenges: Challenges
    keys: ApiKeys
    members: Members
    wallets: Wallets
    secrets: Secrets
    new_id: NewId
    sign_in: SignInDomain
    environment: str
    cookie_secret: bytes = field(repr=False)

    async def challenge(self, wallet_address: str, purpose: Purpose, now: datetime) -> Challenge:
        """Issue a single-use challenge for the wallet to sign."""
        wallet = self.wallets.checksum(wallet_address)
        challenge = new_challenge(self.sign_in, wallet, purpose, self.secrets.token(16).hex(), now)
        async with self.uow.begin() as tx:
            await self.challenges.add(tx, challenge)
        return challenge

    async def prove(
        self, wallet_address: str, nonce: str, signature: str, purpose: Purpose, now: datetime
    ) -> str:
        """Consume the challenge and verify its signature; returns the checksummed wallet.

        The nonce is used up in a transaction of its own, before verification: a wrong signature
        burns it and a replay finds nothing.

        Raises:
            NotAuthenticated: ``auth:nonce`` or ``auth:signature``.
        """
        wallet = self.wallets.checksum(wallet_address)
        if not NONCE.fullmatch(nonce):
            raise NotAuthenticated("auth:nonce")
        async with self.uow.begin() as tx:
            challenge = await self.challenges.use(tx, nonce, wallet, purpose, now)
        if challenge is None:
            raise NotAuthenticated("auth:nonce")
        if not await self.wallets.verify(wallet, challenge.message, signature):
            raise NotAuthenticated("auth:signature")
        return wallet

    async def login(
        self, wallet_address: str, nonce: str, signature: str, now: datetime
    ) -> tuple[str, list[Membership], str]:
        """Sign in: the wallet, its workspaces and the cookie value."""
        wallet = await self.prove(wallet_address, nonce, signature, Purpose.LOGIN, now)
        async with self.uow.read() as tx:
            memberships = await self.members.of_wallet(tx, wallet)
        return wallet, memberships, seal(WalletPrincipal(wallet, None, None), now, self.cookie_secret)

    async def select(
        self, principal: WalletPrincipal, workspace_id: UUID, now: datetime
    ) -> tuple[MemberRole, str]:
        """Pick a workspace; membership is checked afresh. Returns the role and the new cookie value.

        Raises:
            WorkspaceNotFound, NotAuthorized.
        """
        role = await self.role(principal.wallet_address, workspace_id)
        if role is None and await self.workspace_name(workspace_id) is None:
            raise WorkspaceNotFound
        if role is None:
            raise NotAuthorized("auth:member")
        picked = WalletPrincipal(principal.wallet_address, workspace_id, role)
        return role, seal(picked, now, self.cookie_secret)

    async def memberships(self, wallet_address: str) -> list[Membership]:
        async with self.uow.read() as tx:
            return await self.members.of_wallet(tx, wallet_address)

    async def workspace_name(self, workspace_id: UUID) -> tuple[str, str] | None:
        """Slug and name of the workspace a key belongs to."""
        async with self.uow.read() as tx:
            return await self.members.workspace_name(tx, workspace_id)

    async def mint(
        self,
        workspace_id: UUID,
        by_wallet: str,
        label: str,
        environment: str,
        scopes: Sequence[str],
        now: datetime,
    ) -> tuple[ApiKey, str]:
        """A new key and its plaintext, which is never seen again."""
        check_mint(label, environment, list(scopes), self.environment)
        plaintext = key_plaintext(environment, workspace_id, self.secrets.token(32))
        key = ApiKey(
            id=self.new_id(),
            workspace_id=workspace_id,
            hash=key_hash(plaintext),
            prefix=plaintext[:PREFIX_LENGTH],
            label=label.strip(),
            environment=environment,
            scopes=tuple(dict.fromkeys(scopes)),
            created_at=now,
            created_by_wallet=by_wallet,
        )
        async with self.uow.begin() as tx:
            await self.keys.add(tx, key)
        return key, plaintext

    async def list_keys(self, workspace_id: UUID) -> list[ApiKey]:
        async with self.uow.read() as tx:
            return await self.keys.of_workspace(tx, workspace_id)

    async def revoke(self, workspace_id: UUID, key_id: UUID, now: datetime) -> ApiKey:
        """Revoke with 60 s of grace; a second call changes nothing."""
        async with self.uow.begin() as tx:
            key = await self.keys.revoke(tx, workspace_id, key_id, now)
        if key is None:
            raise NotFound("apiKey:id")
        return key

    async def by_bearer(self, token: str, now: datetime) -> ApiKeyPrincipal:
        """The principal of a key; implements :class:`~luxxon_core.http.guard.Authenticator`."""
        digest = key_hash(token)
        async with self.uow.read() as tx:
            key = await self.keys.by_hash(tx, digest)
            if key is None:
                raise InvalidApiKey
            if not key.works_at(now):
                raise RevokedApiKey
        if key.last_used_at is None or now - key.last_used_at >= LAST_USED_EVERY:
            async with self.uow.begin() as tx:
                await self.keys.touch(tx, key.id, now)
        return ApiKeyPrincipal(key.id, key.workspace_id, frozenset(key.scopes), key.environment)

    def by_cookie(self, value: str, now: datetime) -> WalletPrincipal:
        return unseal(value, now, self.cookie_secret)

    async def role(self, wallet_address: str, workspace_id: UUID) -> MemberRole | None:
        """Implements :class:`~luxxon_core.http.guard.Authorizer` over the member table."""
        async with self.uow.read() as tx:
            return await self.members.role(tx, wallet_address, workspace_id)

    async def add_owner(self, tx: Tx, workspace_id: UUID, wallet_address: str, now: datetime) -> None:
        await self.members.add(tx, workspace_id, wallet_address, MemberRole.OWNER, now)

    async def purge(self, now: datetime) -> int:
        """Delete challenges that have expired."""
        async with self.uow.begin() as tx:
            return await self.challenges.purge(tx, now)
