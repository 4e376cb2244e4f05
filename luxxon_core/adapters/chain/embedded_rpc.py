"""Ethereum JSON-RPC over the embedded chain: what wallets and scripts call, in their forms.

Source: JSON-RPC 2.0 and https://github.com/ethereum/execution-apis; errors as geth words them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog
from eth_typing import Address
from eth_utils.crypto import keccak

from luxxon_core.adapters.chain import embedded_json as form
from luxxon_core.adapters.chain.embedded_evm import CHAIN_ID, NOBODY, SIMULATED_GAS, TIP, Call, Evm, RpcError

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL = (
    -32700,
    -32600,
    -32601,
    -32602,
    -32603,
)
NEWEST = ("latest", "pending", "safe", "finalized")
MAX_FEE_HISTORY = 1024
MAX_PERCENTILES = 100
MAX_LIST = 1000
"""Entries of an access list, or alternatives in a filter."""

MAX_BLOCK = 2**63 - 1

Method = Callable[..., Any]

_log = structlog.get_logger(__name__)
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


def failure(request_id: Any, error: RpcError) -> dict[str, Any]:
    """An error answer of JSON-RPC 2.0."""
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return {"jsonrpc": "2.0", "id": request_id, "error": body}


def quantity(value: Any) -> int:
    """A number out of a parameter; plain integers are let pass, as most nodes do."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**256:
        return value
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return int(value, 16)
    raise RpcError(INVALID_PARAMS, f"not a quantity: {value!r:.80}")


def data(value: Any, length: int | None = None) -> bytes:
    """Bytes out of a parameter, of ``length`` when one is given."""
    if isinstance(value, str) and _DATA.fullmatch(value):
        decoded = bytes.fromhex(value[2:])
        if length is None or len(decoded) == length:
            return decoded
    raise RpcError(INVALID_PARAMS, f"not {'data' if length is None else f'{length} bytes'}: {value!r:.80}")


def address(value: Any) -> Address:
    return Address(data(value, 20))


def _list(value: Any, at_most: int = MAX_LIST) -> list[Any]:
    if isinstance(value, list) and len(value) <= at_most:
        return value
    raise RpcError(INVALID_PARAMS, f"not an array of at most {at_most}")


def _access(entry: Any) -> tuple[bytes, tuple[int, ...]]:
    """An entry of an access list (EIP-2930)."""
    if not isinstance(entry, dict):
        raise RpcError(INVALID_PARAMS, "not an access list entry")
    return address(entry.get("address")), tuple(quantity(key) for key in _list(entry.get("storageKeys", [])))


