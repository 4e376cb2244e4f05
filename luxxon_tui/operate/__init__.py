"""Cameras of this machine: found, looked at, moved and offered, beside the console's own event loop."""
