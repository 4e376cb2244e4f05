"""Answers as a server writes them."""

from __future__ import annotations

from typing import Any

SESSION: dict[str, Any] = {
    "id": "1c9e7a40-53d1-4b6f-9a2e-0d1f6c5b7e21",
    "consumerWorkspaceId": "w",
    "operatorWorkspaceId": None,
    "state": "REQUESTED",
    "maxDurationSeconds": 300,
    "waitTimeoutSeconds": 60,
    "ratePerSecondMicroUsdc": "1000",
    "holdMicroUsdc": "300000",
    "startedAt": None,
    "endedAt": None,
    "cleanSeconds": 0,
    "chargedMicroUsdc": "0",
    "settlementTxHash": None,
    "videoBackendRef": None,
    "createdAt": "2026-05-13T12:00:00.000Z",
    "requestedLat": 50.8,
    "requestedLng": 4.3,
    "authorized": False,
}
