"""The API as one text for agents (llmstxt.org): what it is for, one whole run in curl, every endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from luxxon_core.http.components import TAGS
from luxxon_core.http.openapi import METHODS, admits, shown_path
from luxxon_core.http.operation import Operation
from luxxon_core.http.refusals import refusals
from luxxon_core.kernel.errors import LuxxonError

HEAD = """\
# Luxxon API {version}

> Live video of real places, paid per second in USDC. Ask for a point on earth; a supplier's camera there is
> assigned to you; you watch it or fetch single pictures; you pay for the seconds that were really delivered.

- Base URL: {base}
- OpenAPI 3.1: {base}/openapi.json
- To read and try: {base}/docs

## Conventions

- JSON in and out, camelCase. Success: `{{"statusCode": 200, "message": …, "data": …, "timestamp": …}}`; what
  you asked for is `data`. Failure: `{{"statusCode", "code", "message", "detail"?, "timestamp"}}`; branch on
  `code`.
- Ids are UUIDs, times ISO 8601 UTC. Money is µUSDC in decimal strings: `"1000"` is 0.001 USDC.
- Unknown fields are ignored. POST without a body is fine where the endpoint takes none.
- `X-Lx-Consistency-Token` of an answer may be sent with later calls; it is never needed.

## Credentials

- Programs: an API key, `Authorization: Bearer lxxn_…`. It belongs to one workspace and has scopes. A person
  mints it: `POST /workspaces/{{workspaceId}}/api-keys` with a wallet session. Its text is shown once.
- People: `POST /auth/wallet/challenge`, sign `message` with the wallet (EIP-191), `POST /auth/wallet/login`:
  sets the cookie `lx_session`. Then `POST /auth/workspace/select`, or name a `workspaceId` with each call.

## One session, from request to bill

```sh
API={base}
KEY="Authorization: Bearer $LUXXON_API_KEY"      # scopes sessions:create, sessions:read, pricing:read

# 1. Who is there, and what does a second cost? (optional)
curl -s $API/coverage
curl -s -H "$KEY" "$API/pricing/quote?lat=50.8466&lng=4.3528&durationSeconds=60"

# 2. Request: the pool on chain must hold rate × maxDurationSeconds. -> data.id, state REQUESTED
curl -s -H "$KEY" -H "Idempotency-Key: $(uuidgen)" -H "Content-Type: application/json" \\
  -d '{{"lat": 50.8466, "lng": 4.3528, "maxDurationSeconds": 60}}' $API/sessions

# 3. Dispatch to the operator that has been idle longest. -> state ASSIGNED
#    503 NO_COVERAGE or UNAVAILABLE: the session stays REQUESTED; try again, or cancel with DELETE.
curl -s -H "$KEY" -X POST $API/sessions/$ID/dispatch

# 4. Wait for LIVE: the first decoded picture. Metering begins here, not before.
#    ENDED, EXPIRED and CANCELLED are final. Follow events, or read once a second:
curl -sN -H "$KEY" $API/sessions/$ID/events
curl -s -H "$KEY" $API/sessions/$ID

# 5. Look: the latest picture as JPEG, renewed about once a second; or the stream itself by WHEP.
curl -s -H "$KEY" -o frame.jpg $API/sessions/$ID/frame
curl -s -H "$KEY" $API/sessions/$ID/viewer-token

# 6. End. Seconds without picture are not charged. -> cleanSeconds, chargedMicroUsdc
curl -s -H "$KEY" -X POST $API/sessions/$ID/end
curl -s -H "$KEY" $API/sessions/$ID/receipt
curl -s -H "$KEY" $API/settlements/$ID             # PENDING, SUBMITTED (txHash), CONFIRMED
```

An operator's program: `PATCH /workspaces/{{workspaceId}}` with `availabilityState: ONLINE` and its circle, a
heartbeat every 5 s to `POST /workspaces/{{workspaceId}}/location`, then `POST /sessions/{{sessionId}}/start`,
and publish to `whipUrl` by WHIP. Both URLs are secrets of the session.
"""

RETRIES = """\
## Errors and retries

- Retry 429 after `Retry-After` seconds. Retry 5xx, `EXTERNAL_ERROR` and time-outs with growing pauses: GET
  always, POST with the `Idempotency-Key` it had the first time. Without one, look before you create again.
- `UNAVAILABLE` and `NO_COVERAGE`: nobody is free, or nobody covers the point. Retrying `dispatch` is safe.
- `INVALID_STATE`: the session is elsewhere; `detail` names the state: `session:end:EXPIRED`. Read it.
- `start`, `end`, `cancel-all-assignments`, `logout` and `revoke` can be repeated.
- 400, 401, 403 and 404: change the request. `detail` names the field (`session:lat`) or what is missing
  (`apiKey:scope:sessions:create`).
- `INSUFFICIENT_CREDIT`: deposit into the pool of the settlement contract (`GET /config`); the same request
  then works.
"""


def guide(operations: Iterable[Operation], *, version: str, base: str) -> str:
    """The text for agents; endpoints and codes are those of ``operations``."""
    rows = sorted(operations, key=lambda row: (row.path, METHODS.index(row.method)))
    parts = [
        HEAD.format(version=version, base=base),
        RETRIES,
        "\n".join(_codes(rows)),
        "\n".join(_table(rows)),
    ]
    return "\n".join(parts) + "\n"


def _codes(rows: Iterable[Operation]) -> Iterator[str]:
    known: dict[tuple[int, str], LuxxonError] = {}
    for row in rows:
        for error in refusals(row):
            known.setdefault((error.status, error.code), error)
    yield "| Status | Code | Meaning |\n|---|---|---|"
    for (status, code), error in sorted(known.items()):
        yield f"| {status} | `{code}` | {error.default_message} |"
    yield ""


def _table(rows: list[Operation]) -> Iterator[str]:
    yield "## Endpoints\n"
    yield "| Endpoint | What | Who |\n|---|---|---|"
    order = [*TAGS, *sorted({row.tag for row in rows} - set(TAGS))]
    for row in sorted(rows, key=lambda one: order.index(one.tag)):
        yield f"| `{row.method} {shown_path(row)}` | {row.summary} | {admits(row).rstrip('.')} |"
