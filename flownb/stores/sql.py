"""How are runs, graphs and checkpoints kept in a database? A few tables, the same SQL for all.

SQLite is reached through Python's own module, every other database through SQLAlchemy:
both take `:name` for a value, and nothing below is special to one of them.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from flownb.errors import StoreError
from flownb.stores.base import (
    PARTS,
    GraphRecord,
    LoopRecord,
    RunRecord,
    Step,
    check_asked,
    graph_name,
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
    from flownb.records.workflow_run import RunStatus

T = TypeVar("T")
Params = Mapping[str, Any]

# {slim}: what makes a database keep the rows of steps in the order of their key, if it can
SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS flownb_runs (
        run_id TEXT PRIMARY KEY, graph TEXT NOT NULL, status TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL, updated DOUBLE PRECISION NOT NULL,
        attempt INTEGER NOT NULL, error TEXT,
        input TEXT NOT NULL, state TEXT NOT NULL, shape TEXT NOT NULL, options TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS flownb_runs_graph ON flownb_runs (graph, created)",
    "CREATE INDEX IF NOT EXISTS flownb_runs_status ON flownb_runs (status, created)",
    "CREATE INDEX IF NOT EXISTS flownb_runs_created ON flownb_runs (created)",
    """CREATE TABLE IF NOT EXISTS flownb_steps (
        run_id TEXT NOT NULL, seq INTEGER NOT NULL, node TEXT NOT NULL, visit INTEGER NOT NULL,
        kind TEXT NOT NULL, starts DOUBLE PRECISION NOT NULL, ends DOUBLE PRECISION NOT NULL,
        attempts INTEGER NOT NULL, output TEXT, live TEXT, error TEXT, part INTEGER NOT NULL,
        changed TEXT,
        PRIMARY KEY (run_id, seq)) {slim}""",
    """CREATE TABLE IF NOT EXISTS flownb_graphs (
        name TEXT NOT NULL, version INTEGER NOT NULL, saved DOUBLE PRECISION NOT NULL,
        document TEXT NOT NULL, PRIMARY KEY (name, version))""",
    """CREATE TABLE IF NOT EXISTS flownb_loops (
        graph TEXT NOT NULL, loop TEXT NOT NULL, number BIGINT NOT NULL, owner TEXT NOT NULL,
        saved DOUBLE PRECISION NOT NULL, status TEXT NOT NULL, position BIGINT NOT NULL,
        content TEXT NOT NULL, counts TEXT NOT NULL, PRIMARY KEY (graph, loop))""",
)
_HEAD: Final = "run_id, graph, status, created, updated, attempt, error"
_SAVE: Final = f"""INSERT INTO flownb_runs ({_HEAD}, input, state, shape, options)
    VALUES (:run_id, :graph, :status, :created, :updated, :attempt, :error,
            :input, :state, :shape, :options)
    ON CONFLICT (run_id) DO UPDATE SET graph = excluded.graph, status = excluded.status,
        created = excluded.created, updated = excluded.updated, attempt = excluded.attempt,
        error = excluded.error, input = excluded.input, state = excluded.state,
        shape = excluded.shape, options = excluded.options"""  # noqa: S608 - constants
_UPDATE: Final = """UPDATE flownb_runs SET status = :status, updated = :updated,
    attempt = :attempt, error = :error, state = :state
    WHERE run_id = :run_id AND graph = :graph AND created = :created"""
_STEP: Final = "seq, node, visit, kind, starts, ends, attempts, output, live, error, part, changed"
_STEPS: Final = f"flownb_steps (run_id, {_STEP})"
_LAST: Final = "SELECT MAX(seq) FROM flownb_steps WHERE run_id = :run_id"
_FILTERS: Final = {
    "graph": "graph = :graph", "status": "status = :status",
    "since": "created >= :since", "until": "created < :until",
}  # fmt: skip
_TRIES: Final = 10
_LOOP: Final = tuple(f.name for f in fields(LoopRecord))
_LOOP_COLUMNS: Final = ", ".join(_LOOP)
_LOOP_HEAD: Final = ", ".join(_LOOP[:-2])
_LOOP_FIRST: Final = f"""INSERT INTO flownb_loops ({_LOOP_COLUMNS})
    VALUES ({", ".join(f":{name}" for name in _LOOP)})"""  # noqa: S608 - constants
_LOOP_NEXT: Final = f"""UPDATE flownb_loops SET {", ".join(f"{n} = :{n}" for n in _LOOP[2:])}
    WHERE graph = :graph AND loop = :loop AND number = :number - 1"""  # noqa: S608 - constants
_OF_LOOP: Final = "WHERE graph = :graph AND loop = :loop"


class Taken(Exception):
    """A row of this key is there already."""


class Lost(Exception):
    """The connection broke; whether what was sent arrived is not known."""


class Database(Protocol):
    """A connection, safe to use from any thread; raises StoreError, `Taken` and `Lost`."""

    where: str

    def write(self, *statements: tuple[str, Params | list[Params]]) -> int:
        """Carry out statements in one transaction; give the rows that the last one changed."""

    def insert(self, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows to a table, named with its columns: all or none, in one transaction."""

    def rows(self, sql: str, params: Params) -> list[Any]:
        """Give the rows of a query."""

    def close(self) -> None:
        """Let go of the connection."""


