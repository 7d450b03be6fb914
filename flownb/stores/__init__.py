"""Where are runs, graphs and loops kept? In memory, SQLite, PostgreSQL or Redis.

`open_store` takes a path or a URL. A store of your own is any object with the methods of
`RunStore`; `graph.run(state, store=...)` takes that, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flownb.errors import StoreError
from flownb.stores.address import default_address, scheme_of, shown, sqlite_path
from flownb.stores.base import (
    GraphRecord,
    GraphStore,
    LoopRecord,
    LoopStore,
    RunRecord,
    RunStore,
    Step,
    Store,
)
from flownb.stores.codec import MAX_BYTES

if TYPE_CHECKING:
    from os import PathLike

__all__ = [
    "GraphRecord",
    "GraphStore",
    "LoopRecord",
    "LoopStore",
    "RunRecord",
    "RunStore",
    "Step",
    "Store",
    "open_store",
]


def open_store(address: str | PathLike[str] | None = None, *, max_bytes: int = MAX_BYTES) -> Store:
    """Open the stores at a path or URL; nothing is connected before the first use.

    `"runs.sqlite"`, `"sqlite:////var/runs.sqlite"`, `"postgresql://user@host/database"`,
    `"redis://host"` (also `rediss://`, `unix://`), `"memory://"`. None: `$FLOWNB_STORE`,
    else the file `flownb-runs.sqlite` in this folder. *max_bytes* is the largest value
    kept, in bytes of JSON.

    >>> store = open_store("memory://")
    >>> store.graphs.save({"name": "weather"}).version
    1
    >>> open_store("postgresql://ada:secret@db.example.org/runs")
    Store('postgresql://ada@db.example.org/runs')
    """
    place = default_address() if address is None else str(address)
    scheme = scheme_of(place)
    if scheme == "memory":
        from flownb.stores.memory import memory_store

        return memory_store(max_bytes=max_bytes)
    if scheme in {"redis", "rediss", "unix"}:
        return _redis(place, max_bytes)
    if scheme in {"sqlite", "postgres", "postgresql"}:
        return _sql(place, scheme, max_bytes)
    raise StoreError(
        f"store {shown(place)!r}: runs are kept in the file of a path, or behind a URL of "
        "sqlite, postgresql, redis, rediss, unix or memory"
    )


def _redis(place: str, max_bytes: int) -> Store:
    from flownb.stores.loops import RedisLoops
    from flownb.stores.redis import RedisGraphs, RedisRuns, RedisServer

    server = RedisServer(place)
    runs, graphs = RedisRuns(server, max_bytes=max_bytes), RedisGraphs(server, max_bytes=max_bytes)
    return Store(runs, graphs, RedisLoops(server, max_bytes=max_bytes), shown(place))


def _sql(place: str, scheme: str, max_bytes: int) -> Store:
    from flownb.stores.alchemy import DatabaseServer
    from flownb.stores.loops import SqlLoops
    from flownb.stores.sql import Database, SqlGraphs, SqlRuns
    from flownb.stores.sqlite import SqliteFile

    quick = scheme == "sqlite"
    database: Database = SqliteFile(sqlite_path(place)) if quick else DatabaseServer(place)
    runs = SqlRuns(database, quick=quick, max_bytes=max_bytes)
    graphs = SqlGraphs(database, max_bytes=max_bytes)
    return Store(runs, graphs, SqlLoops(database, max_bytes=max_bytes), shown(place))
