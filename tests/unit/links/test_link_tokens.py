"""Tokens of links: what goes in comes out, until it expires, and for the keys that sealed it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.http.principal import LinkPrincipal
from luxxon_core.kernel.errors import InvalidToken
from luxxon_core.links.domain import link_keys, seal, unseal
from luxxon_core.qr import half_blocks

NOW = datetime(2026, 5, 13, 12, tzinfo=UTC)
KEYS = link_keys([b"new" * 11, b"old" * 11])
SESSION, KEY_ID = UUID(int=7), UUID(int=2**128 - 1)
PRINCIPAL = LinkPrincipal(SESSION, "consumer", KEY_ID, NOW + timedelta(minutes=15))


@given(
    st.uuids(),
    st.sampled_from(["consumer", "operator"]),
    st.uuids() | st.binary(min_size=20, max_size=20).map(lambda address: f"0x{address.hex()}"),
    st.integers(1, 86_400),
)
def test_what_goes_in_comes_out(session: UUID, side: str, maker: str | UUID, seconds: int) -> None:
    principal = LinkPrincipal(session, side, maker, NOW + timedelta(seconds=seconds))
    token = seal(principal, KEYS[0])
    assert len(token) == (71 if isinstance(maker, UUID) else 76)
    assert unseal(token, NOW, KEYS) == principal
    with pytest.raises(InvalidToken):
        unseal(token, principal.expires_at, KEYS)


def test_an_earlier_secret_opens_and_a_dropped_one_does_not() -> None:
    token = seal(PRINCIPAL, KEYS[1])
    assert unseal(token, NOW, KEYS) == PRINCIPAL
    with pytest.raises(InvalidToken):
        unseal(token, NOW, KEYS[:1])


@given(st.text(max_size=90) | st.from_regex(r"[A-Za-z0-9_-]{71}", fullmatch=True))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        unseal(text, NOW, KEYS)


def test_a_usual_link_fits_a_terminal_of_24_rows() -> None:
    wallets = LinkPrincipal(SESSION, "operator", "0x" + "ab" * 20, PRINCIPAL.expires_at)
    url = f"https://api.luxxon.dev/s/{seal(wallets, KEYS[0])}"
    assert len(half_blocks(url)) <= 21
