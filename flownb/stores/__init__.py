"""Where are runs, graphs and checkpoints kept?

`open_store` takes a path or a URL. A store of your own is any object with the methods and
attributes of `RunStore` (for checkpoints `LoopStore`); `graph.run(state, store=...)` takes it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from flownb.address import REDIS_SCHEMES, Address, redis_options, sqlite_path, store_address
from flownb.arguments import Rule, checked, whole
from flownb.errors import GraphError, StoreError
from flownb.stores.base import (
    GraphRecord,
    GraphStore,
    LoopRecord,
    LoopStore,
    RunComparison,
    RunRecord,
    RunStore,
    Step,
    Store,
)
from flownb.stores.codec import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

__all__ = [
    "GraphRecord",
    "GraphStore",
    "LoopRecord",
    "LoopStore",
    "RunComparison",
    "RunRecord",
    "RunStore",
    "Step",
    "Store",
    "open_store",
]


DEFAULT_FILE: Final = "flownb-runs.sqlite"
VARIABLE: Final = "FLOWNB_STORE"
# Asked for by name: since Python 3.12 isinstance() does not see what a proxy hands on.
_REQUIRED: Final = {
    "runs": (
        "RunStore",
        ("save", "append", "load", "list", "delete", "close", "quick", "max_bytes"),
    ),
    "loops": ("LoopStore", ("save", "find", "list", "delete", "close", "max_bytes")),
}
_PLACE: Final = Rule(
    "give a path, a URL, or None",
    lambda value: isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str),
)
_MAX_BYTES: Final = whole("bytes of JSON", least=1)


def open_store(address: str | PathLike[str] | None = None, *, max_bytes: int = MAX_BYTES) -> Store:
    """Open the stores at a path or URL; nothing is connected before the first use.

    `"runs.sqlite"`, `"sqlite:////var/runs.sqlite"`, `"postgresql://user@host/database"`,
    `"redis://host"` (also `rediss://`, `unix://`), `"memory://"`. None: `$FLOWNB_STORE`,
    else the file `flownb-runs.sqlite` in this folder. *max_bytes* is the largest value
    kept, in bytes of JSON. Raises StoreError for what is no address; a password is never
    shown.

    >>> store = open_store("memory://")
    >>> store.graphs.save({"name": "weather"}).version
    1
    >>> open_store("postgresql://ada:secret@db.example.org/runs")
    Store('postgresql://ada@db.example.org/runs')
    """
    max_bytes = checked("open_store()", "max_bytes", max_bytes, _MAX_BYTES, StoreError)
    if address is None and (named := os.environ.get(VARIABLE, "").strip()):
        try:
            return open_store(named, max_bytes=max_bytes)
        except StoreError as error:
            raise StoreError(f"{VARIABLE}: {error}") from None
    place = (
        DEFAULT_FILE
        if address is None
        else os.fspath(checked("open_store()", "address", address, _PLACE, StoreError))
    )
    try:
        return _open(place, store_address(place), max_bytes)
    except ValueError as error:
        raise StoreError(f"store {Address.of(place)!r}: {error}") from None


def _open(place: str, address: Address, max_bytes: int) -> Store:
    if address.scheme == "memory":
        from flownb.stores.memory import memory_store

        return memory_store(max_bytes=max_bytes)
    if address.scheme in REDIS_SCHEMES:
        return _redis(place, str(address), max_bytes)
    return _sql(place, address, max_bytes)


def _redis(place: str, where: str, max_bytes: int) -> Store:
    from flownb.stores.redis import RedisGraphs, RedisLoops, RedisRuns, RedisServer

    server = RedisServer(redis_options(place), where)
    runs, graphs = RedisRuns(server, max_bytes=max_bytes), RedisGraphs(server, max_bytes=max_bytes)
    return Store(runs, graphs, RedisLoops(server, max_bytes=max_bytes), where)


def _sql(place: str, address: Address, max_bytes: int) -> Store:
    from flownb.stores.database_server import DatabaseServer
    from flownb.stores.sql import Database, SqlGraphs, SqlLoops, SqlRuns
    from flownb.stores.sqlite import SqliteFile

    quick = address.scheme == "sqlite"
    where = sqlite_path(place) if quick else str(address)
    database: Database = SqliteFile(where) if quick else DatabaseServer(place, where)
    runs = SqlRuns(database, quick=quick, max_bytes=max_bytes)
    graphs = SqlGraphs(database, max_bytes=max_bytes)
    return Store(runs, graphs, SqlLoops(database, max_bytes=max_bytes), where)


def opened(store: Any, part: str, where: str) -> tuple[Any, Callable[[], None]]:
    """Give a part of a store, "runs" or "loops", and what to do when it is not needed."""
    if isinstance(store, Store):
        return getattr(store, part), lambda: None
    if store is None or isinstance(store, (str, os.PathLike)):
        made = open_store(store)
        return getattr(made, part), made.close
    face, names = _REQUIRED[part]
    if all(hasattr(store, name) for name in names):
        return store, lambda: None
    msg = (
        f"{where} is a {type(store).__name__}: give a path, a URL, what open_store() gave, or an "
        f"object with the methods of {face}"
    )
    raise GraphError(msg)
