"""Addresses and signatures of Ethereum wallets."""

from __future__ import annotations

import asyncio

from luxxon_core.kernel.errors import InvalidInput


class EthereumWallets:
    """Implements :class:`~luxxon_core.access.ports.Wallets` for externally owned accounts."""

    def checksum(self, address: str) -> str:
        from eth_utils import is_hex_address, to_checksum_address

        if not address.startswith(("0x", "0X")) or not is_hex_address(address):
            raise InvalidInput("auth:walletAddress")
        return str(to_checksum_address(address))

    async def verify(self, wallet_address: str, message: str, signature: str) -> bool:
        """ECDSA recovery over the EIP-191 personal message; a malformed signature is just wrong."""
        return await asyncio.to_thread(self._verify, wallet_address, message, signature)

    def _verify(self, wallet_address: str, message: str, signature: str) -> bool:
        from eth_account import Account
        from eth_account.messages import encode_defunct
        from eth_keys.exceptions import BadSignature, ValidationError

        try:
            recovered = Account.recover_message(encode_defunct(text=message), signature=signature)
        except (BadSignature, ValidationError, ValueError, TypeError, IndexError):
            return False
        return bool(recovered == wallet_address)
