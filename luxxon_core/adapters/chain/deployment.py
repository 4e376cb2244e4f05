"""Puts the settlement contract on a chain, compares one with ours, and does what its owner may do."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.adapters.chain.networks import DEVELOPMENT, USDC
from luxxon_core.adapters.chain.reverts import refusal
from luxxon_core.adapters.chain.rpc import NodeError, RpcChain, checksum, quantity
from luxxon_core.adapters.chain.signer import DynamicFeeTransaction, Signer
from luxxon_core.kernel.errors import ExternalError, StartError

RECEIPT_S, POLL_S = 180.0, 0.25
_ROOM = 6, 5
_IMMUTABLE = re.compile(rb"\x7f\x00{32}")
"""Solidity's place for an immutable in code that is not deployed yet: PUSH32 of nothing."""


@dataclass(frozen=True, slots=True)
class Creation:
    """One transaction of a plan.

    Attributes:
        address: where the contract comes to be (from deployer and nonce).
        arguments: of the constructor, by name.
        gas: at most; None where it can be told only once the ones before are mined.
    """

    contract: str
    nonce: int
    address: str
    arguments: Mapping[str, str]
    code: bytes = field(repr=False)
    gas: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deployment would do; amounts in wei."""

    chain_id: int
    deployer: str
    balance: int
    max_fee: int
    creations: tuple[Creation, ...]

    @property
    def settlement(self) -> Creation:
        return self.creations[-1]

    @property
    def cost(self) -> int:
        """At most, as far as gas is known."""
        return self.max_fee * sum(one.gas or 0 for one in self.creations)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a deployed contract says of itself; the balance in µUSDC."""

    chain_id: int
    address: str
    owner: str
    pending_owner: str | None
    relayer: str
    platform_wallet: str
    usdc: str
    paused: bool
    balance_uusdc: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """``difference`` is None where the code on the chain is ours."""

    address: str
    size: int
    immutables: tuple[str, ...]
    difference: str | None


class Node(Protocol):
    """What is asked of a node here."""

    async def request(self, method: str, *params: object) -> Any: ...
    async def code(self, address: str) -> bytes: ...


def connected(rpc_urls: str | Sequence[str]) -> RpcChain:
    """A chain of which nothing is known yet; close it in the end."""
    return RpcChain(rpc_urls, _NOWHERE, _NOWHERE, chain_id=0)


_NOWHERE = "0x" + "00" * 20


async def chain_id(node: Node) -> int:
    """What the chain calls itself.

    Raises:
        ExternalError: the node does not answer.
    """
    return quantity(await node.request("eth_chainId"), bits=256)


# ------------------------------------------------------------------ deploy


async def plan(
    node: Node, deployer: str, *, usdc: str | None, platform_wallet: str, relayer: str, owner: str
) -> Plan:
    """Look at the chain and say what :func:`deploy` would do.

    Without ``usdc`` it is Circle's, and on a development chain a test token that is deployed first.

    Raises:
        StartError: no token is known there, or the contract refuses the arguments.
        ExternalError: the node does not answer.
    """
    found = await chain_id(node)
    usdc = usdc or USDC.get(found)
    if usdc is None and found not in DEVELOPMENT:
        raise StartError(message=f"no USDC is known on chain {found}: name the token's address with --usdc")
    balance, nonce, (max_fee, _) = await asyncio.gather(
        node.request("eth_getBalance", deployer, "latest"),
        node.request("eth_getTransactionCount", deployer, "pending"),
        _fees(node),
    )
    first = quantity(nonce)
    creations: list[Creation] = []
    if usdc is None:
        token = artifact("TestUSDC").bytecode
        gas = await _gas(node, deployer, None, token)
        usdc = created(deployer, first)
        creations.append(Creation("TestUSDC", first, usdc, {}, token, gas))
    else:
        await _check_token(node, usdc)
    roles = {"usdc": usdc, "platformWallet": platform_wallet, "relayer": relayer, "owner": owner}
    arguments = {name: checksum(address) for name, address in roles.items()}
    code = artifact("LuxxonSettlement").bytecode + b"".join(_word(one) for one in arguments.values())
    last = first + len(creations)
    known = None if creations else await _gas(node, deployer, None, code)
    creations.append(Creation("LuxxonSettlement", last, created(deployer, last), arguments, code, known))
    return Plan(found, deployer, quantity(balance, bits=256), max_fee, tuple(creations))


