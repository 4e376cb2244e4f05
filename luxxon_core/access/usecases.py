"""Sign in, pick a workspace, mint and use keys."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from luxxon_core.access.domain import (
    LAST_USED_EVERY,
    NONCE,
    PREFIX_LENGTH,
    ApiKey,
    Challenge,
    Member,
    Purpose,
    SignInDomain,
    budget_day,
    check_budget,
    check_mint,
    key_hash,
    key_plaintext,
    new_challenge,
    seal,
    spare_last_owner,
    unseal,
)
from luxxon_core.access.ports import ApiKeys, Challenges, Members, Membership, Mirror, Secrets, Wallets
from luxxon_core.http.guard import Authorizer
from luxxon_core.http.principal import ApiKeyPrincipal, Budget, MemberRole, Permission, WalletPrincipal
from luxxon_core.kernel.errors import (
    ExternalError,
    InvalidApiKey,
    InvalidInput,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    RevokedApiKey,
    WorkspaceNotFound,
)
from luxxon_core.kernel.ids import NewId
from luxxon_core.kernel.uow import Tx, UnitOfWork

KNOWN_FOR = timedelta(seconds=5)
MOST_KNOWN = 10_000


class KnownKeys:
    """API keys as last read, so that a busy one costs no query a request.

    What is known stays :data:`KNOWN_FOR`, which is far below the grace of a revoked key: one that another
    process revokes is read again, with the end of its grace, long before that end.
    """

    def __init__(self, most: int = MOST_KNOWN) -> None:
        self._most = most
        self._keys: OrderedDict[bytes, tuple[ApiKey, datetime, ApiKeyPrincipal]] = OrderedDict()

    def get(self, digest: bytes, now: datetime) -> tuple[ApiKey, ApiKeyPrincipal] | None:
        found = self._keys.get(digest)
        if found is None or not found[1] <= now < found[1] + KNOWN_FOR:
            return None
        self._keys.move_to_end(digest)
        return found[0], found[2]

    def put(self, key: ApiKey, read_at: datetime) -> ApiKeyPrincipal:
        """Keep a key that has just been read; those that were not used for longest make room."""
        principal = ApiKeyPrincipal(
            key.id, key.workspace_id, frozenset(key.scopes), key.environment, key.budget
        )
        self._keys[key.hash] = key, read_at, principal
        self._keys.move_to_end(key.hash)
        while len(self._keys) > self._most:
            self._keys.popitem(last=False)
        return principal

    def used(self, digest: bytes, now: datetime) -> None:
        """Note a use where the key is known; what was read of it grows no younger."""
        if (found := self._keys.get(digest)) is not None:
            self._keys[digest] = replace(found[0], last_used_at=now), found[1], found[2]

    def forget(self, digest: bytes) -> None:
        self._keys.pop(digest, None)


@dataclass(frozen=True, slots=True)
class Access:
    """Sign-in and keys; implements the guard's ``Authenticator``."""

    uow: UnitOfWork
    challenges: Challenges
    keys: ApiKeys
    members: Members
    authorizer: Authorizer
    wallets: Wallets
    secrets: Secrets
    new_id: NewId
    sign_in: SignInDomain
    environment: str
    cookie_secrets: Sequence[bytes] = field(repr=False)
    """The first seals; all open, so that a new one may be put before it until the old cookies are over."""
    known_keys: KnownKeys = field(default_factory=KnownKeys, repr=False)

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
            ExternalError: the chain had to be asked about a smart wallet and failed; the nonce stays good.
        """
        wallet = self.wallets.checksum(wallet_address)
        if not NONCE.fullmatch(nonce):
            raise NotAuthenticated("auth:nonce")
        async with self.uow.begin() as tx:
            challenge = await self.challenges.use(tx, nonce, wallet, purpose, now)
        if challenge is None:
            raise NotAuthenticated("auth:nonce")
        try:
            genuine = await self.wallets.verify(wallet, challenge.message, signature)
        except ExternalError:  # nothing was decided, so the same request may come again
            async with self.uow.begin() as tx:
                await self.challenges.restore(tx, nonce)
            raise
        if not genuine:
            raise NotAuthenticated("auth:signature")
        return wallet

    async def login(
        self, wallet_address: str, nonce: str, signature: str, now: datetime
    ) -> tuple[str, list[Membership], str]:
        """Sign in: the wallet, its workspaces and the cookie value."""
        wallet = await self.prove(wallet_address, nonce, signature, Purpose.LOGIN, now)
        async with self.uow.read() as tx:
            memberships = await self.members.of_wallet(tx, wallet)
        return wallet, memberships, seal(WalletPrincipal(wallet, None, None), now, self.cookie_secrets[0])

    async def select(
        self, principal: WalletPrincipal, workspace_id: UUID, now: datetime
    ) -> tuple[MemberRole, str, str | None]:
        """Pick a workspace; membership is checked afresh, whatever token a client still has.

        Returns the role, the new cookie value and the consistency token of the check.

        Raises:
            WorkspaceNotFound, NotAuthorized, AuthzError.
        """
        wallet = principal.wallet_address
        checked = await self.authorizer.check(wallet, workspace_id, Permission.VIEW, None)
        role = await self.role(wallet, workspace_id)
        if role is None and await self.workspace_name(workspace_id) is None:
            raise WorkspaceNotFound
        if role is None or not checked.allowed:
            raise NotAuthorized("auth:member")
        picked = WalletPrincipal(wallet, workspace_id, role)
        return role, seal(picked, now, self.cookie_secrets[0]), checked.token

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
        budget: Budget | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its plaintext, which is never seen again.

        Raises:
            InvalidInput: naming the field.
        """
        check_mint(label, environment, list(scopes), self.environment)
        limits = None if budget is None else check_budget(budget)
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
            budget=limits,
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
        self.known_keys.forget(key.hash)
        return key

    async def spent_today(self, key_ids: Collection[UUID], now: datetime) -> Mapping[UUID, int]:
        """µUSDC that today's sessions of keys with a budget cost, or may cost yet."""
        if not key_ids:
            return {}
        async with self.uow.read() as tx:
            return await self.keys.spent(tx, key_ids, *budget_day(now))

    async def by_bearer(self, token: str, now: datetime) -> ApiKeyPrincipal:
        """The principal of a key; implements :class:`~luxxon_core.http.guard.Authenticator`.

        Raises:
            InvalidToken, InvalidApiKey, RevokedApiKey.
        """
        digest = key_hash(token)
        if (known := self.known_keys.get(digest, now)) is not None:
            key, principal = known
        else:
            async with self.uow.read() as tx:
                read = await self.keys.by_hash(tx, digest)
            if read is None:
                raise InvalidApiKey
            key, principal = read, self.known_keys.put(read, now)
        if not key.works_at(now):
            raise RevokedApiKey
        if key.last_used_at is None or now - key.last_used_at >= LAST_USED_EVERY:
            self.known_keys.used(digest, now)  # before the write, so that requests meanwhile do not repeat it
            async with self.uow.begin() as tx:
                await self.keys.touch(tx, key.id, now)
        return principal

    def by_cookie(self, value: str, now: datetime) -> WalletPrincipal:
        """The principal of a cookie, whichever secret in use sealed it.

        Raises:
            NotAuthenticated: forged or expired.
        """
        return unseal(value, now, self.cookie_secrets)

    async def vouches(self, maker: str | UUID, workspace_id: UUID, now: datetime) -> bool:
        """Whether who made something for the workspace may act for it still: a wallet with the permission
        ``operate`` there, or a key of it, by its id, that works.

        Raises:
            AuthzError: whether a wallet may could not be found out.
        """
        if isinstance(maker, str):
            wallet = self.wallets.checksum(maker)
            return (await self.authorizer.check(wallet, workspace_id, Permission.OPERATE, None)).allowed
        async with self.uow.read() as tx:
            keys = await self.keys.of_workspace(tx, workspace_id)
        return any(key.id == maker and key.works_at(now) for key in keys)

    async def role(self, wallet_address: str, workspace_id: UUID) -> MemberRole | None:
        """The role to show; what it allows is the authorizer's to say."""
        async with self.uow.read() as tx:
            return await self.members.role(tx, wallet_address, workspace_id)

    async def purge(self, now: datetime) -> int:
        """Delete challenges that have expired."""
        async with self.uow.begin() as tx:
            return await self.challenges.purge(tx, now)


