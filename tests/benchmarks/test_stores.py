"""Does keeping a step cost little beside what SQLite itself costs? Both in turns, same run.

All is compared by the processor time of the process, all threads of it: a busy
neighbour adds least to that.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time

import pytest

from flownb import Graph
from flownb.stores import RunRecord, Step, open_store
from flownb.stores.codec import encode
from tests.support.machine import most

pytestmark = [pytest.mark.benchmark, pytest.mark.wallclock, pytest.mark.timeout(300)]

STEPS, LIMIT = 1_000, 3.0


def bare(path) -> float:
    """Seconds for one row a transaction, with the same settings."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE s (run TEXT, seq INTEGER, out TEXT, PRIMARY KEY (run, seq))")
    started = time.process_time()
    for i in range(STEPS):
        connection.execute("INSERT INTO s VALUES (?, ?, ?)", ("r" * 32, i, json.dumps({"n": i})))
    seconds = time.process_time() - started
    connection.close()
    return seconds


def ours(path) -> float:
    """Seconds for two steps a transaction: the end of a node, the start of the next one."""
    store, run_id = open_store(path), "r" * 32
    store.runs.save(RunRecord(run_id, "g", "running", 1.0, 1.0))
    started = time.process_time()
    for i in range(STEPS):
        output = encode({"n": i}, "output")
        end = Step(2 * i, "node", 0, "done", 1.0, 2.0, output=output)
        store.runs.append(run_id, [end, Step(2 * i + 1, "node", 0, "started", 1.0)])
    seconds = time.process_time() - started
    store.close()
    return seconds


def test_keeping_the_steps_of_a_node_costs_at_most_three_bare_inserts(tmp_path, figure):
    theirs, mine, ratio = [], [], LIMIT + 1
    for i in range(most(3, 40)):
        theirs.append(bare(tmp_path / f"bare {i}"))
        mine.append(ours(tmp_path / f"ours {i}"))
        ratio = min(mine) / min(theirs)
        if i >= 2 and ratio <= LIMIT:
            break
    figure("bare inserts for the steps of a node", ratio, most=LIMIT)


def plus_one(state):
    return {"n": state["n"] + 1}


def chain(fn):
    graph = Graph("chain").add_node("0", fn)
    for i in range(1, STEPS):
        graph.add_node(str(i), fn).add_edge(str(i - 1), str(i))
    return graph


async def compare_runs(graph, tmp_path) -> float:
    """Bare inserts that a node of a kept run costs."""
    theirs, mine, store = [], [], open_store(tmp_path / "runs")
    await graph.arun({"n": 0}, store=store)  # compiled, the file is made
    for i in range(most(5, 40)):
        theirs.append(bare(tmp_path / f"bare {i}"))
        started = time.process_time()
        await graph.arun({"n": 0}, store=store, persistence_interval=0)
        mine.append(time.process_time() - started)
        if i >= 4 and min(mine) / min(theirs) <= LIMIT:
            break
    store.close()
    return min(mine) / min(theirs)


def test_a_node_of_a_run_kept_at_every_step_costs_at_most_three_bare_inserts(tmp_path, figure):
    ratio = asyncio.run(compare_runs(chain(plus_one), tmp_path))
    figure("bare inserts for a node of a kept run", ratio, most=LIMIT)
