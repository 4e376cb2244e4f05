"""Who may do what: SpiceDB and the member table give the same answers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from eth_utils import to_checksum_address
from spicedb_service import TOKEN, SpiceDbService

from luxxon_core.access.ports import Mirror, Relation
from luxxon_core.access.usecases import Memberships
from luxxon_core.adapters.chain.signatures import EthereumWallets
from luxxon_core.adapters.postgres import outbox as outbox_module
from luxxon_core.adapters.postgres.access import PgMembers
from luxxon_core.adapters.postgres.database import Database, connection
from luxxon_core.adapters.postgres.outbox import PgOutbox
from luxxon_core.adapters.postgres.permissions import MemberTable, Rules
from luxxon_core.adapters.postgres.workspaces import PgWorkspaces
from luxxon_core.adapters.spicedb import authorization as spicedb_module
from luxxon_core.adapters.spicedb.authorization import SpiceDb
from luxxon_core.adapters.spicedb.schema import schema_text
from luxxon_core.http.guard import Authorizer
from luxxon_core.http.principal import MemberRole, Permission
from luxxon_core.kernel.errors import AuthzError, Conflict, NotAuthorized, NotFound, StartError
from luxxon_core.kernel.ids import new_id
from luxxon_core.workspaces.domain import new_workspace

NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)
OWNER, ADMIN, VIEWER = MemberRole.OWNER, MemberRole.ADMIN, MemberRole.VIEWER
VIEW, OPERATE, MANAGE_KEYS, MANAGE_MEMBERS = Permission
ALLOWED = {
    OWNER: {VIEW, OPERATE, MANAGE_KEYS, MANAGE_MEMBERS},
    ADMIN: {VIEW, OPERATE, MANAGE_KEYS},
    VIEWER: {VIEW},
    None: set(),
}
QUICKLY = 2.0


def wallet() -> str:
    return str(to_checksum_address("0x" + secrets.token_hex(20)))


class Unwilling:
    """Relationships that fail when told to, and note what is written; otherwise those of the service."""

    def __init__(self, service: SpiceDb) -> None:
        self.service = service
        self.failing: AuthzError | None = None
        self.gate: asyncio.Event | None = None
        self.at_the_gate = asyncio.Event()
        self.refusing: set[UUID] = set()

    async def prepare(self) -> None:
        await self.service.prepare()

    async def write(self, relations: Sequence[Relation]) -> str:
        if self.gate is not None:
            self.at_the_gate.set()
            await self.gate.wait()
        if self.failing is not None:
            raise self.failing
        if self.refusing & {one.workspace_id for one in relations}:
            raise AuthzError("authz:refused")
        return await self.service.write(relations)

    async def page(self, cursor: str | None) -> tuple[list[Relation], str | None]:
        return await self.service.page(cursor)

    async def lacking(self, relations: Sequence[Relation]) -> list[Relation]:
        return await self.service.lacking(relations)


@dataclass
class Stage:
    """Workspaces with members, and whoever answers for them."""

    database: Database
    authorizer: Authorizer
    mirror: Mirror
    memberships: Memberships = field(init=False)

    def __post_init__(self) -> None:
        self.memberships = Memberships(self.database, PgMembers(), EthereumWallets(), self.mirror)

    async def workspace(self, owner: str | None = None) -> tuple[UUID, str]:
        """A new workspace and its owner."""
        workspace_id, owner = new_id(), owner or wallet()
        made = new_workspace(
            workspace_id=workspace_id,
            slug=f"w-{workspace_id.hex[:12]}",
            name="workspace",
            wallet_address=owner,
            roles=["CONSUMER"],
            now=NOON,
        )
        async with self.database.begin() as tx:
            assert await PgWorkspaces().add(tx, made)
            await self.memberships.add_owner(tx, workspace_id, owner, NOON)
        await self.mirror.flush(workspace_id)
        return workspace_id, owner

    async def may(self, who: str, workspace_id: UUID, token: str | None = None) -> set[Permission]:
        """Everything that the wallet may do there."""
        answers = [await self.authorizer.check(who, workspace_id, one, token) for one in Permission]
        return {one for one, answer in zip(Permission, answers, strict=True) if answer.allowed}

    async def rows(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        async with self.database.read() as tx:
            return list(await connection(tx).fetch(sql, *arguments))

    async def waiting(self) -> int:
        return int((await self.rows("select count(*) from relationship_outbox"))[0][0])


@dataclass
class SpiceStage(Stage):
    """The same with SpiceDB, whose parts can be got at."""

    spicedb: SpiceDb
    relationships: Unwilling
    outbox: PgOutbox


@pytest.fixture(scope="module")
def engine() -> Iterator[SpiceDbService]:
    service = SpiceDbService()
    service.start()
    yield service
    service.kill()


@pytest.fixture
def mortal() -> Iterator[SpiceDbService]:
    """An engine of the test's own, to be killed."""
    service = SpiceDbService()
    service.start()
    yield service
    service.kill()


