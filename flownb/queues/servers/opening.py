"""Which server do the queues of a graph get? The one that `redis=` names, or one of ours."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flownb.address import Address, options_of_client, redis_options
from flownb.errors import QueueError, QueueUnavailable
from flownb.queues.servers.fake import LocalServer
from flownb.queues.servers.remote import RemoteServer

if TYPE_CHECKING:
    from flownb.queues.servers.link import Server


def open_server(redis: Any = None, *, need_other_process: bool = False) -> Server:
    """The server for `redis`: a URL, a redis-py client (sync or async), or None.

    A URL is `redis://[user:password@]host[:port][/db]`, `rediss://...` (TLS) or
    `unix:///path`; its options are db, username, password, client_name, socket_timeout,
    socket_connect_timeout (seconds), socket_keepalive, and `ssl_...` with rediss. Of a client
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
    from flownb.queues.servers import spawned

    if (program := spawned.binary()) is not None and hasattr(socket, "AF_UNIX"):
        return spawned.SpawnedServer(program)
    from flownb.queues.servers.fake import LoopbackServer

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
