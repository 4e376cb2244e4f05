"""Who is told, making deliveries of events, and sending them."""

from luxxon_core.webhooks.usecases.courier import Courier, Limits
from luxxon_core.webhooks.usecases.fan_out import FanOut
from luxxon_core.webhooks.usecases.subscriptions import Replayed, Subscriptions

__all__ = ["Courier", "FanOut", "Limits", "Replayed", "Subscriptions"]