async def deploy(node: Node, signer: Signer, planned: Plan, told: Callable[[str], None]) -> str:
    """Carry a plan out; the settlement contract's address.

    Args:
        told: is given a line for each step.

    Raises:
        StartError: somebody has used the deployer's nonce since, or it cannot pay.
        ExternalError: the node does not answer, or a transaction failed.
    """
    for one in planned.creations:
        gas = one.gas or await _gas(node, signer.address, None, one.code)
        tx_hash = await _send(node, signer, planned.chain_id, b"", one.code, gas=gas, nonce=one.nonce)
        told(f"{one.contract}: transaction {tx_hash}")
        receipt = await _mined(node, tx_hash)
        if not await node.code(one.address):
            raise ExternalError("chain:deploy", f"{tx_hash} is mined and left no code at {one.address}")
        told(f"{one.contract}: {one.address}, {quantity(receipt['gasUsed'])} gas")
    return planned.settlement.address


def created(deployer: str, nonce: int) -> str:
    """Where a contract comes to be (Yellow Paper §7): the hash of deployer and nonce."""
    import rlp
    from eth_utils.crypto import keccak

    return checksum("0x" + keccak(rlp.encode([bytes.fromhex(deployer[2:]), nonce]))[12:].hex())


async def _check_token(node: Node, usdc: str) -> None:
    try:
        decimals = int.from_bytes(await _view(node, checksum(usdc), "decimals()"), "big")
    except NodeError:
        decimals = -1
    if decimals != 6:
        raise StartError(message=f"there is no token with 6 decimals at {usdc}: is it another chain's?")


# ------------------------------------------------------------------ look


async def compare(node: Node, address: str) -> Comparison:
    """The code at ``address`` against ours. Immutables are zeros in ours and must all be the token's address.

    Raises:
        ExternalError: the node does not answer.
    """
    ours, theirs = artifact("LuxxonSettlement").deployed, await node.code(address)
    if not theirs:
        return Comparison(address, 0, (), "there is no code at this address")
    places = [match.start() + 1 for match in _IMMUTABLE.finditer(ours)]
    masked = bytearray(theirs)
    for place in places:
        masked[place : place + 32] = bytes(32)
    if len(theirs) != len(ours):
        return Comparison(address, len(theirs), (), f"{len(theirs)} bytes of code, ours are {len(ours)}")
    if masked != ours:
        at = next(i for i, (a, b) in enumerate(zip(masked, ours, strict=True)) if a != b)
        return Comparison(address, len(theirs), (), f"the code differs, first at byte {at}")
    words = {theirs[place : place + 32] for place in places}
    immutables = tuple(sorted("0x" + word.hex() for word in words))
    if words != {await _view(node, address, "usdc()")}:
        return Comparison(address, len(theirs), immutables, "its immutables are not the token's address")
    return Comparison(address, len(theirs), tuple(checksum("0x" + word[-20:].hex()) for word in words), None)


async def facts(node: Node, address: str) -> Facts:
    """Read a settlement contract's public state.

    Raises:
        StartError: there is none at this address.
        ExternalError: the node does not answer.
    """
    roles = ("owner()", "pendingOwner()", "relayer()", "platformWallet()", "usdc()", "paused()")
    try:
        answers = await asyncio.gather(*(_view(node, address, role) for role in roles))
        held = await _view(node, _address(answers[4]), "balanceOf(address)", _word(address))
    except NodeError as error:
        if not error.reverted:
            raise
        answers = []
    if not answers or any(len(one) != 32 for one in answers):
        raise StartError(message=f"there is no settlement contract at {address} on this chain")
    owner, pending, relayer, platform, usdc = (_address(one) for one in answers[:5])
    return Facts(
        chain_id=await chain_id(node),
        address=checksum(address),
        owner=owner,
        pending_owner=None if pending == _NOWHERE else pending,
        relayer=relayer,
        platform_wallet=platform,
        usdc=usdc,
        paused=any(answers[5]),
        balance_uusdc=int.from_bytes(held, "big"),
    )


