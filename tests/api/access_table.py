"""``access_table.txt`` as rows, and the callers of its columns."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from api_wire import SCOPES, Tenant, Wire, refusal
from eth_account import Account

Answer = tuple[int, str, str | None]
"""Status, code and detail; a success has no code."""

MEANING: dict[str, Answer] = {
    "A": (401, "NOT_AUTHENTICATED", None),
    "T": (401, "INVALID_TOKEN", None),
    "K": (401, "INVALID_API_KEY", None),
    "R": (401, "REVOKED_API_KEY", None),
    "Sr": (403, "INSUFFICIENT_SCOPE", "apiKey:scope:sessions:read"),
    "Sc": (403, "INSUFFICIENT_SCOPE", "apiKey:scope:sessions:create"),
    "So": (403, "INSUFFICIENT_SCOPE", "apiKey:scope:sessions:operate"),
    "Sp": (403, "INSUFFICIENT_SCOPE", "apiKey:scope:pricing:read"),
    "Sw": (403, "INSUFFICIENT_SCOPE", "apiKey:scope:wallet:read"),
    "Sh": (403, "INSUFFICIENT_SCOPE", "apiKey:scope:webhooks:write"),
    "M": (403, "WORKSPACE_MISMATCH", "session:workspaceMismatch"),
    "W": (403, "NOT_AUTHORIZED", "auth:walletOnly"),
    "N": (403, "NOT_AUTHORIZED", "auth:noWorkspace"),
    "Pv": (403, "NOT_AUTHORIZED", "auth:permission:view"),
    "Po": (403, "NOT_AUTHORIZED", "auth:permission:operate"),
    "Pk": (403, "NOT_AUTHORIZED", "auth:permission:manage_keys"),
    "Pm": (403, "NOT_AUTHORIZED", "auth:permission:manage_members"),
}
BODILESS = (
    "/dispatch",
    "/start",
    "/end",
    "/revoke",
    "/cancel-all-assignments",
    "/auth/logout",
    "/stop",
    "/rotate",
    "/test",
)
"""Ends of the paths that are posted to with nothing."""


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        path: with ``:name`` for parameters.
        query: what a harmless call asks, ``name=value`` or nothing.
        cells: by caller, in the table's order.
        let_in: what a call past the guard is answered.
    """

    number: str
    method: str
    path: str
    query: str
    cells: dict[str, str]
    let_in: Answer

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def expected(self, caller: str) -> Answer | None:
        """None where there is no such call."""
        cell = self.cells[caller]
        if cell == ".":
            return None
        return self.let_in if cell == "+" else MEANING[cell]

    @property
    def may_have_body(self) -> bool:
        return self.method != "GET"

    @property
    def asks_for_body(self) -> bool:
        return self.method in ("POST", "PATCH") and not self.path.endswith(BODILESS)

    @property
    def names_workspace(self) -> bool:
        return ":workspaceId" in self.path

    def at(self, workspace_id: str) -> str:
        """The path with a workspace, and with whatever else is not there."""
        named = {":workspaceId": workspace_id, ":walletAddress": str(Account.create().address)}
        return "/".join(
            named.get(part, str(uuid4())) if part.startswith(":") else part for part in self.path.split("/")
        )


def _row(head: list[str], line: str) -> Row:
    number, operation, *groups, let_in = (part.strip() for part in line.split("|"))
    method, _, url = operation.partition(" ")
    path, _, query = url.partition("?")
    status, code, detail, *_ = [*let_in.split(), "", ""]
    cells = [cell for group in groups for cell in group.split()]
    answer = (int(status), code, detail or None)
    return Row(number, method, path, query, dict(zip(head, cells, strict=True)), answer)


