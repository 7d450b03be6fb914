"""How are runs, graphs and checkpoints kept in Redis? A run has a hash, and a stream of its steps.

A stream takes only entries whose id is above the last one, and the id is the number of the
step: so two processes can never both go on with a run.
"""

from __future__ import annotations

import builtins
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from flownb.address import client_options
from flownb.errors import StoreError
from flownb.redaction import redacted, scrub
from flownb.stores.base import (
    PARTS,
    GraphRecord,
    LoopRecord,
    RunRecord,
    Step,
    check_asked,
    graph_name,
    light,
    light_loop,
    loop_taken,
    now,
    taken_over,
    unknown_graph,
    unknown_run,
    written,
    written_graph,
)
from flownb.stores.codec import MAX_BYTES, decode, encode

if TYPE_CHECKING:
    from redis import Redis

    from flownb.records.workflow_run import RunStatus

PREFIX: Final = "flownb-store"
_PAGE: Final = 500


class RedisServer:
    """A client of a Redis server, made at its first use; safe to use from any thread."""

    def __init__(self, options: Mapping[str, Any], where: str, prefix: str = PREFIX) -> None:
        self._options, self.where, self.prefix = dict(options), where, prefix
        self._client: Redis | None = None

    def __repr__(self) -> str:
        return f"RedisServer({self.where!r})"

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """Give the client; whatever it raises is a StoreError."""
        from redis.exceptions import RedisError

        try:
            yield self._made()
        except (RedisError, ValueError) as error:
            scrub(error)
            raise StoreError(f"store {self.where!r}: {redacted(error)}") from None

    def _made(self) -> Redis:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        if self._client is None:
            # No retries: what was added and not answered would come a second time.
            made: Redis = Redis(**client_options(self._options), retry=Retry(NoBackoff(), 0))
            self._client = made
        return self._client

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            self._client.close()
        self._client = None


