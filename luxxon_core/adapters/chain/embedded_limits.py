"""How long one request may hold the embedded chain's thread.

Gas does not bound it: py-evm spends between one and three million a second on plain opcodes, and a hundred
times fewer on pairings, which are pure Python here. So execution also has a deadline, looked at wherever code
can repeat itself, and the precompiles that gas prices far too low refuse large inputs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from eth.abc import ComputationAPI
from eth.constants import GAS_JUMPDEST
from eth.exceptions import VMError
from eth.vm.forks.prague.computation import PRAGUE_PRECOMPILES, PragueComputation
from eth.vm.forks.prague.opcodes import PRAGUE_OPCODES
from eth.vm.forks.prague.state import PragueState
from eth.vm.opcode import as_opcode

MAX_CURVE_INPUT = 768
"""Bytes: four pairs of alt_bn128, what a Groth16 proof needs, or two of BLS12-381; each about a second."""

MAX_BLAKE_ROUNDS = 100_000
"""About a second."""

Precompile = Callable[[ComputationAPI], ComputationAPI]

_JUMPDEST = 0x5B
_BLAKE2 = 0x09
_CURVES = (0x06, 0x07, 0x08, *range(0x0B, 0x12))  # EIP-196, EIP-197, EIP-2537

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


class Overrun(Exception):
    """An execution passed its deadline. No VMError: no contract may catch it."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Limit what is executed inside, on this thread.

    Raises:
        Overrun: it took longer.
    """
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def _check_deadline(computation: ComputationAPI | None = None) -> None:
    if time.monotonic() > _deadline.get():
        raise Overrun


def _small(precompile: Precompile) -> Precompile:
    def limited(computation: ComputationAPI) -> ComputationAPI:
        if len(computation.msg.data_as_bytes) > MAX_CURVE_INPUT:
            raise VMError(f"this chain takes at most {MAX_CURVE_INPUT} bytes here")
        return precompile(computation)

    return limited


def _few_rounds(precompile: Precompile) -> Precompile:
    def limited(computation: ComputationAPI) -> ComputationAPI:
        if int.from_bytes(computation.msg.data_as_bytes[:4], "big") > MAX_BLAKE_ROUNDS:
            raise VMError(f"this chain computes at most {MAX_BLAKE_ROUNDS} rounds")
        return precompile(computation)

    return limited


def _limited(address: bytes, precompile: Any) -> Precompile:
    number = int.from_bytes(address, "big")
    if number in _CURVES:
        return _small(precompile)
    return _few_rounds(precompile) if number == _BLAKE2 else precompile


LIMITED_PRECOMPILES = {address: _limited(address, code) for address, code in PRAGUE_PRECOMPILES.items()}


class LimitedComputation(PragueComputation):
    # all loops pass a JUMPDEST or enter a call
    opcodes = {  # noqa: RUF012 - py-evm's own form
        **PRAGUE_OPCODES,
        _JUMPDEST: as_opcode(logic_fn=_check_deadline, mnemonic="JUMPDEST", gas_cost=GAS_JUMPDEST),
    }
    _precompiles = LIMITED_PRECOMPILES

    @classmethod
    def apply_computation(cls, *args: Any, **kwargs: Any) -> ComputationAPI:
        _check_deadline()
        return super().apply_computation(*args, **kwargs)


class LimitedState(PragueState):
    computation_class = LimitedComputation
