"""How is the checkpoint of a loop kept? One record, that only its successor may replace.

Each save has a number, and is refused unless the one before is there. So of two processes
that go on with one loop the second to save is refused, and the record is never a mixture.
"""

from __future__ import annotations

import builtins
import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import StoreError
from flownb.stores.base import LoopRecord, light_loop, loop_taken
from flownb.stores.codec import MAX_BYTES
from flownb.stores.sql import Taken, again

if TYPE_CHECKING:
    from flownb.stores.redis import RedisServer
    from flownb.stores.sql import Database, Params

_FIELDS: Final = tuple(f.name for f in fields(LoopRecord))
_ALL: Final = ", ".join(_FIELDS)
_LIGHT: Final = ", ".join(_FIELDS[:-2])
_FIRST: Final = f"""INSERT INTO flownb_loops ({_ALL})
    VALUES ({", ".join(f":{name}" for name in _FIELDS)})"""  # noqa: S608 - constants
_NEXT: Final = f"""UPDATE flownb_loops SET {", ".join(f"{n} = :{n}" for n in _FIELDS[2:])}
    WHERE graph = :graph AND loop = :loop AND number = :number - 1"""  # noqa: S608 - constants
_OF: Final = "WHERE graph = :graph AND loop = :loop"


class SqlLoops:
    """Checkpoints of loops in a database."""

    def __init__(self, database: Database, *, max_bytes: int = MAX_BYTES) -> None:
        self._database, self.max_bytes = database, max_bytes

    def save(self, record: LoopRecord) -> None:
        """Replace the record whose number is one lower."""
        statement = _FIRST if record.number == 1 else _NEXT
        try:
            changed = self._write(statement, asdict(record))
        except Taken:
            changed = 0
        if not changed and not self._is_there(record):
            raise loop_taken(record)

    def _write(self, statement: str, params: Params) -> int:
        return again(lambda: self._database.write((statement, params)))

    def _is_there(self, record: LoopRecord) -> bool:
        """Whether it arrived although the connection broke before that was answered."""
        return self.find(record.graph, record.loop) == record

    def find(self, graph: str, loop: str) -> LoopRecord | None:
        """Give what is kept of a loop, None if nothing is."""
        found = self._rows(f"SELECT {_ALL} FROM flownb_loops {_OF}", graph=graph, loop=loop)  # noqa: S608
        return LoopRecord(*found[0]) if found else None

    def list(self, *, graph: str | None = None) -> builtins.list[LoopRecord]:
        """Give the records by graph and loop, without what may be large."""
        rows = self._rows(f"SELECT {_LIGHT} FROM flownb_loops ORDER BY graph, loop")  # noqa: S608
        return [r for r in (LoopRecord(*row) for row in rows) if graph in {None, r.graph}]

    def delete(self, graph: str, loop: str | None = None) -> bool:
        """Forget a loop, or all loops of a graph; say whether there was one."""
        where = "WHERE graph = :graph" if loop is None else _OF
        sql = f"DELETE FROM flownb_loops {where}"  # noqa: S608 - constants
        return bool(self._write(sql, {"graph": graph, "loop": loop}))

    def _rows(self, sql: str, **params: str) -> builtins.list[Any]:
        return again(lambda: self._database.rows(sql, params))

    def close(self) -> None:
        """Let go of the connection."""
        self._database.close()


class RedisLoops:
    """Checkpoints of loops in Redis: a key for each, and a set of their names."""

    def __init__(self, server: RedisServer, *, max_bytes: int = MAX_BYTES) -> None:
        self._server, self.max_bytes = server, max_bytes
        self._names = f"{server.prefix}:loops"

    def save(self, record: LoopRecord) -> None:
        """Replace the record whose number is one lower."""
        from redis.exceptions import WatchError

        name = _name(record.graph, record.loop)
        with self._server.client() as client, client.pipeline(transaction=True) as pipe:
            pipe.watch(self._key(name))
            kept = _read(pipe.get(self._key(name)))
            if (kept.number if kept else 0) != record.number - 1:
                if kept == record:  # it arrived although the connection broke before the answer
                    return
                raise loop_taken(record)
            pipe.multi()
            pipe.set(self._key(name), json.dumps(asdict(record)))
            pipe.sadd(self._names, name)
            try:
                pipe.execute()
            except WatchError:
                raise loop_taken(record) from None

    def find(self, graph: str, loop: str) -> LoopRecord | None:
        """Give what is kept of a loop, None if nothing is."""
        with self._server.client() as client:
            return _read(client.get(self._key(_name(graph, loop))))

    def list(self, *, graph: str | None = None) -> builtins.list[LoopRecord]:
        """Give the records by graph and loop, without what may be large."""
        with self._server.client() as client:
            names = sorted(name.decode() for name in client.smembers(self._names))
            found = [_read(client.get(self._key(name))) for name in names]
        kept = [light_loop(r) for r in found if r is not None and graph in {None, r.graph}]
        return sorted(kept, key=lambda r: (r.graph, r.loop))

    def delete(self, graph: str, loop: str | None = None) -> bool:
        """Forget a loop, or all loops of a graph; say whether there was one."""
        names = [_name(r.graph, r.loop) for r in self.list(graph=graph) if loop in {None, r.loop}]
        with self._server.client() as client, client.pipeline(transaction=True) as pipe:
            for name in names:
                pipe.srem(self._names, name)
                pipe.delete(self._key(name))
            return bool(names) and any(pipe.execute())

    def close(self) -> None:
        """Let go of the connections."""
        self._server.close()

    def _key(self, name: str) -> str:
        return f"{self._server.prefix}:loop:{name}"


def _name(graph: str, loop: str) -> str:
    """Name a loop so that no two are taken for one, whatever they are called."""
    return json.dumps([graph, loop])


def _read(text: Any) -> LoopRecord | None:
    try:
        return None if text is None else LoopRecord(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise StoreError(f"a checkpoint that cannot be read: {error}") from None
