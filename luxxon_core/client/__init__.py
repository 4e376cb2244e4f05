"""The Python SDK: what the console, the operator agent and scripts call.

async with Luxxon("http://127.0.0.1:3010/api/v1", api_key="lxxn_test_…") as api:
    session = await api.sessions.create(lat=50.846, lng=4.352, max_duration_seconds=60)
"""

from luxxon_core.client.api import Luxxon
from luxxon_core.client.transport import ApiError, ConnectionFailed, InvalidResponse

__all__ = ["ApiError", "ConnectionFailed", "InvalidResponse", "Luxxon"]