def read_table() -> tuple[list[str], list[Row]]:
    """The callers and the rows."""
    text = (Path(__file__).parent / "access_table.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    head = [name for group in lines[0].split("|")[2:-1] for name in group.split()]
    return head, [_row(head, line) for line in lines[1:]]


CALLERS, TABLE = read_table()


# -- callers ----------------------------------------------------------------------------------------------


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookie(value: str) -> dict[str, str]:
    return {"Cookie": f"lx_session={value}"}


@dataclass
class Cast:
    """One workspace, another one, and everybody who might come with a credential."""

    owner: Tenant
    other: Tenant
    credentials: dict[str, dict[str, str]]
    """Headers, by caller."""

    async def call(self, wire: Wire, row: Row, caller: str) -> Answer:
        """What the caller is answered, in an envelope that is right."""
        own, foreign = self.owner.workspace_id, self.other.workspace_id
        query = dict([row.query.split("=")]) if row.query else {}
        if caller in ("nam", "out"):
            query["workspaceId"] = own
        if caller == "fqu":
            query["workspaceId"] = foreign
        request: dict[str, Any] = {}
        if caller == "fbo":
            request["json"] = {"workspaceId": foreign}
        elif row.asks_for_body:
            request["json"] = {}
        path = row.at(foreign if caller == "fpa" else own)
        response = await wire(row.method, path, auth=self.credentials[caller], params=query, **request)
        return (response.status_code, "", None) if response.is_success else refusal(response)


async def assemble(wire: Wire) -> Cast:
    """Everybody, through the API itself but for what takes time: grace and expiry are moved in the database
    and in the cookie."""
    owner, other = await wire.tenant("CONSUMER", "SUPPLIER"), await wire.tenant("CONSUMER", "SUPPLIER")
    picked = {name: await _member(wire, owner, role) for name, role in ROLES.items()}
    await wire.data(
        "DELETE", f"/workspaces/{owner.workspace_id}/members/{picked['rem'][0]}", auth=owner.as_cookie()
    )
    unpicked = cookie(await wire.login(owner.account))
    keys = {"all": SCOPES, "---": ("operators:write", "coverage:write", "webhooks:write")}
    for scope in SCOPES:
        short = "-" + (scope.partition(":")[2] if scope.startswith("sessions") else scope)[0]
        keys[short] = tuple(one for one in SCOPES if one != scope)
    credentials = {
        name: bearer((await wire.mint(owner.cookie, owner.workspace_id, *scopes))["plaintext"])
        for name, scopes in keys.items()
    }
    credentials |= dict.fromkeys(("fpa", "fqu", "fbo"), credentials["all"])
    credentials |= {
        "no": {},
        "bad": bearer("garbage"),
        "unk": bearer(unminted(owner.key)),
        "gra": bearer(await revoked(wire, owner)),
        "rev": bearer(await revoked(wire, owner, past_grace=True)),
        "fog": cookie(forged(owner.cookie, other.cookie)),
        "exp": cookie(expired(wire, owner.cookie)),
        "un": unpicked,
        "nam": unpicked,
        "OWN": owner.as_cookie(),
        "out": other.as_cookie(),
        **{name: cookie(value) for name, (_, value) in picked.items()},
    }
    return Cast(owner, other, credentials)


ROLES = {"ADM": "ADMIN", "VIE": "VIEWER", "rem": "ADMIN"}


async def _member(wire: Wire, owner: Tenant, role: str) -> tuple[str, str]:
    """The address of a new member, and its cookie with the workspace picked."""
    account = Account.create()
    body = {"walletAddress": account.address, "role": role}
    path = f"/workspaces/{owner.workspace_id}/members"
    await wire.data("POST", path, auth=owner.as_cookie(), json=body)
    return account.address, await wire.login(account, owner.workspace_id)


async def revoked(wire: Wire, owner: Tenant, *scopes: str, past_grace: bool = False) -> str:
    """A key that was revoked just now, or long ago."""
    made = await wire.mint(owner.cookie, owner.workspace_id, *scopes)
    path = f"/workspaces/{owner.workspace_id}/api-keys/{made['id']}/revoke"
    await wire.data("POST", path, auth=owner.as_cookie())
    ends = "now() - interval '1 s'" if past_grace else "now() + interval '1 hour'"
    await wire.rows(f"update api_key set grace_period_end = {ends} where id = $1", made["id"])
    return str(made["plaintext"])


def unminted(key: str) -> str:
    """In the form of a key."""
    return key[:-1] + ("0" if key[-1] != "0" else "1")


def forged(value: str, other: str) -> str:
    """A cookie's payload under the seal of another one."""
    return value.partition(".")[0] + "." + other.partition(".")[2]


def expired(wire: Wire, value: str) -> str:
    """The cookie as the server would have sealed it long ago."""
    secret = wire.server.deployment.cases.access.cookie_secrets[0]
    body = value.partition(".")[0]
    payload = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    old = json.dumps({**payload, "iat": payload["iat"] - 43_200, "exp": payload["iat"] - 1})
    sealed = base64.urlsafe_b64encode(old.encode()).rstrip(b"=")
    signature = base64.urlsafe_b64encode(hmac.new(secret, sealed, hashlib.sha256).digest()).rstrip(b"=")
    return f"{sealed.decode()}.{signature.decode()}"
