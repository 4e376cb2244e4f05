"""When SpiceDB is silent, gone, refuses or holds another schema: nobody gets in, and soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from authorization_stage import (
    ADMIN,
    ALLOWED,
    MANAGE_MEMBERS,
    NOON,
    OWNER,
    QUICKLY,
    VIEW,
    VIEWER,
    SpiceStage,
    roles,
    spice_stage,
    wallet,
)
from spicedb_service import TOKEN, SpiceDbService

from luxxon_core.access.ports import Relation
from luxxon_core.adapters.postgres.database import Database
from luxxon_core.adapters.spicedb.authorization import SpiceDb
from luxxon_core.adapters.spicedb.schema import schema_text
from luxxon_core.http.principal import Permission
from luxxon_core.kernel.errors import AuthzError, StartError
from luxxon_core.kernel.ids import new_id

# -- when SpiceDB fails -----------------------------------------------------------------------------------


@asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """The address of a server that accepts and never says a word."""
    open_ones: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for writer in open_ones:
        writer.close()
    server.close()


async def refused_quickly(stage: Any, who: str, workspace: UUID) -> str | None:
    """Why every check fails, each within its time."""
    details = set()
    for permission in Permission:
        async with asyncio.timeout(QUICKLY):
            with pytest.raises(AuthzError) as caught:
                await stage.check(who, workspace, permission, "GgYKBDEyMzQ=")
        details.add(caught.value.detail)
    (detail,) = details
    return detail


async def test_a_server_that_never_answers_lets_nobody_in() -> None:
    async with silence() as endpoint:
        spicedb = SpiceDb(endpoint, TOKEN, plaintext=True, timeout_s=0.3)
        assert await refused_quickly(spicedb, wallet(), new_id()) == "authz:timeout"
        with pytest.raises(AuthzError):
            await spicedb.write([])
        with pytest.raises(StartError, match="cannot be reached"):
            await spicedb.start(timeout_s=0.3)
        await spicedb.close()


async def test_a_server_that_is_not_there_lets_nobody_in(unused_port: int) -> None:
    spicedb = SpiceDb(f"127.0.0.1:{unused_port}", TOKEN, plaintext=True)
    assert await refused_quickly(spicedb, wallet(), new_id()) == "authz:unavailable"
    with pytest.raises(StartError, match="cannot be reached"):
        await spicedb.start(timeout_s=0.3)
    await spicedb.close()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_without_the_right_token_nobody_gets_in_and_no_token_is_told(engine: SpiceDbService) -> None:
    secret = "a key that opens nothing"
    spicedb = SpiceDb(engine.endpoint, secret, plaintext=True)
    assert await refused_quickly(spicedb, wallet(), new_id()) == "authz:refused"
    with pytest.raises(StartError) as caught:
        await spicedb.start()
    assert "refuses: invalid preshared key" in caught.value.message
    assert "\n" not in caught.value.message
    told = [repr(spicedb), repr(vars(spicedb)), repr(caught.value), repr(caught.value.__cause__)]
    assert not [one for one in told if secret in one]
    await spicedb.close()


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[tuple[SpiceDbService, bytes]]:
    """An engine behind TLS, and its certificate, signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    encoding = serialization.Encoding.PEM
    told = certificate.public_bytes(encoding)
    path.write_bytes(key.private_bytes(encoding, form, secret) + told)
    service = SpiceDbService(pem=path)
    service.start()
    yield service, told
    service.kill()


@pytest.mark.parametrize("token", ["", "two\nlines", "clé"])
async def test_a_token_that_cannot_be_sent_is_told_at_the_start(token: str) -> None:
    with pytest.raises(StartError, match="token must be printable ASCII") as caught:
        SpiceDb("127.0.0.1:1", token)
    assert not token or token not in caught.value.message


async def test_over_tls_certificate_and_token_count(encrypted: tuple[SpiceDbService, bytes]) -> None:
    service, certificate = encrypted
    workspace, owner = new_id(), wallet()
    spicedb = SpiceDb(service.endpoint, TOKEN, ca=certificate)
    await spicedb.start()
    await spicedb.write([Relation(workspace, owner, OWNER)])
    assert (await spicedb.check(owner, workspace, MANAGE_MEMBERS, None)).allowed
    await spicedb.close()
    for token, ca, why in (("another", certificate, "authz:refused"), (TOKEN, None, "authz:unavailable")):
        stranger = SpiceDb(service.endpoint, token, ca=ca)
        assert await refused_quickly(stranger, owner, workspace) == why
        await stranger.close()


