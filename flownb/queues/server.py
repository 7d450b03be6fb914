"""Where does the Redis server of a graph's queues come from?

From `redis=`; else it is a fakeredis inside this process, that lives as long as the
orchestrator; for loops in other processes a real one that we start, or fakeredis over TCP.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from flownb.address import Address, client_options, options_of_client, redis_options
from flownb.errors import QueueError, QueueUnavailable
from flownb.queues.bells import Bell, BellBoard
from flownb.queues.streams import clear_errors

if TYPE_CHECKING:
    from flownb.queues.manager import QueueManager
    from flownb.queues.spec import Clock, QueueSpec
    from flownb.queues.wire import Wire

# The longest a read waits at a real server: how late it may notice that nobody wants it.
_SLICE = 0.5
# How often a push looks for room at a real server, which has no bell for that.
_ROOM_POLL = 0.05
_DRAIN_POLL = 0.2
_CHECK_TIMEOUT = 2.0
# When an answer is given up: long for a server that thinks, short for one that is gone.
_SOCKET_TIMEOUT = 5.0

# One board per fakeredis, also when somebody hands us the same one twice.
_BOARDS_LOCK = threading.Lock()
_BOARDS: WeakKeyDictionary[Any, BellBoard] = WeakKeyDictionary()


class Link(Protocol):
    """A connection of one manager: a client on its own event loop, and how to wait."""

    client: Any
    where: str
    patience: float
    """How long one read may wait at the server; 0: never there, only on a bell."""
    leases: bool
    """Whether readers may die unseen; inside one process the dead are known for certain."""
    room_poll: float | None
    """How often to look for room in a full queue; None: a bell tells."""
    drain_poll: float | None
    """How often to look whether other readers are done; None: a bell tells."""
    can_be_virtual: bool
    line: Wire | None
    """Over which pushes and acks go; None: through the client."""

    def wire(self) -> Wire | None:
        """Another connection, as for a reader; None where there is none to be had."""

    async def aclose(self) -> None:
        """Close all connections."""

    def listen(self, *names: str) -> AbstractContextManager[Bell]:
        """A bell for what is called so."""

    def ring(self, name: str) -> None:
        """Wake whoever listens."""

    @property
    def silent(self) -> float:
        """For how many seconds the server has owed us an answer."""

    @property
    def departures(self) -> int:
        """How often somebody in this process has stopped reading here."""

    def depart(self) -> None:
        """Note that somebody reads no more."""


class Server(Protocol):
    """Where managers get their link from."""

    def connect(self) -> Link:
        """A link for the running event loop."""

    def describe(self) -> str:
        """What a person calls this server."""

    def check(self, subject: str) -> None:
        """Ask whether it is there; raises QueueUnavailable. Blocks for two seconds at most."""

    def left(self) -> dict[str, int]:
        """Messages, by key, that would be lost with it."""

    def close(self) -> None:
        """Let go of it."""

    def manager(
        self,
        graph: str,
        specs: Iterable[QueueSpec],
        consumer: str,
        clock: Clock | None = None,
        *,
        namespace: str = "flownb",
        patient: bool = True,
    ) -> QueueManager:
        """A manager of the graph's queues, for the event loop that uses it first."""


def open_server(redis: Any = None, *, need_other_process: bool = False) -> Server:
    """The server for `redis`: a URL, a redis-py client (sync or async), or None.

    A URL is `redis://[user:password@]host[:port][/db]`, `rediss://...` (TLS) or
    `unix:///path`; its options are db, username, password, client_name, socket_timeout,
    socket_connect_timeout (seconds), socket_keepalive, and ssl_... with rediss. Of a client
    only where its server is is taken: how it reads replies is its own affair. Raises
    QueueError for anything else.

    Nothing is connected or imported before the first queue is used. With
    `need_other_process` and no `redis` it is one that child processes reach, too: a
    server of our own, or fakeredis over TCP where none is installed. Of a list of choices
    the first that answers now is taken, None always does: `redis=["redis://db", None]`.

    >>> open_server().describe()
    'fakeredis in this kernel'
    >>> open_server("redis://:secret@example.org/2").describe()
    'redis://example.org:6379/2'
    """
    if isinstance(redis, list | tuple):
        return _first_that_answers(redis, need_other_process=need_other_process)
    if redis is None:
        return _own_server() if need_other_process else LocalServer()
    options = _options(redis)
    if "server" not in options:
        return RemoteServer(options)
    if need_other_process:
        raise QueueError(
            "a loop in another process cannot reach the fakeredis in this kernel: "
            "give redis= the URL of a running Redis, or, where no loop is on a cluster, omit it"
        )
    return LocalServer(options["server"])


def _options(redis: Any) -> dict[str, Any]:
    try:
        return redis_options(redis) if isinstance(redis, str) else options_of_client(redis)
    except ValueError as error:
        text = isinstance(redis, str)
        what = f"{Address.of(redis)!r}" if text else f" is a {type(redis).__name__}"
        raise QueueError(f"redis={what}: {error}") from None


def _own_server() -> Server:
    """A server that child processes reach: a real one if it can be started, else a fake."""
    from flownb.queues import spawned

    if (program := spawned.binary()) is not None and hasattr(socket, "AF_UNIX"):
        return spawned.SpawnedServer(program)
    from flownb.queues.loopback import LoopbackServer

    return LoopbackServer()


