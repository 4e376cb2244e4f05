"""A key in KMS signs as one in memory does, and fails in words that tell no secret."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession, web
from eth_keys.datatypes import Signature as Recoverable
from kms_service import CREDENTIALS, REGION, Kms, kms
from loopback import served

from luxxon_core.adapters.chain.keys import KeySource, signer_of
from luxxon_core.adapters.chain.kms import ORDER, KmsSigner, recoverable
from luxxon_core.kernel.errors import ExternalError, StartError


@pytest.fixture(scope="module")
def service() -> Iterator[Kms]:
    with kms() as running:
        yield running


async def opened(service: Kms, key_id: str) -> KmsSigner:
    return await KmsSigner.open(key_id, region=REGION, endpoint=service.endpoint)


async def test_every_signature_has_a_low_s_and_recovers_the_keys_address(service: Kms) -> None:
    signer = await opened(service, service.key())
    for _ in range(200):
        digest = os.urandom(32)
        signature = await signer.sign_digest(digest)
        assert 0 < signature.s <= ORDER // 2
        recovered = Recoverable(vrs=(signature.y_parity, signature.r, signature.s))
        key = recovered.recover_public_key_from_msg_hash(digest)
        assert key.to_checksum_address() == signer.address


async def test_the_settings_name_the_key(service: Kms) -> None:
    key_id = service.key()
    source = KeySource("relayer", kms_key=key_id, kms_region=REGION, kms_endpoint=service.endpoint)
    signer = await signer_of(source)
    assert signer is not None
    assert signer.address == (await opened(service, key_id)).address
    assert repr(signer) == f"KmsSigner({signer.address})"


@pytest.mark.parametrize(("spec", "usage"), [("ECC_NIST_P256", "SIGN_VERIFY"), ("RSA_2048", "SIGN_VERIFY")])
async def test_a_key_of_another_kind_is_refused(service: Kms, spec: str, usage: str) -> None:
    with pytest.raises(StartError, match="ECC_SECG_P256K1"):
        await opened(service, service.key(spec, usage))


async def test_failures_name_their_kind_and_nothing_else(service: Kms) -> None:
    with pytest.raises(StartError, match="NotFoundException") as unknown:
        await opened(service, "00000000-0000-0000-0000-000000000000")
    signer = await opened(service, key_id := service.key())
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(StartError, match="EndpointConnectionError") as absent:
            await KmsSigner.open(key_id, region=REGION, endpoint=endpoint)
        assert time.monotonic() - started < 15
    signer._key_id = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(ExternalError, match="NotFoundException") as gone:
        await signer.sign_digest(bytes(32))
    for caught in (unknown, absent, gone):
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
        assert "127.0.0.1" not in str(caught.value)


async def test_a_signature_by_another_key_is_noticed(service: Kms) -> None:
    one, other = await opened(service, service.key()), await opened(service, service.key())
    der = other._signed(digest := os.urandom(32))
    assert recoverable(der, digest, other._public_key).s <= ORDER // 2
    for wrong, message in ((der, digest), (der, bytes(32)), (b"no DER", digest)):
        with pytest.raises(ExternalError, match="KMS"):
            recoverable(wrong, message, one._public_key)


async def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(StartError, match=r"luxxon\[kms\]"):
        await KmsSigner.open("alias/relayer", region=REGION)


async def test_an_answer_that_gets_lost_is_asked_for_again(service: Kms) -> None:
    """The first attempt at each call meets a gateway that fails, the second one that hangs up."""
    tried: dict[str, int] = {}

    async def passed_on(request: web.Request) -> web.StreamResponse:
        action = request.headers["X-Amz-Target"]
        tried[action] = tried.get(action, 0) + 1
        if tried[action] == 1:
            return web.Response(status=503)
        if tried[action] == 2:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        headers = {name: request.headers[name] for name in ("X-Amz-Target", "Content-Type", "Authorization")}
        async with (
            ClientSession() as client,
            client.post(service.endpoint, data=await request.read(), headers=headers) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read())

    app = web.Application()
    app.router.add_post("/", passed_on)
    async with served(app) as endpoint:
        signer = await KmsSigner.open(service.key(), region=REGION, endpoint=endpoint)
        assert (await signer.sign_digest(os.urandom(32))).s <= ORDER // 2
    assert tried == {"TrentService.GetPublicKey": 3, "TrentService.Sign": 3}
