"""The chains that are known by name."""

from __future__ import annotations

NAMES = {8453: "Base", 84532: "Base Sepolia", 31337: "Luxxon development chain"}

USDC = {
    8453: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    84532: "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
}
"""Circle's token on each (developers.circle.com, USDC contract addresses)."""

DEVELOPMENT = frozenset({31337, 1337})
"""Chain ids of development nodes, the only ones on which the test token deploys."""