# ------------------------------------------------------------------ act


async def set_paused(node: Node, signer: Signer, address: str, paused: bool) -> str | None:
    """Stop or resume deposits and settlements; the transaction's hash, None where it is so already.

    Raises:
        StartError: the signer is not the contract's owner, or cannot pay.
        ExternalError: the node does not answer, or the transaction failed.
    """
    found = await facts(node, address)
    if found.paused is paused:
        return None
    if found.owner != signer.address:
        raise StartError(message=f"only the owner, {found.owner}, can do that; this key is {signer.address}")
    call = _selector("pause()" if paused else "unpause()")
    gas = await _gas(node, signer.address, address, call)
    tx_hash = await _send(node, signer, found.chain_id, bytes.fromhex(address[2:]), call, gas=gas)
    await _mined(node, tx_hash)
    return tx_hash


async def _send(
    node: Node, signer: Signer, chain: int, to: bytes, data: bytes, *, gas: int, nonce: int | None = None
) -> str:
    current = quantity(await node.request("eth_getTransactionCount", signer.address, "pending"))
    if nonce not in (None, current):
        raise StartError(
            message=f"{signer.address} has sent something else since: its next nonce is {current}"
        )
    max_fee, tip = await _fees(node)
    transaction = DynamicFeeTransaction(chain, current, tip, max_fee, gas, to, data)
    raw = transaction.signed(await signer.sign_digest(transaction.digest()))
    try:
        return str(await node.request("eth_sendRawTransaction", "0x" + raw.hex()))
    except NodeError as error:
        if "insufficient funds" in error.said:
            raise StartError(message=f"{signer.address} has too little ETH for the gas") from None
        raise


async def _mined(node: Node, tx_hash: str) -> Mapping[str, Any]:
    deadline = time.monotonic() + RECEIPT_S
    while True:
        try:
            receipt = await node.request("eth_getTransactionReceipt", tx_hash)
        except ExternalError:
            receipt = None  # it is out: that a node does not tell of it now says nothing about it
        if isinstance(receipt, dict):
            break
        if time.monotonic() > deadline:
            raise ExternalError("chain:receipt", f"{tx_hash} is sent and not mined yet: look for it later")
        await asyncio.sleep(POLL_S)
    if receipt.get("status") != "0x1":
        raise ExternalError("chain:reverted", f"{tx_hash} reverted")
    return receipt


async def _gas(node: Node, sender: str, to: str | None, data: bytes) -> int:
    """What a transaction takes, with room.

    Raises:
        StartError: it would revert.
    """
    call = {"from": sender, "data": "0x" + data.hex(), **({} if to is None else {"to": to})}
    more, per = _ROOM
    try:
        return quantity(await node.request("eth_estimateGas", call)) * more // per
    except NodeError as error:
        if error.reverted:
            raise StartError(message=refusal(error.data, error.said).message) from None
        raise


async def _fees(node: Node) -> tuple[int, int]:
    """Most that is offered for a gas, and the tip in it (EIP-1559), in wei."""
    tip, block = await asyncio.gather(
        node.request("eth_maxPriorityFeePerGas"), node.request("eth_getBlockByNumber", "latest", False)
    )
    base = block.get("baseFeePerGas") if isinstance(block, dict) else None
    priority = quantity(tip)
    return 2 * quantity(base) + priority, priority


async def _view(node: Node, address: str, function: str, arguments: bytes = b"") -> bytes:
    data = "0x" + (_selector(function) + arguments).hex()
    answer = await node.request("eth_call", {"to": address, "data": data}, "latest")
    try:
        return bytes.fromhex(str(answer).removeprefix("0x"))
    except ValueError:
        raise ExternalError("chain:answer", "The chain's node answers with what is not data") from None


def _address(word: bytes) -> str:
    return checksum("0x" + word[-20:].hex()) if len(word) == 32 else _NOWHERE


def _word(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")


def _selector(function: str) -> bytes:
    from eth_utils.abi import function_signature_to_4byte_selector

    return function_signature_to_4byte_selector(function)
