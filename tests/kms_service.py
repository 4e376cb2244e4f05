"""AWS KMS as its clients see it: moto's server over HTTP on a free port, in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "hunter2-of-kms"}

_digest: ContextVar[bool] = ContextVar("digest", default=False)


@dataclass(frozen=True)
class Kms:
    """A running server; its credentials are in the environment."""

    endpoint: str

    def key(self, spec: str = "ECC_SECG_P256K1", usage: str = "SIGN_VERIFY") -> str:
        """A new key's id."""
        client = boto3.client("kms", region_name=REGION, endpoint_url=self.endpoint)
        key_id: str = client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
        return key_id


@contextmanager
def kms() -> Iterator[Kms]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        patch.setattr(KmsResponse, "sign", _sign_as_asked(KmsResponse.sign))
        patch.setattr(ECDSAPrivateKey, "sign", _sign_digest_as_it_is(ECDSAPrivateKey.sign))
        server.start()
        try:
            host, port = server.get_host_and_port()
            yield Kms(f"http://{host}:{port}")
        finally:
            server.stop()


def _sign_as_asked(sign: Any) -> Any:
    def asked(response: KmsResponse) -> str:
        token = _digest.set(response._get_param("MessageType") == "DIGEST")
        try:
            answer: str = sign(response)
            return answer
        finally:
            _digest.reset(token)

    return asked


def _sign_digest_as_it_is(sign: Any) -> Any:
    """moto hashes what it signs, whatever MessageType says; KMS hashes only what is RAW."""

    def signed(key: ECDSAPrivateKey, message: bytes, algorithm: str) -> bytes:
        if not _digest.get():
            hashed: bytes = sign(key, message, algorithm)
            return hashed
        assert (len(message), algorithm) == (32, "ECDSA_SHA_256")
        return key.private_key.sign(message, ec.ECDSA(utils.Prehashed(SHA256())))

    return signed
