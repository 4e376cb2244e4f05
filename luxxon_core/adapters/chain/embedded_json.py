"""Blocks, transactions and receipts of the embedded chain in the JSON form of the Ethereum execution APIs.

Source: https://github.com/ethereum/execution-apis (schemas Block, TransactionInfo, ReceiptInfo, Log).
"""

from __future__ import annotations

from typing import Any

import rlp
from eth.abc import BlockAPI, BlockHeaderAPI, LogAPI, ReceiptAPI, SignedTransactionAPI
from eth.vm.forks.berlin.transactions import TypedTransaction
from eth_utils.address import to_checksum_address

Document = dict[str, Any]

DYNAMIC_FEE = 2


def quantity(value: int) -> str:
    """A number: hexadecimal without leading zeros."""
    return hex(value)


def data(value: bytes) -> str:
    """Bytes: two digits each."""
    return "0x" + value.hex()


def word(value: int) -> str:
    """A number as 32 bytes."""
    return f"0x{value:064x}"


def transaction_type(transaction: SignedTransactionAPI) -> int:
    """The EIP-2718 type; 0 for legacy."""
    return transaction.type_id or 0 if isinstance(transaction, TypedTransaction) else 0


def effective_gas_price(transaction: SignedTransactionAPI, base_fee: int) -> int:
    """What a unit of gas costs the sender (EIP-1559); legacy transactions carry one price as both fees."""
    return min(transaction.max_fee_per_gas, base_fee + transaction.max_priority_fee_per_gas)


def transaction_document(transaction: SignedTransactionAPI, header: BlockHeaderAPI | None) -> Document:
    """A transaction in the block of ``header``, its only one; None while it waits."""
    kind = transaction_type(transaction)
    y_parity = transaction.y_parity
    document: Document = {
        "type": quantity(kind),
        "hash": data(transaction.hash),
        "nonce": quantity(transaction.nonce),
        "blockHash": data(header.hash) if header else None,
        "blockNumber": quantity(header.block_number) if header else None,
        "transactionIndex": "0x0" if header else None,
        "from": to_checksum_address(transaction.sender),
        "to": to_checksum_address(transaction.to) if transaction.to else None,
        "value": quantity(transaction.value),
        "gas": quantity(transaction.gas),
        "gasPrice": quantity(
            effective_gas_price(transaction, header.base_fee_per_gas or 0)
            if header
            else transaction.max_fee_per_gas
        ),
        "input": data(transaction.data),
        "r": quantity(transaction.r),
        "s": quantity(transaction.s),
    }
    if kind == 0:
        v = transaction.v  # type: ignore[attr-defined]
        document["v"] = quantity(v)
        if v >= 35:  # EIP-155
            document["chainId"] = quantity((v - 35) // 2)
        return document
    document |= {
        "v": quantity(y_parity),
        "yParity": quantity(y_parity),
        "chainId": quantity(transaction.chain_id or 0),
        "accessList": [
            {"address": to_checksum_address(account), "storageKeys": [word(key) for key in keys]}
            for account, keys in transaction.access_list
        ],
    }
    if kind == DYNAMIC_FEE:
        document["maxFeePerGas"] = quantity(transaction.max_fee_per_gas)
        document["maxPriorityFeePerGas"] = quantity(transaction.max_priority_fee_per_gas)
    return document


def receipt_document(
    transaction: SignedTransactionAPI, receipt: ReceiptAPI, header: BlockHeaderAPI, contract: bytes | None
) -> Document:
    """The receipt of the only transaction in the block of ``header``; ``contract`` is what it created."""
    place = {
        "blockHash": data(header.hash),
        "blockNumber": quantity(header.block_number),
        "blockTimestamp": quantity(header.timestamp),
        "transactionHash": data(transaction.hash),
        "transactionIndex": "0x0",
    }
    return {
        "type": quantity(transaction_type(transaction)),
        "status": quantity(int.from_bytes(receipt.state_root, "big")),
        "transactionHash": place["transactionHash"],
        "transactionIndex": "0x0",
        "blockHash": place["blockHash"],
        "blockNumber": place["blockNumber"],
        "from": to_checksum_address(transaction.sender),
        "to": to_checksum_address(transaction.to) if transaction.to else None,
        "contractAddress": to_checksum_address(contract) if contract else None,
        "gasUsed": quantity(receipt.gas_used),
        "cumulativeGasUsed": quantity(receipt.gas_used),
        "effectiveGasPrice": quantity(effective_gas_price(transaction, header.base_fee_per_gas or 0)),
        "logsBloom": f"0x{receipt.bloom:0512x}",
        "logs": [_log_document(log, index, place) for index, log in enumerate(receipt.logs)],
    }


def _log_document(log: LogAPI, index: int, place: Document) -> Document:
    return {
        **place,
        "address": to_checksum_address(log.address),
        "topics": [word(topic) for topic in log.topics],
        "data": data(log.data),
        "logIndex": quantity(index),
        "removed": False,
    }


def block_document(block: BlockAPI) -> Document:
    """A block with the hashes of its transactions."""
    header: Any = block.header
    return {
        "number": quantity(header.block_number),
        "hash": data(header.hash),
        "parentHash": data(header.parent_hash),
        "nonce": data(header.nonce),
        "sha3Uncles": data(header.uncles_hash),
        "logsBloom": f"0x{header.bloom:0512x}",
        "transactionsRoot": data(header.transaction_root),
        "stateRoot": data(header.state_root),
        "receiptsRoot": data(header.receipt_root),
        "miner": to_checksum_address(header.coinbase),
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "mixHash": data(header.mix_hash),
        "extraData": data(header.extra_data),
        "size": quantity(len(rlp.encode(block))),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "baseFeePerGas": quantity(header.base_fee_per_gas),
        "blobGasUsed": quantity(header.blob_gas_used),
        "excessBlobGas": quantity(header.excess_blob_gas),
        "parentBeaconBlockRoot": data(header.parent_beacon_block_root),
        "requestsHash": data(header.requests_hash),
        "withdrawalsRoot": data(header.withdrawals_root),
        "withdrawals": [],
        "transactions": [data(transaction.hash) for transaction in block.transactions],
        "uncles": [],
    }
