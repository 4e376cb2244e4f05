"""Signed transactions are what other implementations make of the same key and fields."""

from __future__ import annotations

import rlp
from eth_account import Account
from eth_keys.datatypes import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from luxxon_core.adapters.chain.signer import DynamicFeeTransaction, LocalSigner

KEY = b"\x07" * 32
SIGNER = LocalSigner(KEY)
numbers = st.one_of(st.sampled_from([0, 1, 127, 128, 255, 256]), st.integers(0, 2**64))


@given(numbers, numbers, numbers, st.integers(21_000, 2**40), st.binary(max_size=300), st.booleans())
def test_a_transaction_is_encoded_and_signed_as_others_do(
    nonce: int, tip: int, fee: int, gas: int, data: bytes, creates: bool
) -> None:
    to = b"" if creates else b"\x11" * 20
    unsigned = DynamicFeeTransaction(31337, nonce, tip, fee, gas, to, data)
    raw = unsigned.signed(SIGNER.sign(unsigned.digest()))
    fields = rlp.decode(raw[1:])
    assert b"\x02" + rlp.encode(fields) == raw
    assert [int.from_bytes(one, "big") for one in fields[:5]] == [31337, nonce, tip, fee, gas]
    assert (fields[5], fields[7], fields[8]) == (to, data, [])
    assert Account.recover_transaction(raw) == SIGNER.address


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_is_signed_as_others_do(digest: bytes) -> None:
    signature, other = SIGNER.sign(digest), PrivateKey(KEY).sign_msg_hash(digest)
    assert (signature.y_parity, signature.r, signature.s) == (other.v, other.r, other.s)
