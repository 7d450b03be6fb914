"""Does what a cell defines work in another process as it does in the notebook?"""

from __future__ import annotations

import json
import linecache
import pickle
import subprocess
import sys
import traceback

import pytest

from flownb.engine.remote.pickling import dumps, dumps_value, loads

# Runs its cell as a kernel does: in `__main__`, from a file that is on no disk.
KERNEL = """
import asyncio, json, linecache, sys
CELL = sys.stdin.read()
linecache.cache["/no/such/cell.py"] = len(CELL), None, CELL.splitlines(True), "/no/such/cell.py"
exec(compile(CELL, "/no/such/cell.py", "exec"))
asyncio.run(main())
"""
CELL = """
import dataclasses, functools, multiprocessing, pickle
from flownb import Graph

@functools.lru_cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

class Doubling:
    @functools.lru_cache(maxsize=2, typed=True)
    def double(self, n):
        return 2 * n

doubling = Doubling()

def remembered(n):
    return fib(n), fib.cache_info().misses, fib.__name__, doubling.double(n)

@dataclasses.dataclass
class Point:
    x: int

def pickled(n):
    return pickle.loads(pickle.dumps(Point(n))).x

def square(n):
    return n * n

def point(n):
    return Point(square(n))

def in_a_pool(n):
    with multiprocessing.Pool(1) as pool:
        return [p.x for p in pool.map(point, [n, 1], chunksize=1)]

def fails(n):
    if n % 2 == 0:  # ten failures in a row would pause the loop
        raise ValueError(n)  # just here

def changed(n):
    return [Point(n).twice(), pickle.loads(pickle.dumps(Point(n))).twice()]

async def main():
    graph = Graph("cells").add_producer("p", [80], every=0.01).set_loop("p", pool="process")
    for fn in (remembered, pickled, in_a_pool, fails):
        graph.add_node(fn).add_edge("p", fn)
    orch = graph.start()
    await orch.wait(timeout=30)
    outputs = [orch.outputs(n)[-1:] for n in ("remembered", "pickled", "in_a_pool")]
    await orch.stop()
    multiprocessing.set_start_method(OTHER, force=True)  # a pool of the next child is no copy
    graph.add_producer("p", [80, 81]).remove_node("fails")
    await (orch := graph.start()).wait(timeout=60)
    outputs += [orch.outputs(n)[-1:] for n in ("pickled", "in_a_pool")]
    await orch.stop()
    graph.add_producer("p", every=0.01).remove_node("in_a_pool")
    graph.add_node(fails).add_edge("p", fails)
    await (orch := graph.start()).wait(iterations=1, timeout=30)
    exec(AGAIN, globals())
    await orch.swap("pickled", changed)
    await orch.wait(iterations=orch.metrics()["p"].released + 3, timeout=30)
    failure = orch.failures()[-1]
    print(json.dumps([outputs, orch.outputs("pickled")[-1][1] > 0, failure.traceback]))
    await orch.stop()

OTHER = min({"forkserver", "spawn"} & {*multiprocessing.get_all_start_methods()})
AGAIN = '''
@dataclasses.dataclass
class Point:
    x: int

    def twice(self):
        return 2 * self.x
'''
"""


@pytest.mark.wallclock
def test_a_cell_defines_for_a_process_what_it_defines_for_a_thread():
    ran = subprocess.run(
        [sys.executable, "-c", KERNEL],
        input=CELL, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.stderr == ""
    outputs, is_new, traceback = json.loads(ran.stdout)
    assert outputs[0] == [[23416728348467685, 81, "fib", 160]]
    assert outputs[1:] == [[80], [[6400, 1]], [81], [[6561, 1]]]
    assert is_new
    assert "    raise ValueError(n)  # just here\n" in traceback


KINDS = """
import asyncio, functools, math

def plain(): 1 / 0
short = lambda: 1 / 0
def inner(): return [1 / 0 for _ in range(1)]
class Class:
    def __call__(self): 1 / 0
instance = Class()
bound = instance.__call__
partly = functools.partial(plain)
@functools.cache
def kept(): 1 / 0
def made():
    def closure(): 1 / 0
    return closure
closure = made()
def generator(): yield 1 / 0
def steps(): return [*generator()]
async def coroutine(): 1 / 0
def awaited(): return asyncio.run(coroutine())
@functools.wraps(math.sqrt)
def wrapped(): 1 / 0
def deep(): return (lambda: (lambda: 1 / 0)())()
"""
NAMES = "plain short inner instance bound partly closure steps awaited wrapped deep kept".split()  # noqa: SIM905 - shorter
TRIPS = [("there", name) for name in NAMES] + [("home", name) for name in NAMES[:-1]]


def travelled(trip, thing):
    return loads(dumps(thing)) if trip == "there" else pickle.loads(dumps_value(thing))


@pytest.mark.parametrize(("trip", "name"), TRIPS)
def test_a_traceback_shows_the_lines_of_the_cell(trip, name, monkeypatch):
    file, lines = "/no/such/kinds.py", KINDS.splitlines(keepends=True)
    monkeypatch.setitem(linecache.cache, file, (len(KINDS), None, lines, file))
    names = {"__name__": "__main__"}
    exec(compile(KINDS, file, "exec"), names)
    with pytest.raises(ZeroDivisionError) as at_home:
        names[name]()
    with pytest.raises(ZeroDivisionError) as there:
        travelled(trip, names[name])()
    shown = [traceback.format_tb(e.value.__traceback__)[-1] for e in (at_home, there)]
    assert "1 / " in shown[1]
    assert shown[1] == shown[0]


def test_the_lines_of_a_cell_travel_with_all_code_of_it():
    file, lines = "/no/such/kinds.py", KINDS.splitlines(keepends=True)
    names = {"__name__": "__main__"}
    exec(compile(KINDS, file, "exec"), names)
    for name in NAMES:
        linecache.cache[file] = len(KINDS), None, lines, file
        travelling = dumps(names[name])
        del linecache.cache[file]
        loads(travelling)
        assert linecache.getline(file, 4) == "def plain(): 1 / 0\n"
        del linecache.cache[file]
