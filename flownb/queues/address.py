"""What do a URL and a client of redis-py say about where a server is?"""

from __future__ import annotations

from typing import Any

from flownb.errors import QueueError

# What says where a server is; the rest of a client's options is how that client works.
_KEPT_OPTIONS = frozenset(
    {"host", "port", "path", "db", "username", "password", "credential_provider", "client_name"}
    | {"socket_timeout", "socket_connect_timeout", "socket_keepalive"}
)


def options_of_url(url: str) -> dict[str, Any]:
    """The options of redis-py that a URL stands for; raises QueueError for a bad one."""
    from redis.asyncio.connection import SSLConnection, parse_url

    try:
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise QueueError(f"redis={_without_password(url)!r}: {error}") from None
    kind = options.pop("connection_class", None)
    return options | ({"ssl": True} if kind is SSLConnection else {})


def options_of_client(client: Any) -> dict[str, Any]:
    """The options of the server of a client, sync or async; of a fakeredis it is `server`."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        raise QueueError(
            f"redis= is a {type(client).__name__}: give a URL, a redis-py client, "
            f"or None for the one inside this kernel"
        )
    given = pool.connection_kwargs
    if "server" in given:
        return {"server": _fake_server(pool)}
    options = {
        name: value
        for name, value in given.items()
        if value is not None and (name in _KEPT_OPTIONS or name.startswith("ssl_"))
    }
    return options | ({"ssl": True} if "SSL" in pool.connection_class.__name__ else {})


def _fake_server(pool: Any) -> Any:
    fake = pool.connection_kwargs["server"]
    if fake is None:
        # A FakeRedis made without server= chooses one when it makes a connection.
        fake = pool.make_connection()._server  # noqa: SLF001  nothing public tells
    return fake


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
