"""How are runs, graphs and checkpoints kept without a file? In this process, as text, as elsewhere.

What is kept is written and read as by the other stores, so that nobody can change it
behind the store's back, and what this one takes the others take too.
"""

from __future__ import annotations

import builtins
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flownb.stores.base import (
    GraphRecord,
    LoopRecord,
    RunRecord,
    Step,
    Store,
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
from flownb.stores.codec import MAX_BYTES, decode

if TYPE_CHECKING:
    from flownb.records.workflow_run import RunStatus


def memory_store(*, max_bytes: int = MAX_BYTES) -> Store:
    """Make an empty store that lives as long as this process.

    >>> memory_store().runs.list()
    []
    """
    runs, graphs = MemoryRuns(max_bytes=max_bytes), MemoryGraphs(max_bytes=max_bytes)
    return Store(runs, graphs, MemoryLoops(max_bytes=max_bytes), "memory://")


class MemoryRuns:
    """Runs in this process."""

    quick = True

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._heads: dict[str, tuple[RunRecord, dict[str, str]]] = {}
        self._steps: dict[str, builtins.list[Step]] = {}
        self._lock = threading.Lock()

    def save(self, run: RunRecord) -> None:
        """Keep the head of a run, or replace it."""
        texts = written(run, max_bytes=self.max_bytes)
        with self._lock:
            self._heads[run.run_id] = light(run), texts
            self._steps.setdefault(run.run_id, [])

    def append(self, run_id: str, steps: Sequence[Step]) -> None:
        """Add steps, all or none."""
        check_asked(run_id=run_id)
        with self._lock:
            kept = self._steps.get(run_id)
            if kept is None:
                raise unknown_run(run_id, "memory://")
            if kept and steps and kept[-1].seq >= steps[0].seq:
                raise taken_over(run_id)
            kept.extend(steps)

    def load(self, run_id: str) -> RunRecord:
        """Give a run with its steps."""
        check_asked(run_id=run_id)
        with self._lock:
            if run_id not in self._heads:
                raise unknown_run(run_id, "memory://")
            head, texts = self._heads[run_id]
            steps = tuple(self._steps[run_id])
        return replace(head, **{k: decode(text) for k, text in texts.items()}, steps=steps)

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
        with self._lock:
            heads = [head for head, _ in self._heads.values()]
        found = [
            head
            for head in heads
            if graph in {None, head.graph}
            and status in {None, head.status}
            and (since is None or head.created >= since)
            and (until is None or head.created < until)
        ]
        return sorted(found, key=lambda head: (-head.created, head.run_id))[:limit]

    def delete(self, run_id: str) -> bool:
        """Forget a run; say whether there was one."""
        check_asked(run_id=run_id)
        with self._lock:
            self._steps.pop(run_id, None)
            return self._heads.pop(run_id, None) is not None

    def close(self) -> None:
        """Nothing is open; what is kept stays as long as this object."""


class MemoryGraphs:
    """Graphs in this process."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._kept: dict[str, dict[int, tuple[GraphRecord, str]]] = {}
        self._lock = threading.Lock()

    def save(self, document: Mapping[str, Any]) -> GraphRecord:
        """Keep what `Graph.to_dict` gave; an unchanged graph keeps its version."""
        name, text = graph_name(document), written_graph(document, self.max_bytes)
        with self._lock:
            versions = self._kept.setdefault(name, {})
            newest = max(versions, default=0)
            if newest and versions[newest][1] == text:
                return versions[newest][0]
            record = GraphRecord(name, newest + 1, now())
            versions[newest + 1] = record, text
            return record

    def load(self, name: str, version: int | None = None) -> GraphRecord:
        """Give a version of a graph, the newest if none is named."""
        check_asked(name=name, version=version)
        with self._lock:
            versions = self._kept.get(name, {})
            found = versions.get(max(versions, default=0) if version is None else version)
        if found is None:
            raise unknown_graph(name, version, "memory://")
        return replace(found[0], document=decode(found[1]))

    def list(self, *, name: str | None = None) -> builtins.list[GraphRecord]:
        """Give the newest version of each graph, or all versions of one, newest first."""
        with self._lock:
            if name is None:
                newest = [
                    versions[max(versions)][0] for versions in self._kept.values() if versions
                ]
                return sorted(newest, key=lambda record: record.name)
            versions = self._kept.get(name, {})
            return [versions[number][0] for number in sorted(versions, reverse=True)]

    def delete(self, name: str, version: int | None = None) -> bool:
        """Forget a graph or one of its versions; say whether there was one."""
        check_asked(name=name, version=version)
        with self._lock:
            if version is None:
                return bool(self._kept.pop(name, None))
            return self._kept.get(name, {}).pop(version, None) is not None


class MemoryLoops:
    """Checkpoints of loops in this process."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._kept: dict[tuple[str, str], LoopRecord] = {}
        self._lock = threading.Lock()

    def save(self, record: LoopRecord) -> None:
        """Replace the record whose number is one lower."""
        key = record.graph, record.loop
        with self._lock:
            if (self._kept[key].number if key in self._kept else 0) != record.number - 1:
                raise loop_taken(record)
            self._kept[key] = record

    def find(self, graph: str, loop: str) -> LoopRecord | None:
        """Give what is kept of a loop, None if nothing is."""
        with self._lock:
            return self._kept.get((graph, loop))

    def list(self, *, graph: str | None = None) -> builtins.list[LoopRecord]:
        """Give the records by graph and loop, without what may be large."""
        with self._lock:
            kept = sorted(self._kept.items())
        return [light_loop(record) for key, record in kept if graph in {None, key[0]}]

    def delete(self, graph: str, loop: str | None = None) -> bool:
        """Forget a loop, or all loops of a graph; say whether there was one."""
        with self._lock:
            found = [key for key in self._kept if key[0] == graph and loop in {None, key[1]}]
            for key in found:
                del self._kept[key]
        return bool(found)

    def close(self) -> None:
        """Nothing is open; what is kept stays as long as this object."""