class SqlRuns:
    """Runs in a database."""

    def __init__(self, database: Database, *, quick: bool, max_bytes: int = MAX_BYTES) -> None:
        self._database, self.quick, self.max_bytes = database, quick, max_bytes
        self._going_on: RunRecord | None = None  # the head that was saved last, unless it is over

    def save(self, run: RunRecord) -> None:
        """Keep the head of a run, or replace it; what cannot have changed is not sent again."""
        head = {name: getattr(run, name) for name in _HEAD.split(", ")}
        known = self._going_on is not None and _is_same(run, self._going_on)
        self._going_on = run if run.status == "running" else None
        if known:
            state = head | written(run, max_bytes=self.max_bytes, parts=["state"])
            if again(lambda: self._database.write((_UPDATE, state))):
                return
        texts = written(run, max_bytes=self.max_bytes)
        again(lambda: self._database.write((_SAVE, head | texts)))

    def append(self, run_id: str, steps: Sequence[Step]) -> None:
        """Add steps, all or none."""
        check_asked(run_id=run_id)
        rows = [_row(run_id, step) for step in steps]
        if not rows:
            return
        try:
            self._database.insert(_STEPS, rows)
        except Taken:
            raise taken_over(run_id) from None
        except Lost:
            self._append_again(run_id, rows)

    def _append_again(self, run_id: str, rows: builtins.list[tuple[Any, ...]]) -> None:
        """Look whether what was under way when the connection broke arrived; else send it."""
        try:
            last = self._database.rows(_LAST, {"run_id": run_id})[0][0]
            if last is None or last < rows[0][1]:
                self._database.insert(_STEPS, rows)
        except (Taken, Lost) as error:
            raise StoreError(f"run {run_id!r} cannot be kept: {error}") from None

    def load(self, run_id: str) -> RunRecord:
        """Give a run with its steps."""
        check_asked(run_id=run_id)
        of = {"run_id": run_id}
        sql = (
            f"SELECT {_HEAD}, input, state, shape, options FROM flownb_runs WHERE run_id = :run_id"  # noqa: S608
        )
        heads = again(lambda: self._database.rows(sql, of))
        if not heads:
            raise unknown_run(run_id, self._database.where)
        sql = f"SELECT {_STEP} FROM flownb_steps WHERE run_id = :run_id ORDER BY seq"  # noqa: S608
        steps = again(lambda: self._database.rows(sql, of))
        head = dict(zip(_HEAD.split(", "), heads[0], strict=False))
        parts = dict(zip(PARTS, map(decode, heads[0][len(head) :]), strict=True))
        return RunRecord(**(head | parts | {"steps": tuple(map(_step, steps))}))

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
        asked = {"graph": graph, "status": status, "since": since, "until": until}
        given = {name: value for name, value in asked.items() if value is not None}
        where = " AND ".join(_FILTERS[name] for name in given) or "1 = 1"
        sql = (
            f"SELECT {_HEAD} FROM flownb_runs WHERE {where} "  # noqa: S608 - of constants only
            "ORDER BY created DESC, run_id LIMIT :most"
        )
        rows = again(lambda: self._database.rows(sql, {**given, "most": limit}))
        return [RunRecord(*row) for row in rows]

    def delete(self, run_id: str) -> bool:
        """Forget a run; say whether there was one."""
        check_asked(run_id=run_id)
        of = {"run_id": run_id}
        steps = ("DELETE FROM flownb_steps WHERE run_id = :run_id", of)
        head = ("DELETE FROM flownb_runs WHERE run_id = :run_id", of)
        return bool(again(lambda: self._database.write(steps, head)))

    def close(self) -> None:
        """Let go of the connection."""
        self._database.close()


