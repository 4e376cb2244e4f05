"""A chain that somebody else runs: what the settings say of it, checked before anything is served."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from luxxon_core.adapters.chain.rpc import NodeError, RpcChain, checksum
from luxxon_core.adapters.chain.signer import Signer
from luxxon_core.kernel.errors import ExternalError, InvalidInput, StartError

_log = structlog.get_logger(__name__)


async def open_chain(
    rpc_url: str | Sequence[str],
    settlement_address: str,
    *,
    usdc_address: str | None = None,
    chain_id: int | None = None,
    signer: Signer | None = None,
) -> RpcChain:
    """The chain behind ``rpc_url``, found to be the one that is meant. What is not given is read from it.

    A relayer that the contract does not take is a warning: everything but payments works.

    Raises:
        StartError: one line that names the setting at fault, never the URL, which may hold a key.
    """
    probe = RpcChain(rpc_url, _address("settlement_address", settlement_address), _NOWHERE, chain_id=0)
    try:
        found_id = await _chain_id(probe)
        if chain_id is not None and found_id != chain_id:
            raise StartError(message=f"setting chain_id: the chain at rpc_url is {found_id}, not {chain_id}")
        if not await probe.code(settlement_address):
            raise StartError(message=f"setting settlement_address: no contract there on chain {found_id}")
        usdc = await _role(probe, "usdc()")
        if usdc_address is not None and _address("usdc_address", usdc_address) != usdc:
            raise StartError(message=f"setting usdc_address: the contract's token is {usdc}")
        relayer = await _role(probe, "relayer()")
    except ExternalError as error:
        raise StartError(message=f"setting rpc_url: {error.message}") from None
    finally:
        await probe.close()
    if signer is not None and signer.address != relayer:
        _log.warning("not the contract's relayer", relayer=relayer, ours=signer.address)
    return RpcChain(rpc_url, settlement_address, usdc, signer, chain_id=found_id)


_NOWHERE = "0x" + "00" * 20


async def _chain_id(chain: RpcChain) -> int:
    answer = await chain.request("eth_chainId")
    try:
        return int(answer, 16)
    except (TypeError, ValueError):
        raise ExternalError("chain:answer", "What answers there is no Ethereum node") from None


async def _role(chain: RpcChain, function: str) -> str:
    """An address that the settlement contract tells.

    Raises:
        StartError: the contract has no such function.
    """
    from eth_utils.abi import function_signature_to_4byte_selector

    call = function_signature_to_4byte_selector(function)
    try:
        answer = await chain.call(chain.settlement_address, call, sender=_NOWHERE, gas=100_000)
    except NodeError as error:
        if not error.reverted:
            raise
        answer = b""
    if len(answer) != 32 or any(answer[:12]):
        raise StartError(
            message=f"setting settlement_address: the contract there has no {function}: another one?"
        )
    return checksum("0x" + answer[12:].hex())


def _address(setting: str, given: str) -> str:
    try:
        return checksum(given)
    except InvalidInput:
        raise StartError(message=f"setting {setting}: not an address") from None