@dataclass(frozen=True, slots=True)
class Memberships:
    """Who belongs to a workspace, and as what; the authorization service hears of every change."""

    uow: UnitOfWork
    members: Members
    wallets: Wallets
    mirror: Mirror

    async def of_workspace(self, workspace_id: UUID) -> list[Member]:
        """The members, oldest first."""
        async with self.uow.read() as tx:
            return await self.members.of_workspace(tx, workspace_id)

    async def put(
        self, workspace_id: UUID, by_wallet: str, wallet_address: str, role: MemberRole, now: datetime
    ) -> tuple[Member, str | None]:
        """Make the wallet a member with this role, whatever it was before.

        Returns the member and a consistency token; None while the authorization service cannot be told.

        Raises:
            InvalidInput; Conflict ``member:lastOwner``; NotAuthorized: ``by_wallet`` is an owner no more.
        """
        wallet = self.wallets.checksum(wallet_address)
        async with self.uow.begin() as tx:
            await self._change(tx, workspace_id, by_wallet, wallet, role)
            member = await self.members.put(tx, workspace_id, wallet, role, now)
            await self.mirror.changed(tx, workspace_id, wallet, now)
        return member, await self.mirror.flush(workspace_id)

    async def remove(
        self, workspace_id: UUID, by_wallet: str, wallet_address: str, now: datetime
    ) -> tuple[Member, str | None]:
        """End a membership; returns what it was, and a token as :meth:`put` does.

        Raises:
            NotFound ``member:wallet``; Conflict ``member:lastOwner``; NotAuthorized as :meth:`put`.
        """
        try:
            wallet = self.wallets.checksum(wallet_address)
        except InvalidInput:
            raise NotFound("member:wallet") from None
        async with self.uow.begin() as tx:
            await self._change(tx, workspace_id, by_wallet, wallet, None)
            member = await self.members.remove(tx, workspace_id, wallet)
            if member is None:
                raise NotFound("member:wallet")
            await self.mirror.changed(tx, workspace_id, wallet, now)
        return member, await self.mirror.flush(workspace_id)

    async def add_owner(self, tx: Tx, workspace_id: UUID, wallet_address: str, now: datetime) -> None:
        """The first member of a new workspace; to be followed by ``mirror.flush`` after the commit."""
        await self.members.add(tx, workspace_id, wallet_address, MemberRole.OWNER, now)
        await self.mirror.changed(tx, workspace_id, wallet_address, now)

    async def _change(
        self, tx: Tx, workspace_id: UUID, by_wallet: str, wallet: str, role: MemberRole | None
    ) -> None:
        """Hold the members still, and check again what two changes at once could both have passed."""
        owners = await self.members.owners(tx, workspace_id)
        spare_last_owner(owners, wallet, role)
        if by_wallet not in owners:
            raise NotAuthorized("auth:permission:manage_members")
