"""For authors of camera plugins: a fake source, and a conformance suite to run in one line of pytest.

::

    from luxxon_core.testing import SourceConformance

    class TestMyCamera(SourceConformance):
        source_type = MyCameraType()
        config = MyCameraConfig(host="192.0.2.7")
"""

from luxxon_core.testing.conformance import SourceConformance
from luxxon_core.testing.fake import FakeConfig, FakeSource, FakeSourceType

__all__ = ["FakeConfig", "FakeSource", "FakeSourceType", "SourceConformance"]