class RedisRuns:
    """Runs in Redis."""

    quick = False

    def __init__(self, server: RedisServer, *, max_bytes: int = MAX_BYTES) -> None:
        self._server, self.max_bytes = server, max_bytes

    def save(self, run: RunRecord) -> None:
        """Keep the head of a run, or replace it."""
        texts = written(run, max_bytes=self.max_bytes)
        head = encode(asdict(light(run)), f"run {run.run_id!r}")
        with self._server.client() as client, client.pipeline(transaction=True) as pipe:
            pipe.hset(self._key("run", run.run_id), mapping={"head": head, **texts})
            pipe.zadd(self._key("runs"), {run.run_id: run.created})
            pipe.execute()

    def append(self, run_id: str, steps: Sequence[Step]) -> None:
        """Add steps, all or none: they are one entry."""
        check_asked(run_id=run_id)
        from redis.exceptions import ConnectionError as Lost
        from redis.exceptions import ResponseError
        from redis.exceptions import TimeoutError as Late

        key, entry = self._key("steps", run_id), encode([asdict(s) for s in steps], "steps")
        number = f"{steps[0].seq + 1}-0"  # the id 0-0 is not allowed
        with self._server.client() as client:
            try:
                client.xadd(key, {"steps": entry}, id=number)
            except (Lost, Late):  # it may have arrived all the same: look before sending again
                last = client.xrevrange(key, count=1)
                if not last or last[0][0].decode() != number:
                    client.xadd(key, {"steps": entry}, id=number)
            except ResponseError as error:
                if "equal or smaller" not in str(error):
                    raise
                raise taken_over(run_id) from None

    def load(self, run_id: str) -> RunRecord:
        """Give a run with its steps."""
        check_asked(run_id=run_id)
        with self._server.client() as client:
            kept = {k.decode(): v for k, v in client.hgetall(self._key("run", run_id)).items()}
            entries = client.xrange(self._key("steps", run_id))
        if not kept:
            raise unknown_run(run_id, self._server.where)
        parts = {part: decode(kept[part]) for part in PARTS}
        steps = [s for _, entry in entries for s in decode(entry[b"steps"])]
        return RunRecord(
            **(_head(kept["head"]) | parts | {"steps": tuple(_step(step) for step in steps)})
        )

    def list(
        self,
        *,
        graph: str | None = None,
        status: RunStatus | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> builtins.list[RunRecord]:
        """Give the heads of the runs made in this time, newest first."""
        check_asked(graph=graph, status=status, since=since, until=until, limit=limit)
        top = "+inf" if until is None else f"({until!r}"
        low = "-inf" if since is None else repr(since)
        found: builtins.list[RunRecord] = []
        with self._server.client() as client:
            for heads in self._pages(client, top, low):
                found += [
                    h for h in heads if graph in {None, h.graph} and status in {None, h.status}
                ]
                if len(found) >= limit:
                    break
        return sorted(found, key=lambda head: (-head.created, head.run_id))[:limit]

    def _pages(self, client: Any, top: str, low: str) -> Iterator[builtins.list[RunRecord]]:
        start, key = 0, self._key("runs")
        while ids := client.zrevrangebyscore(key, top, low, start=start, num=_PAGE):
            with client.pipeline(transaction=False) as pipe:
                for name in ids:
                    pipe.hget(self._key("run", name.decode()), "head")
                heads = [head for head in pipe.execute() if head is not None]
            yield [RunRecord(**_head(head)) for head in heads]
            start += _PAGE

    def delete(self, run_id: str) -> bool:
        """Forget a run; say whether there was one."""
        check_asked(run_id=run_id)
        with self._server.client() as client, client.pipeline(transaction=True) as pipe:
            pipe.zrem(self._key("runs"), run_id)
            pipe.delete(self._key("steps", run_id))
            pipe.delete(self._key("run", run_id))
            return bool(pipe.execute()[-1])

    def close(self) -> None:
        """Let go of the connections."""
        self._server.close()

    def _key(self, *parts: str) -> str:
        return ":".join((self._server.prefix, *parts))


class RedisGraphs:
    """Graphs in Redis: a hash for each, its fields are the versions."""

    def __init__(self, server: RedisServer, *, max_bytes: int = MAX_BYTES) -> None:
        self._server, self.max_bytes = server, max_bytes
        self._names = f"{server.prefix}:graphs"

    def save(self, document: Mapping[str, Any]) -> GraphRecord:
        """Keep what `Graph.to_dict` gave; an unchanged graph keeps its version."""
        name, text = graph_name(document), written_graph(document, self.max_bytes)
        with self._server.client() as client:
            while True:
                versions = self._versions(name)
                newest = max(versions, default=0)
                if newest and versions[newest]["document"] == text:
                    return GraphRecord(name, newest, versions[newest]["saved"])
                made = GraphRecord(name, newest + 1, now())
                entry = encode({"saved": made.saved, "document": text}, f"graph {name!r}")
                client.sadd(self._names, name)
                if client.hsetnx(self._key(name), str(made.version), entry):
                    return made

    def load(self, name: str, version: int | None = None) -> GraphRecord:
        """Give a version of a graph, the newest if none is named."""
        check_asked(name=name, version=version)
        versions = self._versions(name)
        number = max(versions, default=0) if version is None else version
        if number not in versions:
            raise unknown_graph(name, version, self._server.where)
        found = versions[number]
        return GraphRecord(name, number, found["saved"], decode(found["document"]))

    def list(self, *, name: str | None = None) -> builtins.list[GraphRecord]:
        """Give the newest version of each graph, or all versions of one, newest first."""
        if name is not None:
            return self._records(name)
        with self._server.client() as client:
            names = sorted(n.decode() for n in client.smembers(self._names))
        return [record for each in names for record in self._records(each)[:1]]

    def _records(self, name: str) -> builtins.list[GraphRecord]:
        versions = self._versions(name)
        return [GraphRecord(name, n, versions[n]["saved"]) for n in sorted(versions, reverse=True)]

    def delete(self, name: str, version: int | None = None) -> bool:
        """Forget a graph or one of its versions; say whether there was one."""
        check_asked(name=name, version=version)
        with self._server.client() as client:
            if version is not None:
                return bool(client.hdel(self._key(name), str(version)))
            client.srem(self._names, name)
            return bool(client.delete(self._key(name)))

    def _versions(self, name: str) -> dict[int, Any]:
        with self._server.client() as client:
            return {int(k): decode(v) for k, v in client.hgetall(self._key(name)).items()}

    def _key(self, name: str) -> str:
        return f"{self._server.prefix}:graph:{name}"


def _head(text: Any) -> dict[str, Any]:
    head: dict[str, Any] = decode(text)
    return head | {"steps": ()}


def _step(fields: dict[str, Any]) -> Step:
    live = fields["live"]
    return Step(**{**fields, "live": None if live is None else tuple(live)})


class RedisLoops:
    """Checkpoints of loops in Redis: a key for each, and a set of their names."""

    def __init__(self, server: RedisServer, *, max_bytes: int = MAX_BYTES) -> None:
        self._server, self.max_bytes = server, max_bytes
        self._names = f"{server.prefix}:loops"

    def save(self, record: LoopRecord) -> None:
        """Replace the record whose number is one lower."""
        from redis.exceptions import WatchError

        name = _loop_name(record.graph, record.loop)
        with self._server.client() as client, client.pipeline(transaction=True) as pipe:
            pipe.watch(self._key(name))
            kept = _loop_of(pipe.get(self._key(name)))
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
            return _loop_of(client.get(self._key(_loop_name(graph, loop))))

    def list(self, *, graph: str | None = None) -> builtins.list[LoopRecord]:
        """Give the records by graph and loop, without what may be large."""
        with self._server.client() as client:
            names = sorted(name.decode() for name in client.smembers(self._names))
            found = [_loop_of(client.get(self._key(name))) for name in names]
        kept = [light_loop(r) for r in found if r is not None and graph in {None, r.graph}]
        return sorted(kept, key=lambda r: (r.graph, r.loop))

    def delete(self, graph: str, loop: str | None = None) -> bool:
        """Forget a loop, or all loops of a graph; say whether there was one."""
        names = [
            _loop_name(r.graph, r.loop) for r in self.list(graph=graph) if loop in {None, r.loop}
        ]
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


def _loop_name(graph: str, loop: str) -> str:
    """Name a loop so that no two are taken for one, whatever they are called."""
    return json.dumps([graph, loop])


def _loop_of(text: Any) -> LoopRecord | None:
    try:
        return None if text is None else LoopRecord(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise StoreError(f"a checkpoint that cannot be read: {error}") from None
