"""Which servers do the live tests talk to? The one of the queue tests."""

from __future__ import annotations

from tests.servers import real_server_url

__all__ = ["real_server_url"]