class Rpc:
    """Answers single requests; for the chain's thread.

    Args:
        evm: the chain.
        extra: further methods by name, taking the request's parameters.
    """

    def __init__(self, evm: Evm, extra: Mapping[str, Method]) -> None:
        self._evm = evm
        self._methods: dict[str, Method] = {
            "web3_clientVersion": self.client_version,
            "web3_sha3": self.sha3,
            "net_version": self.net_version,
            "net_listening": self.listening,
            "eth_chainId": self.chain_id,
            "eth_syncing": self.syncing,
            "eth_accounts": self.accounts,
            "eth_blockNumber": self.block_number,
            "eth_gasPrice": self.gas_price,
            "eth_maxPriorityFeePerGas": self.max_priority_fee_per_gas,
            "eth_feeHistory": self.fee_history,
            "eth_getBalance": self.get_balance,
            "eth_getTransactionCount": self.get_transaction_count,
            "eth_getCode": self.get_code,
            "eth_getStorageAt": self.get_storage_at,
            "eth_call": self.call,
            "eth_estimateGas": self.estimate_gas,
            "eth_sendRawTransaction": self.send_raw_transaction,
            "eth_getBlockByNumber": self.get_block_by_number,
            "eth_getBlockByHash": self.get_block_by_hash,
            "eth_getTransactionByHash": self.get_transaction_by_hash,
            "eth_getTransactionByBlockNumberAndIndex": self.get_transaction_in_block,
            "eth_getTransactionByBlockHashAndIndex": self.get_transaction_in_hashed_block,
            "eth_getTransactionReceipt": self.get_transaction_receipt,
            "eth_getLogs": self.get_logs,
            **extra,
        }

    def answer(self, request: Any) -> dict[str, Any] | None:
        """The response to one decoded request; None to a notification."""
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return failure(None, RpcError(INVALID_REQUEST, "invalid request"))
        request_id = request.get("id")
        if isinstance(request_id, dict | list):
            return failure(None, RpcError(INVALID_REQUEST, "invalid request"))
        try:
            result = self._run(request["method"], request.get("params", []))
        except RpcError as error:
            response = failure(request_id, error)
        except Exception:  # noqa: BLE001 - reported to log and caller; one bad request must not end the rest
            _log.exception("chain.rpc_failed", method=request["method"])
            response = failure(request_id, RpcError(INTERNAL, "internal error"))
        else:
            response = {"jsonrpc": "2.0", "id": request_id, "result": result}
        return response if "id" in request else None

    def _run(self, name: str, params: Any) -> Any:
        method = self._methods.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, f"the method {name:.80} does not exist/is not available")
        if not isinstance(params, list):
            raise RpcError(INVALID_PARAMS, "params must be an array")
        try:
            return method(*params)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                raise  # from inside the method
            raise RpcError(INVALID_PARAMS, "wrong number of params") from error

    # ---------------------------------------------------------------- the chain

    def client_version(self) -> str:
        try:
            return f"Luxxon/{version('luxxon')}/py-evm {version('py-evm')}"
        except PackageNotFoundError:
            return "Luxxon/py-evm"

    def sha3(self, value: Any) -> str:
        return form.data(keccak(data(value)))

    def net_version(self) -> str:
        return str(CHAIN_ID)

    def listening(self) -> bool:
        return True

    def chain_id(self) -> str:
        return form.quantity(CHAIN_ID)

    def syncing(self) -> bool:
        return False

    def accounts(self) -> list[str]:
        return []  # keys stay in wallets

    def block_number(self) -> str:
        return form.quantity(self._evm.head.block_number)

    # ---------------------------------------------------------------- fees

    def gas_price(self) -> str:
        return form.quantity(self._evm.next_base_fee + TIP)

    def max_priority_fee_per_gas(self) -> str:
        return form.quantity(TIP)

    def fee_history(self, count: Any, newest: Any, percentiles: Any = None) -> dict[str, Any]:
        columns = 0 if percentiles is None else len(_list(percentiles, MAX_PERCENTILES))
        last = self._number(newest)
        last = self._evm.head.block_number if last is None else last
        first = max(0, last + 1 - min(quantity(count), MAX_FEE_HISTORY))
        blocks = [self._existing_block(number) for number in range(first, last + 1)]
        following = self._evm.store.block(last + 1)
        next_fee = following["baseFeePerGas"] if following else form.quantity(self._evm.next_base_fee)
        history: dict[str, Any] = {
            "oldestBlock": form.quantity(first),
            "baseFeePerGas": [block["baseFeePerGas"] for block in blocks] + [next_fee],
            "gasUsedRatio": [int(block["gasUsed"], 16) / int(block["gasLimit"], 16) for block in blocks],
        }
        if columns:
            history["reward"] = [[self._tip(block)] * columns for block in blocks]
        return history

    def _tip(self, block: dict[str, Any]) -> str:
        """What the block's only transaction paid above the base fee; every percentile of one is that one."""
        if not block["transactions"]:
            return "0x0"
        receipt = self._evm.store.receipt(data(block["transactions"][0]))
        paid = int(receipt["effectiveGasPrice"], 16) if receipt else 0
        return form.quantity(max(0, paid - int(block["baseFeePerGas"], 16)))

    # ---------------------------------------------------------------- accounts

    def get_balance(self, account: Any, block: Any = "latest") -> str:
        return form.quantity(self._evm.state(self._number(block)).get_balance(address(account)))

    def get_transaction_count(self, account: Any, block: Any = "latest") -> str:
        return form.quantity(self._evm.state(self._number(block)).get_nonce(address(account)))

    def get_code(self, account: Any, block: Any = "latest") -> str:
        return form.data(self._evm.state(self._number(block)).get_code(address(account)))

    def get_storage_at(self, account: Any, slot: Any, block: Any = "latest") -> str:
        return form.word(self._evm.state(self._number(block)).get_storage(address(account), quantity(slot)))

    # ---------------------------------------------------------------- execution

    def call(self, call: Any, block: Any = "latest") -> str:
        return form.data(self._evm.call(self._call(call), self._number(block)))

    def estimate_gas(self, call: Any, block: Any = "latest") -> str:
        return form.quantity(self._evm.estimate(self._call(call), self._number(block)))

    def send_raw_transaction(self, raw: Any) -> str:
        return form.data(self._evm.submit(self._evm.decode(data(raw))))

    def _call(self, fields: Any) -> Call:
        if not isinstance(fields, dict):
            raise RpcError(INVALID_PARAMS, "not a call object")
        given = {name: value for name, value in fields.items() if value is not None}
        return Call(
            sender=address(given["from"]) if "from" in given else NOBODY,
            to=address(given["to"]) if "to" in given else b"",
            value=quantity(given.get("value", 0)),
            data=data(given.get("input", given.get("data", "0x"))),
            gas=min(quantity(given.get("gas", SIMULATED_GAS)), SIMULATED_GAS),
            access_list=tuple(_access(entry) for entry in _list(given.get("accessList", []))),
        )

    # ---------------------------------------------------------------- blocks, transactions, logs

    def get_block_by_number(self, block: Any, full: bool = False) -> dict[str, Any] | None:
        number = self._number(block)
        return self._block(self._evm.head.block_number if number is None else number, full)

    def get_block_by_hash(self, block_hash: Any, full: bool = False) -> dict[str, Any] | None:
        number = self._evm.store.block_number(data(block_hash, 32))
        return None if number is None else self._block(number, full)

    def get_transaction_by_hash(self, tx_hash: Any) -> dict[str, Any] | None:
        wanted = data(tx_hash, 32)
        waiting = self._evm.queued(wanted)
        return (
            form.transaction_document(waiting, None)
            if waiting
            else self._evm.store.transaction_document(wanted)
        )

    def get_transaction_in_block(self, block: Any, index: Any) -> dict[str, Any] | None:
        return _nth(self.get_block_by_number(block, True), quantity(index))

    def get_transaction_in_hashed_block(self, block_hash: Any, index: Any) -> dict[str, Any] | None:
        return _nth(self.get_block_by_hash(block_hash, True), quantity(index))

    def get_transaction_receipt(self, tx_hash: Any) -> dict[str, Any] | None:
        return self._evm.store.receipt(data(tx_hash, 32))

    def get_logs(self, query: Any) -> list[dict[str, Any]]:
        if not isinstance(query, dict):
            raise RpcError(INVALID_PARAMS, "not a filter object")
        head: int = self._evm.head.block_number
        if query.get("blockHash") is not None:
            found = self._evm.store.block_number(data(query["blockHash"], 32))
            if found is None:
                raise RpcError(-32000, "unknown block")
            first = last = found
        else:
            bounds = [self._number(query.get(name) or "latest") for name in ("fromBlock", "toBlock")]
            first, last = (head if bound is None else bound for bound in bounds)
        return self._evm.store.logs(
            first,
            last,
            _choice(query.get("address"), 20) or (),
            [_choice(topic, 32) for topic in _list(query.get("topics") or [], 4)],
        )

    def _block(self, number: int, full: bool) -> dict[str, Any] | None:
        block = self._evm.store.block(number)
        if block is not None and full:
            hashes = [data(tx_hash) for tx_hash in block["transactions"]]
            block["transactions"] = [self._evm.store.transaction_document(tx_hash) for tx_hash in hashes]
        return block

    def _existing_block(self, number: int) -> dict[str, Any]:
        block = self._evm.store.block(number)
        if block is None:
            raise RpcError(-32000, "header not found")
        return block

    def _number(self, block: Any) -> int | None:
        """A block parameter (tag, number, or EIP-1898 object) as a number; None is the newest."""
        if block is None or block in NEWEST:
            return None
        if block == "earliest":
            return 0
        if isinstance(block, dict):
            if "blockHash" not in block:
                return _block_number(block.get("blockNumber"))
            number = self._evm.store.block_number(data(block["blockHash"], 32))
            if number is None:
                raise RpcError(-32000, "header not found")
            return number
        return _block_number(block)


def _block_number(value: Any) -> int:
    number = quantity(value)
    if number > MAX_BLOCK:
        raise RpcError(INVALID_PARAMS, "block number larger than int64")
    return number


def _nth(block: dict[str, Any] | None, index: int) -> dict[str, Any] | None:
    transactions = block["transactions"] if block else []
    return transactions[index] if index < len(transactions) else None


def _choice(value: Any, length: int) -> list[bytes] | None:
    """A filter's one value or list of alternatives; None admits everything."""
    if value is None:
        return None
    return [data(entry, length) for entry in (_list(value) if isinstance(value, list) else [value])]
