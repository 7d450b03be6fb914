"""What do the live tests share? The server of the queue tests, and a measure of the machine."""

from __future__ import annotations

from tests.support.servers import real_server_url
from tests.support.standstill import sleeper

__all__ = ["real_server_url", "sleeper"]
