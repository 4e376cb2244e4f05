"""What the settlement contract's custom errors mean to the relayer."""

from __future__ import annotations

from functools import cache

from luxxon_core.adapters.chain.artifacts import artifact
from luxxon_core.settlement.ports import (
    AlreadySettled,
    ContractPaused,
    InsufficientPool,
    NeverPayable,
    NotRelayer,
    SettlementRefused,
)

_MEANING: dict[str, type[SettlementRefused]] = {
    "AlreadySettled": AlreadySettled,
    "InsufficientPool": InsufficientPool,
    "EnforcedPause": ContractPaused,
    "NotRelayer": NotRelayer,
    "ExceedsCharge": NeverPayable,
    "InvalidAddress": NeverPayable,
    "ZeroAmount": NeverPayable,
}


@cache
def _names() -> dict[str, str]:
    """The contract's errors by selector, as hexadecimal."""
    from eth_utils.abi import function_signature_to_4byte_selector

    names = {}
    for entry in artifact("LuxxonSettlement").abi:
        if entry["type"] == "error":
            signature = f"{entry['name']}({','.join(field['type'] for field in entry['inputs'])})"
            names[function_signature_to_4byte_selector(signature).hex()] = entry["name"]
    return names


def refusal(data: object, message: str | None) -> SettlementRefused:
    """The error behind revert data as JSON-RPC carries it; ``message`` is what the node said."""
    selector = data[2:10].lower() if isinstance(data, str) else ""
    name = _names().get(selector)
    if name in _MEANING:
        meaning = _MEANING[name]
        reason = f"The settlement contract reverts: {name}" if meaning is NeverPayable else None
        return meaning("settlement:refused", reason)
    return SettlementRefused("settlement:refused", f"The settlement contract reverts: {name or message}")
