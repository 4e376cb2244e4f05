"""Samples, geofence and the disconnect windows that the meter subtracts."""
