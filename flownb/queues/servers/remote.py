"""How is a real Redis or Valkey reached? By its options, from any process."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from flownb.address import client_options
from flownb.errors import QueueError
from flownb.queues.notify import Notifiers
from flownb.queues.redis.refusals import clear_errors
from flownb.queues.servers.link import BaseLink
from flownb.queues.servers.wire import NodeWires

if TYPE_CHECKING:
    from flownb.queues.servers.link import Link


# The longest a read waits at a real server: how late it may notice that nobody wants it.
_SLICE = 0.5


# How often a push looks for room at a real server, which notifies nobody of it.
_ROOM_POLL = 0.05
_DRAIN_POLL = 0.2
_CHECK_TIMEOUT = 2.0


class RemoteServer:
    """A real Redis or Valkey; picklable, so that a child process can open it too."""

    outlives = True

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    def connect(self) -> Link:
        """A link for the running event loop; connects when it is first used."""
        return _RemoteLink(self._options, self.describe(), self._slice())

    def _slice(self) -> float:
        """Well under the client's own timeout, which would break the connection."""
        limit = self._options.get("socket_timeout")
        return _SLICE if limit is None else min(_SLICE, limit / 2)

    def describe(self) -> str:
        """The address, never the password."""
        if "path" in self._options:
            return f"unix://{self._options['path']}"
        scheme = "rediss" if self._options.get("ssl") else "redis"
        host, port = self._options.get("host", "localhost"), self._options.get("port", 6379)
        database = self._options.get("db") or 0
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{port}" + (f"/{database}" if database else "")

    def check(self, subject: str) -> None:
        """Ask whether it is there; raises QueueUnavailable. Blocks for two seconds at most."""
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        limits = {"socket_timeout": _CHECK_TIMEOUT, "socket_connect_timeout": _CHECK_TIMEOUT}
        options = {**client_options(self._options), **limits}
        try:
            with (
                clear_errors(subject, self.describe()),
                Redis(**options, retry=Retry(NoBackoff(), 0)) as client,
            ):
                client.ping()
        except QueueError as error:
            raise error from None  # what redis-py did meanwhile helps nobody

    def left(self) -> dict[str, int]:
        """None: they stay in Redis."""
        return {}

    def close(self) -> None:
        """Nothing to do: the server is not ours, and each manager closes its connections."""


class _RemoteLink(BaseLink):
    leases = True
    room_poll: float | None = _ROOM_POLL
    drain_poll: float | None = _DRAIN_POLL
    can_be_virtual = False

    def __init__(self, options: dict[str, Any], where: str, patience: float) -> None:
        client_options(options)  # nobody is to see its password
        super().__init__(partial(NodeWires, options, {}), Notifiers())
        self.where = where
        self.patience = patience
