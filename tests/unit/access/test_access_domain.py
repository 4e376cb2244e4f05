"""Challenges, keys and cookies as pure functions."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from marketplace import NOON

from luxxon_core.access.domain import (
    COOKIE_LENGTH,
    COOKIE_SKEW,
    COOKIE_TTL,
    GRACE,
    ApiKey,
    Purpose,
    SignInDomain,
    key_hash,
    key_plaintext,
    new_challenge,
    seal,
    unseal,
)
from luxxon_core.access.schemas import LoginRequest
from luxxon_core.http.principal import MemberRole, WalletPrincipal
from luxxon_core.kernel.errors import InvalidToken, NotAuthenticated
from luxxon_core.workspaces.schemas import CreateRequest

WALLET = "0x52908400098527886E0F7030069857D2E4169EE7"
SECRET = b"a secret of thirty-two bytes....."


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


principals = st.builds(
    WalletPrincipal, st.just(WALLET), st.none() | st.uuids(), st.none() | st.sampled_from(MemberRole)
)


def test_a_challenge_says_who_where_what_and_how_long() -> None:
    host = SignInDomain("api.luxxon.dev", "https://api.luxxon.dev", 84532)
    challenge = new_challenge(host, WALLET, Purpose.LOGIN, "0" * 32, NOON)
    assert challenge.message == (
        "api.luxxon.dev wants you to sign in with your Ethereum account:\n"
        f"{WALLET}\n"
        "\n"
        "Luxxon — sign in to prove wallet ownership.\n"
        "\n"
        "URI: https://api.luxxon.dev\n"
        "Version: 1\n"
        "Chain ID: 84532\n"
        "Nonce: 00000000000000000000000000000000\n"
        "Issued At: 2026-05-13T12:00:00.000Z\n"
        "Expiration Time: 2026-05-13T12:05:00.000Z"
    )
    other = new_challenge(host, WALLET, Purpose.WORKSPACE, "0" * 32, NOON)
    assert "sign in to prove" not in other.message
    assert "create a workspace" in other.message


@given(principals, st.integers(0, int(COOKIE_TTL.total_seconds()) - 1))
def test_a_sealed_principal_comes_back_while_it_lasts(who: WalletPrincipal, age: int) -> None:
    value = seal(who, NOON, SECRET)
    assert "=" not in value
    assert len(value) < COOKIE_LENGTH / 2
    assert unseal(value, NOON + timedelta(seconds=age), [SECRET]) == who
    refused(value, secrets=[SECRET[:-1]])
    refused(value, secrets=[])


def refused(value: str, now: datetime = NOON, secrets: Sequence[bytes] = (SECRET,)) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        unseal(value, now, secrets)
    assert caught.value.code == "NOT_AUTHENTICATED"


@given(principals, st.integers(0, 999_999))
def test_a_cookie_ends_twelve_hours_after_the_second_it_was_sealed_in(
    who: WalletPrincipal, micros: int
) -> None:
    value = seal(who, NOON + timedelta(microseconds=micros), SECRET)
    assert unseal(value, NOON + COOKIE_TTL - timedelta(microseconds=1), [SECRET]) == who
    refused(value, NOON + COOKIE_TTL)


@given(principals)
def test_a_cookie_of_the_future_is_refused_beyond_what_clocks_differ(who: WalletPrincipal) -> None:
    value = seal(who, NOON + COOKIE_SKEW, SECRET)
    assert unseal(value, NOON, [SECRET]) == who
    refused(value, NOON - timedelta(microseconds=1))


@given(principals, st.lists(st.binary(min_size=32, max_size=40), min_size=1, max_size=4, unique=True))
def test_a_cookie_stays_good_until_its_secret_is_dropped(who: WalletPrincipal, secrets: list[bytes]) -> None:
    """The server moves on to a new secret, and again: the newest comes first."""
    value, in_use = seal(who, NOON, secrets[0]), secrets[:1]
    for secret in secrets[1:]:
        in_use = [secret, *in_use]
        assert unseal(value, NOON, in_use) == who
        assert unseal(seal(who, NOON, in_use[0]), NOON, in_use[:1]) == who
    refused(value, secrets=[secret for secret in in_use if secret != secrets[0]])


@given(principals, st.data())
def test_a_changed_cookie_is_refused_wherever_it_was_changed(
    who: WalletPrincipal, data: st.DataObject
) -> None:
    value = seal(who, NOON, SECRET)
    where = data.draw(st.integers(0, len(value) - 1))
    put = data.draw(st.characters(codec="utf-8") | st.sampled_from(["", "==", "."]))
    changed = value[:where] + put + value[where + 1 :]
    assume(changed != value)
    refused(changed)
    refused(value[:where])
    refused(value + (put or "="))


def test_every_single_character_of_a_cookie_counts() -> None:
    value = seal(WalletPrincipal(WALLET, UUID(int=7), MemberRole.ADMIN), NOON, SECRET)
    for where, was in enumerate(value):
        for put in "Aa0-_.=":
            if put != was:
                refused(value[:where] + put + value[where + 1 :])


@given(st.text(st.characters(exclude_categories=()), max_size=60))
@example("\udcff\udcfe.\udcfa")
@example("." * 4000)
def test_any_text_is_a_cookie_or_refused(text: str) -> None:
    refused(text)


GOOD = {"walletAddress": WALLET, "workspaceId": None, "role": None, "iat": 0, "exp": 2**40}


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=3)
    | st.fixed_dictionaries(
        {}, optional={name: st.none() | st.text() | st.floats() | st.lists(st.none()) for name in GOOD}
    ).map(lambda fields: {**GOOD, **fields})
    | st.sampled_from(sorted(GOOD)).map(lambda name: {key: GOOD[key] for key in GOOD if key != name})
)
@example({**GOOD, "role": "EMPEROR"})
@example({**GOOD, "workspaceId": "x"})
@example({**GOOD, "exp": float("inf")})
def test_a_payload_in_another_form_is_refused_though_sealed(payload: object) -> None:
    body = unpadded(json.dumps(payload).encode())
    value = f"{body}.{unpadded(hmac.digest(SECRET, body.encode(), 'sha256'))}"
    try:
        found = unseal(value, NOON, [SECRET])
    except NotAuthenticated:
        return
    assert isinstance(payload, dict)
    assert (found.wallet_address, found.workspace_id) == (payload["walletAddress"], payload["workspaceId"])


@pytest.mark.parametrize("body", ["", "e", "____", "eyJ", unpadded(b"[" * 700), unpadded(b"\xff\xfe")])
def test_what_is_no_payload_is_refused_though_sealed(body: str) -> None:
    refused(f"{body}.{unpadded(hmac.digest(SECRET, body.encode(), 'sha256'))}")


@given(st.uuids(), st.binary(min_size=32, max_size=32), st.sampled_from(["TEST", "LIVE"]))
def test_a_key_has_its_form_and_no_two_secrets_one_key(workspace: UUID, secret: bytes, kind: str) -> None:
    plaintext = key_plaintext(kind, workspace, secret)
    head, _, tail = plaintext.rpartition("_")
    assert head == f"lxxn_{kind.lower()}_{str(workspace)[:6]}"
    assert len(tail) == 43
    assert tail.isascii()
    assert tail.isalnum()
    flipped = bytes([secret[0] ^ 1, *secret[1:]])
    assert key_plaintext(kind, workspace, flipped) != plaintext
    assert len(key_hash(plaintext)) == 32


@pytest.mark.parametrize(
    "token",
    [
        "",
        "lxxn_",
        "lxxn_prod_x",
        "Bearer lxxn_test_x",
        "LXXN_TEST_x",
        "lxxn_test_é",
        "lxxn_test_" + "x" * 200,
    ],
)
def test_what_is_no_key_has_no_hash(token: str) -> None:
    with pytest.raises(InvalidToken):
        key_hash(token)


def test_what_proves_a_wallet_has_no_repr() -> None:
    host = SignInDomain("api.luxxon.dev", "https://api.luxxon.dev", 84532)
    signature = "0x" + "ab" * 65
    for secretive in (
        new_challenge(host, WALLET, Purpose.LOGIN, "5" * 32, NOON),
        LoginRequest(WALLET, "5" * 32, signature),
        CreateRequest("slug", "name", WALLET, signature, "5" * 32, ["CONSUMER"]),
    ):
        assert "5555" not in repr(secretive)
        assert "abab" not in repr(secretive)


def test_a_key_works_until_its_grace_is_over() -> None:
    key = ApiKey(UUID(int=1), UUID(int=2), b"hash", "lxxn", "x", "TEST", (), NOON, WALLET)
    assert key.works_at(NOON + timedelta(days=9999))
    revoked = replace(key, revoked_at=NOON, grace_period_end=NOON + GRACE)
    assert revoked.works_at(NOON + timedelta(seconds=59.999))
    assert not revoked.works_at(NOON + timedelta(seconds=60))
    assert "hash" not in repr(key)
