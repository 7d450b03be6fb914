"""How does an app come to a port? `Server`: in a thread of its own, until it is stopped.

A cell that computes does not hold it up, and it holds up no cell. It is on this machine only,
unless another `host` is named.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from flownb.errors import RunError
from flownb.server.app import create_app
from flownb.server.security import is_loopback

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from os import PathLike

    from fastapi import FastAPI

    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.graph import Graph
    from flownb.model.tools import ToolRegistry
    from flownb.server.security import Caps
    from flownb.stores.base import Store

_BACKLOG: Final = 2048
_GRACE: Final = 5  # seconds that open answers have when the server stops
_PATIENCE: Final = 30.0
_serving: dict[str, Server] = {}
_lock = threading.Lock()


class _Uvicorn(uvicorn.Server):
    """Lets those go who listen to streams: they would not leave by themselves."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.app.state.services.close_feeds()  # type: ignore[union-attr]
        await super().shutdown(sockets)


class _Http(H11Protocol):
    """Lets those go who do not end in time what they begin to ask, or do not take the answer.

    What is asked has a timeout of its own, see `Guard`.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look_again()

    def _look_again(self) -> None:
        caps = self.config.app.state.services.caps  # type: ignore[union-attr]
        now = self.cycle, self.transport.get_write_buffer_size()
        self.loop.call_later(caps.timeout, self._look, now)

    def _look(self, before: Any) -> None:
        if self.transport.get_protocol() is not self:
            return  # it is a WebSocket
        now = cycle, left = self.cycle, self.transport.get_write_buffer_size()
        if now == before and (cycle is None or cycle.response_complete):
            self.transport.abort()
        elif left or not self.transport.is_closing():
            self._look_again()


class Server:
    """An app on a port. `url` has the token: who has it may change what runs.

    `await server.stop()`, or `.stop().wait()` in a script, ends it.
    """

    def __init__(self, app: FastAPI, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._app, self._host = app, host
        self._socket = listening(host, port)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app, log_config=None, access_log=False, backlog=_BACKLOG, lifespan="on",
            timeout_graceful_shutdown=_GRACE, proxy_headers=False, server_header=False,
            ws_max_size=1_000_000, http=_Http,
        )  # fmt: skip
        self._uvicorn = _Uvicorn(config)
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="flownb server", daemon=True)

    @property
    def address(self) -> str:
        """Where it is, without the token."""
        host = "127.0.0.1" if self._host in {"0.0.0.0", "::", ""} else self._host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def url(self) -> str:
        """Where it is, with the token: open it, or send it to whom you trust."""
        return f"{self.address}?token={quote(self.token)}"

    @property
    def token(self) -> str:
        """What each change needs."""
        return str(self._app.state.token)

    @property
    def is_running(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def start(self) -> Server:
        """Begin to answer; RunError if the app cannot start."""
        self._thread.start()
        while not self._uvicorn.started and self._thread.is_alive():
            self._thread.join(0.01)
        if not self._uvicorn.started:
            self._socket.close()
            why = f": {self._failed}" if self._failed else ""
            raise RunError(f"the server did not start{why}")
        return self

    def _run(self) -> None:
        try:
            asyncio.run(self._uvicorn.serve(sockets=[self._socket]))
        except BaseException as error:  # noqa: BLE001 - told where it was started
            self._failed = error
        finally:
            with contextlib.suppress(OSError):
                self._socket.close()

    def stop(self) -> Stopping:
        """End it: open answers have a moment; runs stay in the store, loops run on."""
        self._uvicorn.should_exit = True
        with _lock:
            for name in [name for name, server in _serving.items() if server is self]:
                del _serving[name]
        return Stopping(self._thread)

    def __repr__(self) -> str:
        state = "" if self.is_running else ", stopped"
        return f"Server({self.address}{state})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002
        """Give the address as a link, with the token; as text without it."""
        if not self.is_running:
            return {"text/plain": repr(self)}
        link = f'<a href="{self.url}" target="_blank" rel="noopener">{self.address}</a>'
        return {"text/plain": repr(self), "text/html": f"flownb is at {link}"}


class Stopping:
    """The end of a server: await it, or `.wait()`."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def __await__(self) -> Generator[Any, None, None]:
        return asyncio.to_thread(self._thread.join, _PATIENCE).__await__()

    def wait(self, timeout: float = _PATIENCE) -> None:
        """Wait for at most so many seconds."""
        self._thread.join(timeout)

    def __repr__(self) -> str:
        return f"Stopping({'under way' if self._thread.is_alive() else 'done'})"


def listening(host: str, port: int) -> socket.socket:
    """Give a socket that is bound; RunError says why it cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise RunError(
            f"no server can listen on {host} port {port}: {error.strerror}; port=0 takes a free one"
        ) from None
    return made


async def serve(
    *orchestrators: Orchestrator,
    graphs: Sequence[Graph] = (),
    store: str | PathLike[str] | Store | None = None,
    tools: ToolRegistry | None = None,
    token: str | None = None,
    caps: Caps | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    name: str = "http",
    root_path: str = "",
) -> Server:
    """Serve what runs in this notebook, and return at once; the result is a link.

    A second call takes the place of the first (of the same *name*), on the same port and with
    the same token unless others are named. *host* other than 127.0.0.1 lets other machines in,
    who need the token for each look, too; put a proxy with TLS in front of it. *port* 0 is a
    free one. The other options are those of `create_app`.

    Raises RunError when the port is taken, StoreError, and ArgumentError.
    """
    with _lock:
        before = _serving.pop(name, None)
    if before is not None:
        again = before._host == host and before.is_running  # noqa: SLF001 - of this module
        port = before.port if again and port == 0 else port
        token = before.token if token is None else token
        await before.stop()
    app = create_app(
        *orchestrators, graphs=graphs, store=store, tools=tools, token=token, caps=caps,
        name=name, root_path=root_path,
    )  # fmt: skip
    server = Server(app, host=host, port=port)
    await asyncio.to_thread(server.start)
    with _lock:
        _serving[name] = server
    if not is_loopback(host):
        print(f"other machines reach it, too: who has the token may do as you ({server.address})")  # noqa: T201
    return server