@asynccontextmanager
async def spice_stage(database: Database, endpoint: str) -> AsyncIterator[SpiceStage]:
    spicedb = SpiceDb(endpoint, TOKEN, plaintext=True)
    try:
        await spicedb.start()
        relationships = Unwilling(spicedb)
        outbox = PgOutbox(database, relationships)
        yield SpiceStage(database, spicedb, outbox, spicedb, relationships, outbox)
    finally:
        await spicedb.close()


@pytest_asyncio.fixture
async def spice(database: Database, engine: SpiceDbService) -> AsyncIterator[SpiceStage]:
    async with spice_stage(database, engine.endpoint) as stage:
        await stage.outbox.reconcile(NOON)  # the database is empty: so are the relations then
        yield stage


@pytest_asyncio.fixture(params=["member table", "SpiceDB"])
async def stage(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Stage]:
    if request.param == "member table":
        table = MemberTable(database, Rules.parse(schema_text()))
        yield Stage(database, table, table)
        return
    service: SpiceDbService = request.getfixturevalue("engine")
    async with spice_stage(database, service.endpoint) as made:
        yield made


# -- what either answers ----------------------------------------------------------------------------------


async def test_each_role_may_what_the_schema_says_and_a_stranger_nothing(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    members = {OWNER: owner, ADMIN: wallet(), VIEWER: wallet(), None: wallet()}
    for role in (ADMIN, VIEWER):
        await stage.memberships.put(workspace, owner, members[role], role, NOON)
    assert {role: await stage.may(who, workspace) for role, who in members.items()} == ALLOWED


async def test_a_role_counts_in_its_own_workspace_only(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    other, _ = await stage.workspace()
    assert await stage.may(owner, other) == set()
    assert await stage.may(owner, new_id()) == set()
    assert await stage.may(owner, workspace) == ALLOWED[OWNER]


async def test_an_address_is_the_same_in_any_letter_case(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    admin = wallet()
    await stage.memberships.put(workspace, owner, admin.lower(), ADMIN, NOON)
    await stage.memberships.put(workspace, owner, "0x" + admin[2:].upper(), VIEWER, NOON)
    assert [one.wallet_address for one in await stage.memberships.of_workspace(workspace)] == sorted(
        [owner, admin]
    )
    for form in (admin, admin.lower(), "0x" + admin[2:].upper()):
        assert await stage.may(form, workspace) == ALLOWED[VIEWER]


@pytest.mark.parametrize("sent", ["none", "new", "old"])
async def test_a_change_is_seen_at_once(stage: Stage, sent: str) -> None:
    workspace, owner = await stage.workspace()
    member = wallet()
    _, old = await stage.memberships.put(workspace, owner, member, VIEWER, NOON)

    async def now_may(token: str | None) -> set[Permission]:
        return await stage.may(member, workspace, {"none": None, "new": token, "old": old}[sent])

    for role in (VIEWER, ADMIN, OWNER, ADMIN, VIEWER):
        _, token = await stage.memberships.put(workspace, owner, member, role, NOON)
        assert token is not None
        assert await now_may(token) == ALLOWED[role]
    await stage.memberships.put(workspace, owner, member, OWNER, NOON)
    _, token = await stage.memberships.remove(workspace, owner, member, NOON)
    assert token is not None
    assert await now_may(token) == set()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "no token",
        "aGVsbG8=",
        "GhUKEzE2NzA4NzQ5OTAwMDAwMDAwMDA=",
        "GhUKEzk2NzA4NzQ5OTAwMDAwMDAwMDA=",
        "GgYKBDEyMzQ=",
        "eGlkIDEyMzQ=",
        "A" * 500,
        "A" * 10_000,
        "é\udcff\x00",
    ],
    ids=["empty", "text", "base64", "past", "future", "foreign", "ours", "long", "10 kB", "bytes"],
)
async def test_a_token_that_is_none_of_ours_harms_nothing(stage: Stage, token: str) -> None:
    workspace, owner = await stage.workspace()
    assert await stage.may(wallet(), workspace, token) == set()
    assert await stage.may(owner, workspace, token) == ALLOWED[OWNER]
    answer = await stage.authorizer.check(owner, workspace, VIEW, token)
    assert answer.token


async def test_another_process_refuses_nobody_for_an_old_token_and_lets_nobody_act(
    spice: SpiceStage, engine: SpiceDbService
) -> None:
    """It knows nothing of what this one has just written."""
    workspace, owner = await spice.workspace()
    member = wallet()
    old = (await spice.authorizer.check(owner, workspace, VIEW, None)).token
    async with spice_stage(spice.database, engine.endpoint) as other:
        for token in (old, "GhUKEzE2NzA4NzQ5OTAwMDAwMDAwMDA=", "GgYKBDEyMzQ="):
            _, granted = await spice.memberships.put(workspace, owner, member, ADMIN, NOON)
            assert await other.may(member, workspace, token) == ALLOWED[ADMIN]
            assert await other.may(owner, workspace, token) == ALLOWED[OWNER]
            _, new = await spice.memberships.remove(workspace, owner, member, NOON)
            assert await other.may(member, workspace, token) <= {VIEW}
            assert await other.may(member, workspace, granted) <= {VIEW}
            assert await other.may(member, workspace, new) == set()


async def test_tokens_are_short_printable_text(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    _, written = await stage.memberships.put(workspace, owner, wallet(), VIEWER, NOON)
    checked = (await stage.authorizer.check(owner, workspace, VIEW, None)).token
    for token in (written, checked):
        assert token is not None
        assert 0 < len(token) < 200
        assert token.isascii()
        assert token.isprintable()


# -- the rules of members ---------------------------------------------------------------------------------


async def roles(stage: Stage, workspace: UUID) -> dict[str, MemberRole]:
    return {one.wallet_address: one.role for one in await stage.memberships.of_workspace(workspace)}


async def test_adding_twice_is_adding_once(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    member = wallet()
    first, _ = await stage.memberships.put(workspace, owner, member, ADMIN, NOON)
    again, _ = await stage.memberships.put(workspace, owner, member, ADMIN, NOON.replace(hour=13))
    assert again == first
    assert await roles(stage, workspace) == {owner: OWNER, member: ADMIN}


async def test_the_last_owner_stays(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    for role in (ADMIN, VIEWER):
        with pytest.raises(Conflict, match="member:lastOwner"):
            await stage.memberships.put(workspace, owner, owner.lower(), role, NOON)
    with pytest.raises(Conflict, match="member:lastOwner"):
        await stage.memberships.remove(workspace, owner, owner, NOON)
    second = wallet()
    await stage.memberships.put(workspace, owner, second, OWNER, NOON)
    await stage.memberships.remove(workspace, owner, owner, NOON)
    assert await roles(stage, workspace) == {second: OWNER}
    assert await stage.may(owner, workspace) == set()


async def test_whoever_is_no_member_cannot_be_removed(stage: Stage) -> None:
    workspace, owner = await stage.workspace()
    for unknown in (wallet(), "nobody", ""):
        with pytest.raises(NotFound, match="member:wallet"):
            await stage.memberships.remove(workspace, owner, unknown, NOON)


async def test_two_owners_who_remove_each_other_at_once_leave_one(stage: Stage) -> None:
    for _ in range(8):
        workspace, first = await stage.workspace()
        second = wallet()
        await stage.memberships.put(workspace, first, second, OWNER, NOON)
        done = await asyncio.gather(
            stage.memberships.remove(workspace, first, second, NOON),
            stage.memberships.remove(workspace, second, first, NOON),
            return_exceptions=True,
        )
        (lost,) = [one for one in done if isinstance(one, BaseException)]
        assert isinstance(lost, Conflict)
        ((left, role),) = (await roles(stage, workspace)).items()
        assert role is OWNER
        assert await stage.may(left, workspace) == ALLOWED[OWNER]
        assert await stage.may(second if left == first else first, workspace) == set()


async def test_an_owner_who_is_removed_meanwhile_removes_nobody(stage: Stage) -> None:
    workspace, first = await stage.workspace()
    second, third = wallet(), wallet()
    for member in (second, third):
        await stage.memberships.put(workspace, first, member, OWNER, NOON)
    done = await asyncio.gather(
        stage.memberships.remove(workspace, first, second, NOON),
        stage.memberships.remove(workspace, second, first, NOON),
        return_exceptions=True,
    )
    (lost,) = [one for one in done if isinstance(one, BaseException)]
    assert isinstance(lost, NotAuthorized)
    assert len(await roles(stage, workspace)) == 2


async def test_owners_who_all_step_down_at_once_leave_one(stage: Stage) -> None:
    workspace, first = await stage.workspace()
    owners = [first, *(wallet() for _ in range(5))]
    for owner in owners[1:]:
        await stage.memberships.put(workspace, first, owner, OWNER, NOON)
    done = await asyncio.gather(
        *(stage.memberships.put(workspace, owner, owner, VIEWER, NOON) for owner in owners),
        return_exceptions=True,
    )
    (lost,) = [one for one in done if isinstance(one, BaseException)]
    assert isinstance(lost, Conflict)
    found = await roles(stage, workspace)
    assert sorted(found.values()) == [VIEWER] * 5 + [OWNER]
    assert {who: await stage.may(who, workspace) for who in owners} == {
        who: ALLOWED[role] for who, role in found.items()
    }


async def test_the_member_table_needs_no_notes(database: Database) -> None:
    table = MemberTable(database, Rules.parse(schema_text()))
    stage = Stage(database, table, table)
    workspace, owner = await stage.workspace()
    await stage.memberships.put(workspace, owner, wallet(), VIEWER, NOON)
    assert await stage.waiting() == 0


async def test_a_deleted_workspace_has_no_members_in_the_table(database: Database) -> None:
    table = MemberTable(database, Rules.parse(schema_text()))
    stage = Stage(database, table, table)
    workspace, owner = await stage.workspace()
    await stage.rows("update workspace set deleted_at = now() where id = $1", workspace)
    assert await stage.may(owner, workspace) == set()


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


# -- notes, and who tells them ----------------------------------------------------------------------------


async def test_what_was_committed_before_a_crash_is_told_later(spice: SpiceStage) -> None:
    workspace, owner = await spice.workspace()
    member = wallet()
    spice.relationships.failing = AuthzError("authz:unavailable")
    _, token = await spice.memberships.put(workspace, owner, member, ADMIN, NOON)
    assert token is None
    assert await spice.waiting() == 1
    assert await spice.may(member, workspace) == set()
    with pytest.raises(AuthzError):
        await spice.outbox.apply_outbox(NOON)
    assert await spice.waiting() == 1
    spice.relationships.failing = None
    assert await spice.outbox.apply_outbox(NOON) == 1
    assert await spice.may(member, workspace) == ALLOWED[ADMIN]
    assert await spice.waiting() == 0
    assert await spice.outbox.apply_outbox(NOON) == 0


async def test_a_change_that_is_rolled_back_is_never_told(spice: SpiceStage) -> None:
    workspace, _ = await spice.workspace()
    member = wallet()
    with pytest.raises(NotFound):
        async with spice.database.begin() as tx:
            await spice.memberships.add_owner(tx, workspace, member, NOON)
            raise NotFound
    await spice.outbox.flush(workspace)
    assert await spice.may(member, workspace) == set()


async def test_a_new_change_waits_for_the_telling_of_an_old_one(spice: SpiceStage) -> None:
    workspace, owner = await spice.workspace()
    member = wallet()
    spice.relationships.gate = asyncio.Event()
    granting = asyncio.create_task(spice.memberships.put(workspace, owner, member, OWNER, NOON))
    await spice.relationships.at_the_gate.wait()
    async with asyncio.timeout(QUICKLY):
        assert await spice.outbox.apply_outbox(NOON) == 0  # another process leaves what is being told alone
        removing = asyncio.create_task(spice.memberships.remove(workspace, owner, member, NOON))
        while member in await roles(spice, workspace):
            await asyncio.sleep(0.01)
        spice.relationships.gate.set()
        (_, granted), (_, removed) = await granting, await removing
    assert granted
    assert removed
    assert await spice.may(member, workspace, removed) == set()
    assert await spice.waiting() == 0


async def test_a_request_does_not_wait_for_ever(spice: SpiceStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "PATIENCE_SECONDS", 0.2)
    workspace, owner = await spice.workspace()
    member = wallet()
    spice.relationships.gate = asyncio.Event()
    async with asyncio.timeout(QUICKLY):
        _, token = await spice.memberships.put(workspace, owner, member, ADMIN, NOON)
    assert token is None
    spice.relationships.gate = None
    assert await spice.outbox.apply_outbox(NOON) == 1
    assert await spice.may(member, workspace) == ALLOWED[ADMIN]


async def test_many_changes_at_once_end_as_the_member_table_says(spice: SpiceStage) -> None:
    workspace, owner = await spice.workspace()
    members = [wallet() for _ in range(4)]
    elsewhere = PgOutbox(spice.database, spice.relationships)
    done = asyncio.Event()

    async def keep_telling(outbox: PgOutbox) -> None:
        while not done.is_set():
            await outbox.apply_outbox(NOON)

    async def change(number: int) -> None:
        member, role = members[number % 4], (VIEWER, ADMIN, OWNER, None)[number * 7 // 4 % 4]
        if role is not None:
            await spice.memberships.put(workspace, owner, member, role, NOON)
        elif member in await roles(spice, workspace):
            try:
                await spice.memberships.remove(workspace, owner, member, NOON)
            except NotFound:
                assert member not in await roles(spice, workspace)

    tellers = [asyncio.create_task(keep_telling(one)) for one in (spice.outbox, elsewhere)]
    await asyncio.gather(*(change(number) for number in range(40)))
    done.set()
    await asyncio.gather(*tellers)
    while await spice.outbox.apply_outbox(NOON):
        pass
    assert await spice.waiting() == 0
    found = await roles(spice, workspace)
    for member in members:
        assert await spice.may(member, workspace) == ALLOWED[found.get(member)]
    assert await spice.outbox.reconcile(NOON) == 0


async def test_a_refused_workspace_holds_no_other_up(spice: SpiceStage) -> None:
    spice.relationships.failing = AuthzError("authz:unavailable")
    (bad, _), (good, owner) = await spice.workspace(), await spice.workspace()
    spice.relationships.failing = None
    spice.relationships.refusing = {bad}
    with pytest.raises(AuthzError, match="authz:refused"):
        await spice.outbox.apply_outbox(NOON)
    assert await spice.may(owner, good) == ALLOWED[OWNER]
    assert await spice.waiting() == 1


# -- comparing --------------------------------------------------------------------------------------------


async def held(spice: SpiceStage) -> set[tuple[UUID, str, str]]:
    """Every relation in SpiceDB."""
    found, cursor = set(), None
    while True:
        page, cursor = await spice.spicedb.page(cursor)
        found |= {(one.workspace_id, one.wallet_address, one.role.name) for one in page if one.role}
        if cursor is None:
            return found


async def said(spice: SpiceStage) -> set[tuple[UUID, str, str]]:
    rows = await spice.rows(
        "select m.workspace_id, lower(m.wallet_address), m.role from workspace_member m "
        "join workspace w on w.id = m.workspace_id where deleted_at is null"
    )
    return {tuple(row.values()) for row in rows}  # type: ignore[misc]


@pytest.mark.parametrize("page", [500, 3])
async def test_differences_are_repaired_both_ways(
    spice: SpiceStage, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "PAGE", page)
    monkeypatch.setattr(spicedb_module, "PAGE", page)
    workspaces = [await spice.workspace() for _ in range(7)]
    for workspace, owner in workspaces:
        await spice.memberships.put(workspace, owner, wallet(), VIEWER, NOON)
    assert await held(spice) == await said(spice)
    (lost, lost_owner), (wrong, wrong_owner), (more, _), (deleted, _), *_ = workspaces
    await spice.spicedb.write(
        [
            Relation(lost, lost_owner, None),  # it forgot one,
            Relation(wrong, wrong_owner, VIEWER),  # has another wrong,
            Relation(more, wallet(), OWNER),  # one that is no member,
            Relation(new_id(), wallet(), OWNER),  # and one of no workspace at all
        ]
    )
    await spice.rows("update workspace set deleted_at = now() where id = $1", deleted)
    assert await spice.outbox.reconcile(NOON, repair=False) == 1 + 2 + 1 + 1 + 2
    assert await held(spice) != await said(spice)
    assert await spice.outbox.reconcile(NOON) >= 6
    assert await held(spice) == await said(spice)
    assert await spice.outbox.reconcile(NOON) == 0
    assert await spice.waiting() == 0


async def test_a_wallet_with_two_roles_keeps_the_one_of_the_table(spice: SpiceStage) -> None:
    from authzed.api import v1

    workspace, owner = await spice.workspace()
    member = wallet()
    await spice.memberships.put(workspace, owner, member, VIEWER, NOON)
    second = v1.RelationshipUpdate(
        operation=v1.RelationshipUpdate.OPERATION_TOUCH,
        relationship=v1.Relationship(
            resource=v1.ObjectReference(object_type="workspace", object_id=str(workspace)),
            relation="owner",
            subject=v1.SubjectReference(
                object=v1.ObjectReference(object_type="user", object_id=member.lower())
            ),
        ),
    )
    metadata = (("authorization", f"Bearer {TOKEN}"),)
    await spice.spicedb._api.WriteRelationships(
        v1.WriteRelationshipsRequest(updates=[second]), metadata=metadata
    )
    assert await spice.may(member, workspace) == ALLOWED[OWNER]
    assert await spice.outbox.reconcile(NOON) == 1
    assert await spice.may(member, workspace) == ALLOWED[VIEWER]
