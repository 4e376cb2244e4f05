"""The permission rules of ``contracts/schema.zed``, evaluated over the member table.

Of SpiceDB's schema language this reads what a membership needs: definitions, relations to ``user``, and
permissions that are unions of relations and other permissions.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from luxxon_core.adapters.postgres.database import Database, connection, statements
from luxxon_core.http.guard import Checked
from luxxon_core.http.principal import MemberRole, Permission
from luxxon_core.kernel.errors import StartError
from luxxon_core.kernel.uow import Tx

SQL = statements("authorization")
_SKIPPED = re.compile(r"\s+|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(r"[a-z][a-z0-9_]*|[{}:=+]")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Rules:
    """Which member roles have which permission."""

    roles: Mapping[Permission, frozenset[MemberRole]]

    @classmethod
    def parse(cls, schema: str) -> Rules:
        """The rules of the definition ``workspace``, whose relations are the member roles in lower case.

        Raises:
            StartError: the schema says something that this cannot evaluate, or leaves a permission out.
        """
        definitions = _Parser(schema).definitions()
        workspace = definitions.get("workspace")
        if workspace is None or definitions.get("user") != _Definition({}, {}):
            raise _unreadable("it must define workspace, and user with nothing in it")
        names = {role.name.lower(): role for role in MemberRole}
        if set(workspace.relations) != set(names):
            raise _unreadable(f"the relations of a workspace must be {', '.join(names)}")
        if any(subject != "user" for subject in workspace.relations.values()):
            raise _unreadable("only a user can have a relation to a workspace")
        if missing := {*Permission} - {*workspace.permissions}:
            raise _unreadable(f"no permission {min(missing)}")
        return cls(
            {one: frozenset(names[name] for name in workspace.granting(one, ())) for one in Permission}
        )


@dataclass(frozen=True, slots=True)
class _Definition:
    relations: dict[str, str]
    permissions: dict[str, list[str]]

    def granting(self, name: str, within: tuple[str, ...]) -> set[str]:
        """The relations that the permission or relation ``name`` comes down to."""
        if name in self.relations:
            return {name}
        if name not in self.permissions or name in within:
            raise _unreadable(f"{name} is {'defined by itself' if name in within else 'not defined'}")
        return set().union(*(self.granting(term, (*within, name)) for term in self.permissions[name]))


class _Parser:
    """Reads a schema by recursive descent."""

    def __init__(self, schema: str) -> None:
        self._tokens: list[str] = []
        position = 0
        while position < len(schema):
            found = _SKIPPED.match(schema, position) or _TOKEN.match(schema, position)
            if found is None:
                line = schema.count("\n", 0, position) + 1
                raise _unreadable(f"line {line}: {schema[position:][:1]!r} is not understood")
            if not _SKIPPED.match(schema, position):
                self._tokens.append(found.group())
            position = found.end()
        self._tokens.reverse()

    def definitions(self) -> dict[str, _Definition]:
        found: dict[str, _Definition] = {}
        while self._tokens:
            self._take("definition")
            name = self._name(found)
            found[name] = self._definition()
        return found

    def _definition(self) -> _Definition:
        relations: dict[str, str] = {}
        permissions: dict[str, list[str]] = {}
        self._take("{")
        while self._next() != "}":
            kind = self._take("relation", "permission")
            name = self._name({**relations, **permissions})
            if kind == "relation":
                self._take(":")
                relations[name] = self._name({})
            else:
                permissions[name] = self._union()
        self._take("}")
        return _Definition(relations, permissions)

    def _union(self) -> list[str]:
        self._take("=")
        terms = [self._name({})]
        while self._next() == "+":
            self._take("+")
            terms.append(self._name({}))
        return terms

    def _next(self) -> str:
        return self._tokens[-1] if self._tokens else "the end"

    def _take(self, *wanted: str) -> str:
        if self._next() not in wanted:
            raise _unreadable(f"{self._next()!r} stands where {' or '.join(wanted)} should")
        return self._tokens.pop()

    def _name(self, taken: Mapping[str, object]) -> str:
        name = self._next()
        if not self._tokens or not _NAME.fullmatch(name) or name in taken:
            raise _unreadable(f"{name!r} stands where a new name should")
        return self._tokens.pop()


def _unreadable(reason: str) -> StartError:
    return StartError("authz:schema", f"the permission schema cannot be evaluated: {reason}")


class MemberTable:
    """Implements the guard's ``Authorizer`` and the access slice's ``Mirror`` without any service.

    Every check reads what is committed, so a consistency token asks for nothing that is not given anyway:
    those sent are not looked at, those handed out name the database's newest transaction.
    """

    def __init__(self, database: Database, rules: Rules) -> None:
        self._database = database
        self._roles = {permission: [role.name for role in roles] for permission, roles in rules.roles.items()}

    async def check(
        self, wallet_address: str, workspace_id: UUID, permission: Permission, token: str | None
    ) -> Checked:
        async with self._database.read() as tx:
            row = await connection(tx).fetchrow(
                SQL["permitted"], workspace_id, wallet_address, self._roles[permission]
            )
        assert row is not None
        return Checked(row["allowed"], _token(row["revision"]))

    async def changed(self, tx: Tx, workspace_id: UUID, wallet_address: str, now: datetime) -> None:
        """Nothing to note: the table that changes is the one that is read."""

    async def flush(self, workspace_id: UUID) -> str | None:
        async with self._database.read() as tx:
            return _token(await connection(tx).fetchval(SQL["revision"]))


def _token(revision: str) -> str:
    return base64.b64encode(f"xid {revision}".encode()).decode()
