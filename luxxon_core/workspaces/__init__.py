"""Tenants: what they are called, what they cover and whether they are available."""
