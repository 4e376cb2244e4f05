"""Wallets, sign-in, API keys, scopes and members."""
