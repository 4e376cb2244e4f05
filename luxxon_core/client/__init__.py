"""The Python SDK: what the console, the operator agent and scripts call.

async with Luxxon("http://127.0.0.1:3010/api/v1", api_key="lxxn_test_…") as api:
    view = await api.request_live_view(lat=50.846, lng=4.352, max_duration_seconds=60)
"""

from luxxon_core.client.api import Luxxon
from luxxon_core.client.errors import ApiError, ConnectionFailed, InvalidResponse, RateLimited
from luxxon_core.client.events import EventData, EventStream, StreamEvent
from luxxon_core.client.live_view import LiveOutcome, LiveViewResult
from luxxon_core.client.retrying import Retry

__all__ = [
    "ApiError",
    "ConnectionFailed",
    "EventData",
    "EventStream",
    "InvalidResponse",
    "LiveOutcome",
    "LiveViewResult",
    "Luxxon",
    "RateLimited",
    "Retry",
    "StreamEvent",
]
