"""Webhooks: what happens to sessions, sent to the workspace's own server."""
