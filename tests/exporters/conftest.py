"""Which fixtures of the server do exporters use?"""

from tests.server.conftest import live, orch

__all__ = ["live", "orch"]