def _first_that_answers(choices: Sequence[Any], *, need_other_process: bool) -> Server:
    for choice in choices:
        server = open_server(choice, need_other_process=need_other_process)
        try:
            server.check("redis=")
        except QueueUnavailable:
            continue
        return server
    tried = ", ".join(open_server(choice).describe() for choice in choices) or "nothing"
    raise QueueUnavailable(f"redis=: nobody answers at {tried}: start one, or add None to the list")


class _Opens:
    """The way to a manager, the same for every server."""

    def manager(
        self,
        graph: str,
        specs: Iterable[QueueSpec],
        consumer: str,
        clock: Clock | None = None,
        *,
        namespace: str = "flownb",
        patient: bool = True,
    ) -> QueueManager:
        """A manager of the graph's queues, for the event loop that uses it first."""
        from flownb.queues.manager import QueueManager

        return QueueManager(
            self, graph=graph, specs=specs, namespace=namespace, consumer=consumer, clock=clock,
            patient=patient,
        )  # fmt: skip


class LocalServer(_Opens):
    """A fakeredis in this process, shared by managers on any event loop and thread."""

    def __init__(self, fake: Any = None) -> None:
        self._fake, self._is_ours = fake, fake is None

    def connect(self) -> Link:
        """A link for the running event loop."""
        import fakeredis

        with _BOARDS_LOCK:
            if self._fake is None:
                self._fake = fakeredis.FakeServer()
            bells = _BOARDS.setdefault(self._fake, BellBoard())
        # with a timeout redis-py uses asyncio.wait_for, whose turns differ by Python's version
        return _LocalLink(fakeredis.FakeAsyncRedis(server=self._fake, socket_timeout=None), bells)

    def describe(self) -> str:
        """What a person calls this server."""
        return "fakeredis in this kernel"

    def check(self, subject: str) -> None:
        """It is always there."""

    def left(self) -> dict[str, int]:
        """Messages that are still in each queue, by key; nobody will read them after `close`."""
        if self._fake is None or not self._is_ours:
            return {}
        import fakeredis

        with fakeredis.FakeStrictRedis(server=self._fake) as client:
            streams = sorted(key for key in client.keys("*") if client.type(key) == b"stream")
            depths = {key.decode(): client.xlen(key) for key in streams}
        return {key: depth for key, depth in depths.items() if depth}

    def close(self) -> None:
        """Forget all queues; those of a fakeredis that was given stay in it."""
        if self._is_ours:
            self._fake = None


class BaseLink:
    """What the links share: a client, and bells in this process."""

    def __init__(self, client: Any, bells: BellBoard) -> None:
        self.client = client
        self._bells = bells
        self.listen: Callable[..., AbstractContextManager[Bell]] = bells.hung
        self.ring = bells.ring
        self.depart = bells.depart
        self._wires: list[Wire] = []
        self.line = self.wire()

    def wire(self) -> Wire | None:
        """Another connection; None where there is none to be had."""
        return None

    async def aclose(self) -> None:
        """Close all connections."""
        for wire in self._wires:
            await wire.aclose()
        await self.client.aclose()

    @property
    def silent(self) -> float:
        """For how many seconds the server has owed us an answer."""
        return max((wire.silent for wire in self._wires), default=0.0)

    @property
    def departures(self) -> int:
        """How often somebody in this process has stopped reading here."""
        return self._bells.departures


class WiredLink(BaseLink):
    """A link whose server is reached by connections."""

    def wire(self) -> Wire | None:
        """Another connection."""
        from flownb.queues.wire import Wire

        options = self.client.connection_pool.connection_kwargs
        self._wires.append(Wire(self.client, limit=options.get("socket_timeout")))
        return self._wires[-1]


class _LocalLink(BaseLink):
    patience = 0.0
    leases = False
    room_poll: float | None = None
    drain_poll: float | None = None
    can_be_virtual = True
    where = "fakeredis in this kernel"


class RemoteServer(_Opens):
    """A real Redis or Valkey; picklable, so that a child process can open it too."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    def connect(self) -> Link:
        """A link for the running event loop; connects when it is first used."""
        return _RemoteLink(remote_client(self._options), self.describe(), self._slice())

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


class _RemoteLink(WiredLink):
    leases = True
    room_poll: float | None = _ROOM_POLL
    drain_poll: float | None = _DRAIN_POLL
    can_be_virtual = False

    def __init__(self, client: Any, where: str, patience: float) -> None:
        super().__init__(client, BellBoard())
        self.where = where
        self.patience = patience


def remote_client(options: dict[str, Any]) -> Any:
    """A client for the running event loop that never repeats a command by itself."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    options = client_options(options)
    limits = {"socket_timeout": _SOCKET_TIMEOUT, "socket_connect_timeout": _SOCKET_TIMEOUT}
    # No retries: a push whose answer was lost would be in the queue twice.
    # A stranger's names go back to the server as the bytes that they are.
    more = {"encoding_errors": "surrogateescape", "retry": Retry(NoBackoff(), 0)}
    return Redis(**{**limits, **options, **more})