class SqlGraphs:
    """Graphs in a database."""

    def __init__(self, database: Database, *, max_bytes: int = MAX_BYTES) -> None:
        self._database, self.max_bytes = database, max_bytes

    def save(self, document: Mapping[str, Any]) -> GraphRecord:
        """Keep what `Graph.to_dict` gave; an unchanged graph keeps its version."""
        name, text = graph_name(document), written_graph(document, self.max_bytes)
        for _ in range(_TRIES):
            versions = self._versions(name, "version, saved, document", "LIMIT 1")
            if versions and versions[0][2] == text:
                return GraphRecord(name, *versions[0][:2])
            made = GraphRecord(name, (versions[0][0] if versions else 0) + 1, now())
            row = {"name": name, "version": made.version, "saved": made.saved, "document": text}
            sql = "INSERT INTO flownb_graphs VALUES (:name, :version, :saved, :document)"
            try:
                self._database.write((sql, row))
            except (Taken, Lost):
                continue  # somebody else saved a version just now, or we did: look again
            return made
        raise StoreError(f"graph {name!r} could not be saved in {_TRIES} tries")

    def load(self, name: str, version: int | None = None) -> GraphRecord:
        """Give a version of a graph, the newest if none is named."""
        check_asked(name=name, version=version)
        for found in self._versions(name, "version, saved, document", ""):
            if version in {None, found[0]}:
                return GraphRecord(name, found[0], found[1], decode(found[2]))
        raise unknown_graph(name, version, self._database.where)

    def list(self, *, name: str | None = None) -> builtins.list[GraphRecord]:
        """Give the newest version of each graph, or all versions of one, newest first."""
        if name is not None:
            return [GraphRecord(name, *row) for row in self._versions(name, "version, saved", "")]
        sql = (
            "SELECT name, version, saved FROM flownb_graphs g WHERE version = (SELECT MAX(version) "
            "FROM flownb_graphs WHERE name = g.name) ORDER BY name"
        )
        return [GraphRecord(*row) for row in again(lambda: self._database.rows(sql, {}))]

    def delete(self, name: str, version: int | None = None) -> bool:
        """Forget a graph or one of its versions; say whether there was one."""
        check_asked(name=name, version=version)
        one = "" if version is None else " AND version = :version"
        params = {"name": name} if version is None else {"name": name, "version": version}
        sql = f"DELETE FROM flownb_graphs WHERE name = :name{one}"  # noqa: S608 - constants
        return bool(again(lambda: self._database.write((sql, params))))

    def _versions(self, name: str, columns: str, limit: str) -> builtins.list[Any]:
        sql = (
            f"SELECT {columns} FROM flownb_graphs WHERE name = :name "  # noqa: S608 - constants
            f"ORDER BY version DESC {limit}"
        )
        return again(lambda: self._database.rows(sql, {"name": name}))


class SqlLoops:
    """Checkpoints of loops in a database."""

    def __init__(self, database: Database, *, max_bytes: int = MAX_BYTES) -> None:
        self._database, self.max_bytes = database, max_bytes

    def save(self, record: LoopRecord) -> None:
        """Replace the record whose number is one lower."""
        statement = _LOOP_FIRST if record.number == 1 else _LOOP_NEXT
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
        sql = f"SELECT {_LOOP_COLUMNS} FROM flownb_loops {_OF_LOOP}"  # noqa: S608 - constants
        found = self._rows(sql, graph=graph, loop=loop)
        return LoopRecord(*found[0]) if found else None

    def list(self, *, graph: str | None = None) -> builtins.list[LoopRecord]:
        """Give the records by graph and loop, without what may be large."""
        rows = self._rows(f"SELECT {_LOOP_HEAD} FROM flownb_loops ORDER BY graph, loop")  # noqa: S608
        return [r for r in (LoopRecord(*row) for row in rows) if graph in {None, r.graph}]

    def delete(self, graph: str, loop: str | None = None) -> bool:
        """Forget a loop, or all loops of a graph; say whether there was one."""
        where = "WHERE graph = :graph" if loop is None else _OF_LOOP
        sql = f"DELETE FROM flownb_loops {where}"  # noqa: S608 - constants
        return bool(self._write(sql, {"graph": graph, "loop": loop}))

    def _rows(self, sql: str, **params: str) -> builtins.list[Any]:
        return again(lambda: self._database.rows(sql, params))

    def close(self) -> None:
        """Let go of the connection."""
        self._database.close()


def again(ask: Callable[[], T]) -> T:
    """Ask once more if the connection broke: nothing asked like this minds being asked twice."""
    try:
        return ask()
    except Lost:
        try:
            return ask()
        except Lost as error:
            raise StoreError(str(error)) from None


def _is_same(run: RunRecord, other: RunRecord) -> bool:
    """Whether two heads differ in nothing but how far the run is."""
    fixed = ("input", "shape", "options")
    same = all(getattr(run, part) is getattr(other, part) for part in fixed)
    return same and (run.run_id, run.graph, run.created) == (
        other.run_id, other.graph, other.created,
    )  # fmt: skip


def _row(run_id: str, step: Step) -> tuple[Any, ...]:
    live = None if step.live is None else encode(list(step.live), "live")
    return (
        run_id, step.seq, step.node, step.visit, step.kind, step.start, step.end, step.attempts,
        step.output, live, step.error, step.part, step.changed,
    )  # fmt: skip


def _step(row: Sequence[Any]) -> Step:
    seq, node, visit, kind, start, end, attempts, output, live, error, part, changed = row
    onward = None if live is None else tuple(decode(live))
    return Step(seq, node, visit, kind, start, end, attempts, output, onward, error, part, changed)
