"""Who calls: signing in with a wallet, and asking who one is."""

from __future__ import annotations

from luxxon_core.access.schemas import ApiKeyMe, ChallengeResponse, Login, Ok, Selected, WalletMe
from luxxon_core.client.transport import Id, Resource


class Auth(Resource):
    """Sign in: challenge, login with its signature, select a workspace. The client keeps the cookie."""

    async def challenge(self, wallet_address: str) -> ChallengeResponse:
        """A message to sign (EIP-4361), good once and until ``expires_at``."""
        body = {"walletAddress": wallet_address}
        return await self._transport.call("POST", "/auth/wallet/challenge", ChallengeResponse, body)

    async def login(self, wallet_address: str, nonce: str, signature: str) -> Login:
        """Sign in; the answer lists the wallet's workspaces.

        Args:
            signature: 0x hex: EIP-191 of an account, or what a smart wallet takes (EIP-1271, EIP-6492).

        Raises:
            NotAuthenticated: the nonce is unknown, used or expired, or the signature is another wallet's.
        """
        body = {"walletAddress": wallet_address, "nonce": nonce, "signature": signature}
        return await self._transport.call("POST", "/auth/wallet/login", Login, body)

    async def select_workspace(self, workspace_id: Id) -> Selected:
        """Act for a workspace from now on.

        Raises:
            WorkspaceNotFound; NotAuthorized: the wallet is no member.
        """
        body = {"workspaceId": str(workspace_id)}
        return await self._transport.call("POST", "/auth/workspace/select", Selected, body)

    async def logout(self) -> Ok:
        """Forget the cookie; also without one."""
        return await self._transport.call("POST", "/auth/logout", Ok)


class Me(Resource):
    async def get(self) -> WalletMe | ApiKeyMe:
        """Who is calling: a wallet with its workspaces, or a key with its scopes."""
        return await self._transport.call("GET", "/me", WalletMe | ApiKeyMe)  # type: ignore[arg-type]
