"""Prepaid pools: what a wallet has on the chain."""
