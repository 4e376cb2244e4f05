"""Challenges, keys and cookies as pure functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from marketplace import NOON

from luxxon_core.access.domain import (
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
from luxxon_core.http.principal import MemberRole, WalletPrincipal
from luxxon_core.kernel.errors import InvalidToken, NotAuthenticated

WALLET = "0x52908400098527886E0F7030069857D2E4169EE7"
SECRET = b"a secret of thirty-two bytes....."
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
    assert unseal(value, NOON + timedelta(seconds=age), SECRET) == who
    with pytest.raises(NotAuthenticated):
        unseal(value, NOON + COOKIE_TTL, SECRET)
    with pytest.raises(NotAuthenticated):
        unseal(value, NOON, SECRET[:-1])


@given(principals, st.data())
def test_a_changed_cookie_is_refused_wherever_it_was_changed(
    who: WalletPrincipal, data: st.DataObject
) -> None:
    value = seal(who, NOON, SECRET)
    where = data.draw(st.integers(0, len(value) - 1))
    put = data.draw(st.characters(codec="utf-8"))
    changed = value[:where] + put + value[where + 1 :]
    assume(changed != value)
    with pytest.raises(NotAuthenticated):
        unseal(changed, NOON, SECRET)


@given(st.text(st.characters(exclude_categories=()), max_size=60))
@example("\udcff\udcfe.\udcfa")
def test_any_text_is_a_cookie_or_refused(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        unseal(text, NOON, SECRET)


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


def test_a_key_works_until_its_grace_is_over() -> None:
    key = ApiKey(UUID(int=1), UUID(int=2), b"hash", "lxxn", "x", "TEST", (), NOON, WALLET)
    assert key.works_at(NOON + timedelta(days=9999))
    revoked = replace(key, revoked_at=NOON, grace_period_end=NOON + GRACE)
    assert revoked.works_at(NOON + timedelta(seconds=59.999))
    assert not revoked.works_at(NOON + timedelta(seconds=60))
    assert "hash" not in repr(key)
