"""Luxxon: a marketplace for live video of real places, paid per second in USDC."""

__version__ = "0.1.0"
