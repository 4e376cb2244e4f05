"""The embedded chain's machine: py-evm at the Prague rules, one transaction a block, mined at once.

Everything here belongs to one thread. py-evm is used without eth-tester between: eth-tester reports a revert
as text, finds a transaction by walking all blocks and stamps its own times, where a wallet needs the revert
data and the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from eth.abc import BlockHeaderAPI, ComputationAPI, SignedTransactionAPI, StateAPI
from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.exceptions import PyEVMError, Revert, VMError
from eth.vm.forks.prague import PragueVM
from eth.vm.spoof import SpoofTransaction
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_typing import Address, BlockNumber
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException

from luxxon_core.adapters.chain import embedded_json as form
from luxxon_core.adapters.chain.embedded_limits import LimitedState, Overrun, at_most
from luxxon_core.adapters.chain.embedded_store import ChainStore

CHAIN_ID = 31337
GAS_LIMIT = 30_000_000
SIMULATED_GAS = 8_000_000
"""The most that eth_call and eth_estimateGas get; the contract's largest batch needs 5.6 million."""

SIMULATION_SECONDS = 2.0
MINING_SECONDS = 4.0
"""What a transaction may take: twice as long, so that what could be estimated can be mined."""

TIP = 10**9
"""The priority fee to suggest, in wei."""

NOBODY = Address(bytes(20))
MAX_QUEUED = 1024
EXECUTION_REVERTED = 3
SERVER_ERROR = -32000
GAS_PER_TOKEN_FLOOR = 10  # EIP-7623
CALL_STIPEND = 2300


class RpcError(Exception):
    """What a JSON-RPC caller gets in place of a result; ``data`` is the revert data as hexadecimal."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of eth_call and eth_estimateGas; ``to`` empty creates a contract."""

    sender: bytes = NOBODY
    to: bytes = b""
    value: int = 0
    data: bytes = b""
    gas: int = SIMULATED_GAS
    access_list: tuple[tuple[bytes, tuple[int, ...]], ...] = ()


