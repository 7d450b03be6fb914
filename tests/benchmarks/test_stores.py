"""Does keeping a step cost little beside what SQLite itself costs? Both in turns, same run."""

from __future__ import annotations

import json
import sqlite3
import time

import pytest

from flownb.stores import RunRecord, Step, open_store
from flownb.stores.codec import encode

pytestmark = [pytest.mark.benchmark, pytest.mark.wallclock, pytest.mark.timeout(300)]

STEPS, ROUNDS, LIMIT = 1_000, 12, 3.0


def bare(path) -> float:
    """Seconds for one row a transaction, with the same settings."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE s (run TEXT, seq INTEGER, out TEXT, PRIMARY KEY (run, seq))")
    started = time.perf_counter()
    for i in range(STEPS):
        connection.execute("INSERT INTO s VALUES (?, ?, ?)", ("r" * 32, i, json.dumps({"n": i})))
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


def ours(path) -> float:
    """Seconds for two steps a transaction: the end of a node, the start of the next one."""
    store, run_id = open_store(path), "r" * 32
    store.runs.save(RunRecord(run_id, "g", "running", 1.0, 1.0))
    started = time.perf_counter()
    for i in range(STEPS):
        output = encode({"n": i}, "output")
        end = Step(2 * i, "node", 0, "done", 1.0, 2.0, output=output)
        store.runs.append(run_id, [end, Step(2 * i + 1, "node", 0, "started", 1.0)])
    seconds = time.perf_counter() - started
    store.close()
    return seconds


def test_keeping_the_steps_of_a_node_costs_at_most_three_bare_inserts(tmp_path, record_property):
    theirs, mine, ratio = [], [], LIMIT + 1
    for i in range(ROUNDS):
        theirs.append(bare(tmp_path / f"bare {i}"))
        mine.append(ours(tmp_path / f"ours {i}"))
        ratio = min(mine) / min(theirs)
        if i >= 2 and ratio <= LIMIT:
            break
    record_property("bare inserts a node", round(ratio, 2))
    assert ratio <= LIMIT, f"{ratio:.2f} bare inserts, at most {LIMIT}"
