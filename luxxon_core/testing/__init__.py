"""For authors of plugins: fake cameras, a conformance suite to run in one line of pytest, a fake marketplace.

::

    from luxxon_core.testing import SourceConformance

    class TestMyCamera(SourceConformance):
        source_type = MyCameraType()
        config = MyCameraConfig(host="192.0.2.7")
"""

from luxxon_core.testing.conformance import SourceConformance
from luxxon_core.testing.fake import (
    FakeCamera,
    FakeCommand,
    FakeConfig,
    FakeSource,
    FakeSourceType,
    FakeVehicle,
)
from luxxon_core.testing.marketplace import FakeCall, FakeEvent, FakeMarketplace

__all__ = [
    "FakeCall",
    "FakeCamera",
    "FakeCommand",
    "FakeConfig",
    "FakeEvent",
    "FakeMarketplace",
    "FakeSource",
    "FakeSourceType",
    "FakeVehicle",
    "SourceConformance",
]
