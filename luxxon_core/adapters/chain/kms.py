"""A key that never leaves AWS KMS (spec ``ECC_SECG_P256K1``) signs for us.

KMS signs a digest as it is (``MessageType=DIGEST``) and answers in DER. Half of its signatures have the high
one of the two possible ``s``, which chains refuse (EIP-2), and none tells the parity that Ethereum wants:
both are found here. boto3 comes with the extra ``kms`` and is imported when a key is opened; its calls block,
so each runs in a thread. Credentials are found as boto3 finds them: environment, profile or machine's role.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from luxxon_core.adapters.chain.signer import Signature
from luxxon_core.kernel.errors import ExternalError, StartError

if TYPE_CHECKING:
    from eth_keys.datatypes import PublicKey

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""Of the group of secp256k1 (SEC 2, 2.4.1)."""

CONNECT_S, READ_S, ATTEMPTS = 3, 5, 3


class KmsSigner:
    """Implements :class:`~luxxon_core.adapters.chain.signer.Signer`; :meth:`open` makes it."""

    def __init__(self, client: Any, key_id: str, public_key: PublicKey) -> None:
        self._client = client
        self._key_id = key_id
        self._public_key = public_key
        self.address: str = public_key.to_checksum_address()

    def __repr__(self) -> str:
        return f"KmsSigner({self.address})"

    @classmethod
    async def open(cls, key_id: str, *, region: str | None = None, endpoint: str | None = None) -> KmsSigner:
        """Ask for the public half of a key, which gives the address.

        Args:
            key_id: the key's id or ARN, or an alias with ``alias/``.
            region, endpoint: where it is; as boto3 is configured when not given.

        Raises:
            StartError: boto3 is missing or knows no region, or the key cannot be used; names no credential.
        """
        return await asyncio.to_thread(cls._opened, key_id, region, endpoint)

    @classmethod
    def _opened(cls, key_id: str, region: str | None, endpoint: str | None) -> KmsSigner:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError:
            raise StartError("chain:kms", "KMS needs boto3: pip install 'luxxon[kms]'") from None
        config = Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        try:
            session = boto3.session.Session()  # the default one is not to be shared between threads
            client = session.client("kms", region_name=region, endpoint_url=endpoint, config=config)
            found = client.get_public_key(KeyId=key_id)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise StartError("chain:kms", f"KMS does not give the public key ({_reason(error)})") from None
        return cls(client, key_id, _public_key(found))

    async def sign_digest(self, digest: bytes) -> Signature:
        der = await asyncio.to_thread(self._signed, digest)
        return recoverable(der, digest, self._public_key)

    def _signed(self, digest: bytes) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.sign(
                KeyId=self._key_id, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256"
            )
        except (BotoCoreError, ClientError) as error:
            raise ExternalError("chain:kms", f"KMS does not sign ({_reason(error)})") from None
        return bytes(answer["Signature"])


def recoverable(der: bytes, digest: bytes, public_key: PublicKey) -> Signature:
    """A DER signature (RFC 3279 §2.2.3) as Ethereum takes it: low ``s``, and the parity that finds the key.

    Raises:
        ExternalError: it is no signature of ``digest`` by ``public_key``.
    """
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from eth_keys.datatypes import Signature as Recoverable
    from eth_keys.exceptions import BadSignature, ValidationError

    try:
        r, s = decode_dss_signature(der)
        s = min(s, ORDER - s)
        for parity in (0, 1):
            candidate = Recoverable(vrs=(parity, r, s))
            if candidate.recover_public_key_from_msg_hash(digest) == public_key:
                return Signature(parity, r, s)
    except (ValueError, BadSignature, ValidationError) as error:
        raise ExternalError("chain:kms", "KMS answered with no signature") from error
    raise ExternalError("chain:kms", "KMS signed something else, or with another key")


def _public_key(found: Mapping[str, Any]) -> PublicKey:
    """Out of what GetPublicKey answers: DER of a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).

    Raises:
        StartError: the key is on another curve, or not for signing.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key
    from eth_keys.datatypes import PublicKey

    key, usage = load_der_public_key(found["PublicKey"]), found.get("KeyUsage")
    if usage != "SIGN_VERIFY" or not (
        isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256K1)
    ):
        raise StartError("chain:kms", "the KMS key must be ECC_SECG_P256K1, for SIGN_VERIFY")
    numbers = key.public_numbers()
    return PublicKey(numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big"))


def _reason(error: Exception) -> str:
    """The kind of a failure: messages can name accounts and endpoints."""
    response = getattr(error, "response", None)
    if isinstance(response, dict) and (code := response.get("Error", {}).get("Code")):
        return str(code)
    return type(error).__name__