class _Vm(PragueVM):
    _state_class = LimitedState

    @classmethod
    def validate_header(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
        # blocks of one second share its timestamp: pushing each a second on would run ahead of the clock
        if header.timestamp < parent_header.timestamp:
            raise ValidationError("timestamp before the parent's")
        earlier = min(parent_header.timestamp, header.timestamp - 1)
        super().validate_header(header, cast(Any, parent_header).copy(timestamp=earlier))


class _Chain(MiningChain):
    chain_id: ClassVar[int] = CHAIN_ID  # type: ignore[misc]
    vm_configuration = ((BlockNumber(0), _Vm),)

    def create_header_from_parent(self, parent_header: BlockHeaderAPI, **fields: Any) -> BlockHeaderAPI:
        return super().create_header_from_parent(parent_header, **fields, gas_limit=parent_header.gas_limit)


class Evm:
    """A chain over a store.

    Args:
        store: where it lives; a new one gets a genesis block.
        funded: wei of each account in that genesis block.
        clock: seconds since the epoch.
    """

    def __init__(
        self, store: ChainStore, funded: Mapping[bytes, int], clock: Callable[[], float] = time.time
    ) -> None:
        self.store = store
        self._clock = clock
        self._queued: dict[tuple[bytes, int], SignedTransactionAPI] = {}
        if store.block(0) is None:
            self._create(funded)
        self._chain = self._open()

    def _open(self) -> _Chain:
        return _Chain(AtomicDB(self.store.nodes))

    def _create(self, funded: Mapping[bytes, int]) -> None:
        genesis = {
            "coinbase": NOBODY,
            "difficulty": 0,
            "extra_data": b"",
            "gas_limit": GAS_LIMIT,
            "mix_hash": bytes(32),
            "nonce": bytes(8),
            "timestamp": int(self._clock()),
        }
        accounts = {
            Address(account): {"balance": wei, "nonce": 0, "code": b"", "storage": {}}
            for account, wei in funded.items()
        }
        with self.store.transaction():
            chain = _Chain.from_genesis(AtomicDB(self.store.nodes), cast(Any, genesis), cast(Any, accounts))
            block = chain.get_canonical_block_by_number(BlockNumber(0))
            self.store.add_block(form.block_document(block))

    # ---------------------------------------------------------------- reading

    @property
    def head(self) -> BlockHeaderAPI:
        return self._chain.get_canonical_head()

    @property
    def next_base_fee(self) -> int:
        return self._chain.header.base_fee_per_gas or 0

    def state(self, number: int | None = None) -> StateAPI:
        """The state after a block; None is the newest."""
        return self._chain.get_vm(self._header(number)).state

    def _header(self, number: int | None) -> BlockHeaderAPI:
        head = self.head
        if number is None or number == head.block_number:
            return head
        if not 0 <= number < head.block_number:
            raise RpcError(SERVER_ERROR, "header not found")
        return self._chain.get_canonical_block_header_by_number(BlockNumber(number))

    def queued(self, tx_hash: bytes) -> SignedTransactionAPI | None:
        """A transaction that waits for an earlier nonce."""
        return next((tx for tx in self._queued.values() if tx.hash == tx_hash), None)

    # ---------------------------------------------------------------- simulating

    def call(self, call: Call, number: int | None = None) -> bytes:
        """The output of a call on top of a block, free of charge.

        Raises:
            RpcError: it reverted (code 3, with the data), took too long or could not run.
        """
        with _timed(SIMULATION_SECONDS):
            computation = self._execute(self._free_state(number), call, call.gas)
        _raise_if_failed(computation)
        return computation.output

    def estimate(self, call: Call, number: int | None = None) -> int:
        """A gas limit with which the call succeeds, close above what it needs.

        Raises:
            RpcError: it fails with any gas, or takes too long to find out.
        """
        with _timed(SIMULATION_SECONDS):
            return self._estimate(self._free_state(number), call)

    def _estimate(self, state: StateAPI, call: Call) -> int:
        computation = self._execute(state, call, call.gas)
        _raise_if_failed(computation)
        used = call.gas - computation.get_gas_remaining()
        # a callee gets at most 63/64 of what is left (EIP-150), hence more than was used
        low, high = used - 1, max(used, (used + CALL_STIPEND) * 64 // 63) if call.data else used
        high = max(high, _floor_gas(call.data))
        while high < call.gas and self._execute(state, call, high).is_error:
            low, high = high, min(2 * high, call.gas)
        while high - low > high // 64 and low > used:
            middle = (low + high) // 2
            if self._execute(state, call, middle).is_error:
                low = middle
            else:
                high = middle
        return min(high, call.gas)

    def _free_state(self, number: int | None) -> StateAPI:
        header = self._header(number)
        if header.block_number == self.head.block_number:
            header = self._next_header()  # what is simulated now would be mined now
        return self._chain.get_vm(cast(Any, header).copy(base_fee_per_gas=0)).state

    def _execute(self, state: StateAPI, call: Call, gas: int) -> ComputationAPI:
        transaction = self._chain.get_vm_class(self.head).get_transaction_builder()
        unsigned = cast(Any, transaction).new_unsigned_dynamic_fee_transaction(
            chain_id=CHAIN_ID,
            nonce=state.get_nonce(Address(call.sender)),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=0,
            gas=gas,
            to=call.to,
            value=call.value,
            data=call.data,
            access_list=call.access_list,
        )
        snapshot = state.snapshot()
        try:
            return state.apply_transaction(cast(Any, SpoofTransaction(unsigned, from_=call.sender)))
        except ValidationError as error:
            raise RpcError(SERVER_ERROR, str(error)) from error
        finally:
            state.revert(snapshot)

    # ---------------------------------------------------------------- mining

    def decode(self, raw: bytes) -> SignedTransactionAPI:
        """A signed transaction of type 0, 1 or 2.

        Raises:
            RpcError: it is none.
        """
        if raw[:1] in (b"\x03", b"\x04"):
            raise RpcError(SERVER_ERROR, "transaction type not supported")
        try:
            transaction = self._chain.get_vm_class(self.head).get_transaction_builder().decode(raw)
            transaction.validate()
            transaction.check_signature_validity()
        except (PyEVMError, ValidationError, RLPException, ValueError, IndexError) as error:
            raise RpcError(SERVER_ERROR, f"invalid transaction: {error}") from error
        return transaction

    def submit(self, transaction: SignedTransactionAPI) -> bytes:
        """Mine a transaction and those that waited for it; one with a later nonce waits. Returns its hash.

        Raises:
            RpcError: it can never be mined as things stand.
        """
        sender = transaction.sender
        state = self.state()
        expected = state.get_nonce(sender)
        self._check(transaction, expected, state.get_balance(sender))
        if transaction.nonce > expected:
            self._enqueue(transaction)
            return transaction.hash
        self._mine(transaction)
        nonce = expected + 1
        while (waiting := self._queued.pop((sender, nonce), None)) is not None:
            try:
                self._check(waiting, nonce, self.state().get_balance(sender))
                self._mine(waiting)
            except RpcError:
                break  # what could not be paid for any more leaves the pool, as in every node
            nonce += 1
        return transaction.hash

    def _enqueue(self, transaction: SignedTransactionAPI) -> None:
        place = (transaction.sender, transaction.nonce)
        waiting = self._queued.get(place)
        if waiting is not None and waiting.hash == transaction.hash:
            raise RpcError(SERVER_ERROR, "already known")
        if waiting is None and len(self._queued) >= MAX_QUEUED:
            raise RpcError(SERVER_ERROR, "txpool is full")
        self._queued[place] = transaction

    def _check(self, transaction: SignedTransactionAPI, expected: int, balance: int) -> None:
        """What geth's pool refuses, in its words, which clients match on."""
        chain_id = transaction.chain_id
        cost = transaction.gas * transaction.max_fee_per_gas + transaction.value
        least_gas = max(transaction.intrinsic_gas, _floor_gas(transaction.data))
        problem = None
        if chain_id not in (None, CHAIN_ID):
            problem = f"invalid chain id for signer: have {chain_id} want {CHAIN_ID}"
        elif transaction.nonce < expected:
            problem = f"nonce too low: next nonce {expected}, tx nonce {transaction.nonce}"
        elif transaction.gas > GAS_LIMIT:
            problem = "exceeds block gas limit"
        elif transaction.gas < least_gas:
            problem = f"intrinsic gas too low: gas {transaction.gas}, minimum needed {least_gas}"
        elif transaction.max_fee_per_gas < transaction.max_priority_fee_per_gas:
            problem = "max priority fee per gas higher than max fee per gas"
        elif transaction.max_fee_per_gas < self.next_base_fee:
            problem = f"max fee per gas less than block base fee: baseFee: {self.next_base_fee}"
        elif balance < cost:
            problem = f"insufficient funds for gas * price + value: balance {balance}, tx cost {cost}"
        if problem:
            raise RpcError(SERVER_ERROR, problem)

    def _mine(self, transaction: SignedTransactionAPI) -> None:
        try:
            with _timed(MINING_SECONDS), self.store.transaction():
                self._chain.header = self._next_header()
                _, receipt, computation = self._chain.apply_transaction(transaction)
                block = self._chain.mine_block(coinbase=NOBODY)
                created = None if transaction.to else computation.msg.storage_address
                self.store.add_block(form.block_document(block))
                self.store.add_transaction(
                    form.transaction_document(transaction, block.header),
                    form.receipt_document(transaction, receipt, block.header, created),
                )
        except BaseException as error:
            self._chain = self._open()  # its head is the last whole block again
            if isinstance(error, ValidationError):
                raise RpcError(SERVER_ERROR, str(error)) from error
            raise

    def _next_header(self) -> BlockHeaderAPI:
        parent = self.head
        return self._chain.create_header_from_parent(
            parent, timestamp=max(int(self._clock()), parent.timestamp), mix_hash=keccak(parent.hash)
        )


@contextmanager
def _timed(seconds: float) -> Iterator[None]:
    try:
        with at_most(seconds):
            yield
    except Overrun as error:
        raise RpcError(SERVER_ERROR, f"execution aborted (timeout = {seconds:g}s)") from error
    except RecursionError as error:  # some Pythons' stacks end before the EVM's 1,024 calls
        raise RpcError(SERVER_ERROR, "execution aborted (too many nested calls)") from error


def _floor_gas(data: bytes) -> int:
    """The least that a transaction with this data pays (EIP-7623)."""
    zeros = data.count(0)
    return 21_000 + GAS_PER_TOKEN_FLOOR * (zeros + 4 * (len(data) - zeros))


def _raise_if_failed(computation: ComputationAPI) -> None:
    if not computation.is_error:
        return
    error: VMError = computation.error
    if not isinstance(error, Revert):
        raise RpcError(SERVER_ERROR, str(error) or type(error).__name__)
    output = computation.output
    reason = _reason(output)
    message = f"execution reverted: {reason}" if reason else "execution reverted"
    raise RpcError(EXECUTION_REVERTED, message, "0x" + output.hex())


def _reason(output: bytes) -> str | None:
    """The text of ``Error(string)``, Solidity's plain revert."""
    if output[:4] != b"\x08\xc3\x79\xa0":
        return None
    try:
        return cast(str, decode(["string"], output[4:])[0])
    except DecodingError:
        return None
