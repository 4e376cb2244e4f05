"""A wallet's key in this process: it signs, and never leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luxxon_core.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


class LocalWallet:
    """An externally owned account held in this process."""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account

    @classmethod
    def create(cls) -> LocalWallet:
        """A fresh random key."""
        from eth_account import Account

        return cls(Account.create())

    @classmethod
    def from_key(cls, key: str) -> LocalWallet:
        """Of a private key, 64 hexadecimal digits with or without 0x.

        Raises:
            InvalidInput: it is none; the message does not repeat it.
        """
        from eth_account import Account

        digits = key.strip().removeprefix("0x").removeprefix("0X")
        try:
            if len(digits) != 64:
                raise ValueError
            return cls(Account.from_key(bytes.fromhex(digits)))
        except ValueError:
            raise InvalidInput("wallet:key", "Not a private key: 64 hexadecimal digits") from None

    @classmethod
    def decrypted(cls, keystore: dict[str, Any], passphrase: str) -> LocalWallet:
        """Out of a keystore (Web3 Secret Storage, version 3).

        Raises:
            ValueError: the passphrase does not open it; KeyError, TypeError: it is no keystore.
        """
        from eth_account import Account

        return cls(Account.from_key(Account.decrypt(keystore, passphrase)))

    def encrypted(self, passphrase: str) -> dict[str, Any]:
        """As a keystore, stretched with scrypt (N = 262144)."""
        from eth_account import Account

        return dict(Account.encrypt(self._account.key, passphrase, kdf="scrypt"))

    @property
    def address(self) -> str:
        """EIP-55 checksummed."""
        return str(self._account.address)

    def sign_message(self, message: str) -> str:
        """The EIP-191 personal-message signature of ``message``, 0x hex."""
        from eth_account.messages import encode_defunct

        return "0x" + bytes(self._account.sign_message(encode_defunct(text=message)).signature).hex()

    def sign_transaction(self, fields: dict[str, Any]) -> str:
        """A raw signed transaction, 0x hex."""
        return "0x" + bytes(self._account.sign_transaction(fields).raw_transaction).hex()

    def sign_typed(
        self, domain: dict[str, Any], types: dict[str, list[dict[str, str]]], message: dict[str, Any]
    ) -> str:
        """The EIP-712 signature of ``message``, 0x hex."""
        signed = self._account.sign_typed_data(domain_data=domain, message_types=types, message_data=message)
        return "0x" + bytes(signed.signature).hex()

    def __repr__(self) -> str:
        return f"LocalWallet({self.address})"
