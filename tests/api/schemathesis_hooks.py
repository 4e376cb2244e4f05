"""Hooks of schemathesis: what its calls are made with, and which refusals are right.

Ids of things that exist stand in place of most that were made up, so that more than 404s is reached. Which
one it is depends on the made-up id alone, so runs repeat.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from typing import Any
from uuid import UUID
from zlib import crc32

import schemathesis
from schemathesis.core.failures import Failure

IDS: dict[str, list[str]] = json.loads(os.environ.get("LUXXON_IDS", "{}"))
"""Names of parameters and fields, each with ids that exist."""
numbers = itertools.count(1)
MADE_UP = 6
"""One id in so many stays as it is."""
RIGHTFUL = {
    "positive_data_acceptance": {
        "INSUFFICIENT_CREDIT",
        "OUTSIDE_COVERAGE",
        "apiKey:environment",
        "deposit:amount",
        "deposit:signature",
        "deposit:validAfter",
        "deposit:validBefore",
        "apiKey:label",  # what is printable differs between versions of Unicode
        "session:cursor",
        "session:policy",  # longer, as JSON, than a schema can say
        "video:updated_at",  # not in the future
        "wallet:cursor",
        "webhook:cursor",
        "webhook:deliveryId",  # one of two
        "webhook:description",
        "webhook:events",
        "webhook:since",
        "webhook:url",  # not every URI leads to a public server
        "workspace:coverageRequired",
        "workspace:name",
    },
    "not_a_server_error": {"NO_COVERAGE", "UNAVAILABLE"},
    "use_after_free": {"CANCELLED"},  # what DELETE does to a session, which can be read for ever
}
"""By check, what an answer may say all the same: a code, a detail, the state of a session."""


def known(name: str, value: object) -> object:
    ids = IDS.get(name)
    if not ids or not isinstance(value, str) or (well_formed(ids[0]) and not well_formed(value)):
        return value
    number = crc32(value.encode())
    return value if number % MADE_UP == 0 else ids[number % len(ids)]


def well_formed(value: str) -> bool:
    try:
        return str(UUID(value)) == value.lower()
    except ValueError:
        return False


def replaced(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    return {name: known(name, value) for name, value in values.items()}


@schemathesis.hook
def map_path_parameters(_: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
    return replaced(path_parameters)


@schemathesis.hook
def map_query(_: Any, query: dict[str, Any]) -> dict[str, Any]:
    return replaced(query)


@schemathesis.hook
def map_body(_: Any, body: Any) -> Any:
    return replaced(body)


@schemathesis.hook
def before_call(_: Any, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Give each request an Idempotency-Key of its own where it has one that is good: most differ in more.
    And give notifications the secret that they need."""
    if (secret := case.headers.get("cf-webhook-auth")) is not None:
        case.headers["cf-webhook-auth"] = known("cf-webhook-auth", secret)
    if case.method == "POST" and case.path.endswith("/observations"):
        case.headers["Prefer"] = "respond-async"  # nobody films: the others would wait for their whole minute
    key = case.headers.get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]{1,200}", key):
        case.headers["Idempotency-Key"] = f"{key}-{next(numbers)}"


@schemathesis.hook
def filter_failure(_: Any, failure: Failure, __: schemathesis.Case, response: schemathesis.Response) -> bool:
    """Drop what is no failure: a rule that no schema can state, nobody there to be dispatched to."""
    for check, rightful in RIGHTFUL.items():
        if check in failure.checks:
            body = response.json()
            data = body.get("data")
            state = data.get("state") if isinstance(data, dict) else None
            return not rightful & {body.get("code"), body.get("detail"), state}
    return True