async def test_a_server_without_tls_is_not_spoken_to_in_tls(engine: SpiceDbService) -> None:
    spicedb = SpiceDb(engine.endpoint, TOKEN, timeout_s=0.5)
    assert await refused_quickly(spicedb, wallet(), new_id()) in {"authz:unavailable", "authz:timeout"}
    await spicedb.close()


async def test_an_engine_that_died_and_lost_all_is_told_everything_again(
    database: Database, mortal: SpiceDbService
) -> None:
    async with spice_stage(database, mortal.endpoint) as stage:
        workspace, owner = await stage.workspace()
        viewer, admin = wallet(), wallet()
        await stage.memberships.put(workspace, owner, viewer, VIEWER, NOON)
        mortal.kill()
        assert await refused_quickly(stage.spicedb, owner, workspace) == "authz:unavailable"
        async with asyncio.timeout(QUICKLY):
            _, token = await stage.memberships.put(workspace, owner, admin, ADMIN, NOON)
        assert token is None
        assert (await roles(stage, workspace))[admin] is ADMIN
        with pytest.raises(AuthzError):
            await stage.outbox.apply_outbox(NOON)
        mortal.start()
        await reachable(stage)
        assert await refused_quickly(stage.spicedb, owner, workspace) == "authz:refused"
        assert await stage.outbox.reconcile(NOON) == 3
        assert await stage.may(owner, workspace) == ALLOWED[OWNER]
        assert await stage.may(admin, workspace) == ALLOWED[ADMIN]
        assert await stage.may(viewer, workspace) == ALLOWED[VIEWER]
        assert await stage.waiting() == 0
        assert await stage.outbox.reconcile(NOON) == 0


async def reachable(stage: SpiceStage) -> None:
    """Wait until the channel has found the engine again."""
    async with asyncio.timeout(10):
        while True:
            try:
                await stage.spicedb.check(wallet(), new_id(), VIEW, None)
            except AuthzError as error:
                if error.detail == "authz:refused":
                    return
                await asyncio.sleep(0.05)
            else:
                return


# -- the schema at the start ------------------------------------------------------------------------------


async def test_another_schema_is_replaced_and_the_same_one_left(mortal: SpiceDbService) -> None:
    from authzed.api import v1

    spicedb = SpiceDb(mortal.endpoint, TOKEN, plaintext=True)
    await spicedb.start()
    (first,) = [await spicedb.write([])]
    written: list[str] = []
    real = spicedb._api.WriteSchema

    def spied(request: v1.WriteSchemaRequest, **more: Any) -> Any:
        written.append(request.schema)
        return real(request, **more)

    spicedb._api.WriteSchema = spied  # type: ignore[method-assign,assignment]
    await spicedb.start()
    await spicedb.prepare()
    assert written == []
    metadata = (("authorization", f"Bearer {TOKEN}"),)
    await real(v1.WriteSchemaRequest(schema="definition other {}"), metadata=metadata)
    await spicedb.start()
    assert written == [schema_text()]
    assert first
    await spicedb.close()


async def test_a_schema_that_is_refused_is_one_line(mortal: SpiceDbService) -> None:
    from authzed.api import v1

    spicedb = SpiceDb(mortal.endpoint, TOKEN, plaintext=True)
    metadata = (("authorization", f"Bearer {TOKEN}"),)
    other = "definition user {}\ndefinition camera {\n relation seen: user\n}"
    await spicedb._api.WriteSchema(v1.WriteSchemaRequest(schema=other), metadata=metadata)
    used = v1.RelationshipUpdate(
        operation=v1.RelationshipUpdate.OPERATION_TOUCH,
        relationship=v1.Relationship(
            resource=v1.ObjectReference(object_type="camera", object_id="1"),
            relation="seen",
            subject=v1.SubjectReference(object=v1.ObjectReference(object_type="user", object_id="1")),
        ),
    )
    await spicedb._api.WriteRelationships(v1.WriteRelationshipsRequest(updates=[used]), metadata=metadata)
    with pytest.raises(StartError, match=r"SpiceDB at .* refuses: .*camera") as caught:
        await spicedb.start()
    assert "\n" not in caught.value.message
    await spicedb.close()
