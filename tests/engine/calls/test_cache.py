"""Is a node with `cache=` called once for equal inputs, and never given what is not its own?"""

from __future__ import annotations

import asyncio
import collections
import copy
import enum
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from flownb import Graph, Retry
from flownb.engine.calls.digest import digest
from flownb.errors import GraphError
from flownb.model.nodes import BlockingNode, NodeConfig
from flownb.model.tools import ToolRegistry
from flownb.stores import open_store


class Counted:
    """A function that counts its calls."""

    def __init__(self, fn):
        self.fn, self.calls = fn, 0

    def __call__(self, *args):
        self.calls += 1
        return self.fn(*args)


def one(fn, **options):
    counted = Counted(fn)
    return Graph("one").add_node("n", counted, **{"cache": True, **options}), counted


def statuses(run):
    return [(e.node, e.status) for e in run.logs]


def test_an_equal_input_gives_the_kept_result_and_log_and_metrics_say_so():
    graph, double = one(lambda s: {"n": s["x"] * 2})
    assert graph.run({"x": 2}).state == {"x": 2, "n": 4}
    run = graph.run({"x": 2})
    assert (run.state, double.calls) == ({"x": 2, "n": 4}, 1)
    assert (run.status, run.visited, run.nodes) == ("completed", ["n"], {"n": "completed"})
    assert repr(run) == "WorkflowRun('one': completed, 0 calls, 1 cached, state {'x': 2, 'n': 4})"
    assert "cached" in run.svg()
    (entry,) = run.logs
    assert (entry.status, entry.attempt, entry.output) == ("cached", 0, "{'n': 4}")
    assert "n: cached: {'n': 4}" in str(entry)
    metrics = run.metrics.nodes["n"]
    assert (metrics.calls, metrics.cached, metrics.state) == (0, 1, "healthy")
    assert graph.run({"x": 3}).state["n"] == 6
    assert double.calls == 2


@pytest.mark.parametrize("rule", ["dataflow", "level", "sequential"])
def test_what_stands_before_and_behind_it_runs_as_ever(rule):
    graph, slow = one(lambda s: {"n": s["x"]})
    graph.add_node("a", lambda s: {"x": s["x"] + 1}).add_edge("a", "n")
    graph.add_node("b", lambda s: {"m": s["n"]}).add_edge("n", "b")
    for _ in range(2):
        run = graph.run({"x": 1}, start_rule=rule)
        assert run.state == {"x": 2, "n": 2, "m": 2}
    assert statuses(run) == [("a", "completed"), ("n", "cached"), ("b", "completed")]
    assert slow.calls == 1


def test_an_async_node_on_the_notebooks_event_loop_is_cached_too():
    calls = []

    async def slow(state):
        calls.append(state)
        await asyncio.sleep(0)
        return {"n": 1}

    async def twice():
        graph = Graph("aio").add_node("slow", slow, cache=True)
        return [(await graph.arun({})).state for _ in range(2)]

    assert asyncio.run(twice()) == [{"n": 1}, {"n": 1}]
    assert len(calls) == 1


def test_in_a_cycle_a_pass_that_sees_what_an_earlier_one_saw_is_not_called():
    parity = Counted(lambda n: n % 2)
    graph = (
        Graph("round")
        .add_node("flip", lambda n: 1 - n)
        .add_node("parity", parity, cache=True)
        .add_if("more?", Counted(lambda _: iter_left.pop()))
        .add_edge("flip", "parity", "more?")
        .add_edge("more?", "flip", when=True)
    )
    iter_left = [False, True, True, True]
    run = graph.run(0)
    kept = [e.status for e in run.logs if e.node == "parity"]
    assert (kept, parity.calls) == (["completed", "completed", "cached", "cached"], 2)


def test_a_map_calls_once_for_elements_that_come_again():
    graph, square = one(lambda x: x * x, over="xs", into="squares")
    assert graph.run({"xs": [1, 2, 3]}).state["squares"] == [1, 4, 9]
    assert graph.run({"xs": [3, 4, 1]}).state["squares"] == [9, 16, 1]
    assert square.calls == 4


def test_a_step_gives_what_a_run_has_kept_and_the_other_way_round():
    graph, double = one(lambda s: {"n": s["x"] * 2})
    assert graph.step("n", {"x": 1}) == graph.step("n", {"x": 1}) == {"n": 2}
    assert graph.run({"x": 1}).logs[0].status == "cached"
    assert double.calls == 1


def test_a_loop_is_not_called_again_for_an_equal_item_and_two_simulations_are_alike():
    double = Counted(lambda x: x * 2)
    graph = Graph("loop").add_producer("xs", [1, 2, 1, 2, 1]).add_edge("xs", "double", "sink")
    graph.add_node("double", double, cache=True, takes=1, keep=5).add_node("sink", keep=5)
    sims = [graph.simulate() for _ in range(2)]
    assert [s.outputs("sink", last=5) for s in sims] == [[2, 4, 2, 4, 2]] * 2
    assert sims[0].digest == sims[1].digest
    assert sims[0].duration == 2  # three of five took no time
    assert double.calls == 4  # each simulation has a cache of its own
    assert sims[0].metrics["xs"].nodes["double"].cached == 3


@pytest.mark.parametrize("pool", ["thread", "asyncio"])
def test_a_live_loop_keeps_results_in_its_process(pool):
    double = Counted(lambda x: x * 2)
    graph = Graph(f"live {pool}").add_producer("xs", [1, 2, 1, 2, 1]).add_edge("xs", "double")
    graph.add_node("double", double, cache=True, keep=5).set_loop("xs", pool=pool)

    async def main():
        async with graph.start() as orch:
            await orch.wait(timeout=20)
            return orch.outputs("double", last=5), orch.metrics()["xs"].nodes["double"]

    outputs, metrics = asyncio.run(main())
    assert outputs == [2, 4, 2, 4, 2]
    assert (double.calls, metrics.calls, metrics.cached) == (2, 2, 3)


# -- what is equal ----------------------------------------------------------------------


class Point(BaseModel):
    x: float
    tags: list[str] = []


@dataclass
class Pair:
    a: int
    b: list[int]


INPUTS = [
    lambda n: {"list": [n, {"deep": {n, "x"}}], "none": None},
    lambda n: np.arange(10.0) * n,
    lambda n: np.array([["a", n], [None, 2]], dtype=object),
    lambda n: pd.DataFrame({"a": [1, n], "b": ["x", "y" * n], "c": pd.Categorical(["u", "v"])}),
    lambda n: pd.DataFrame({"t": pd.to_datetime(["2024-01-01"] * 2, utc=True), "n": [n, None]}),
    lambda n: pd.Series([[1], {"k": n}], index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])),
    lambda n: Point(x=n, tags=["a"] * n),
    lambda n: Pair(n, [n]),
    lambda n: (pd.Timestamp("2024-01-01"), n, b"\x00", float("nan"), 1j),
    lambda n: ["ab" * i for i in range(2000)] + [n],
]


@pytest.mark.parametrize("make", INPUTS)
def test_inputs_are_compared_by_value_whatever_they_are(make):
    graph, fn = one(lambda s: {"seen": repr(s["v"])})
    graph.run({"v": make(1)})
    assert graph.run({"v": make(1)}).logs[0].status == "cached"
    assert graph.run({"v": make(2)}).logs[0].status == "completed"
    assert fn.calls == 2


class Colour(enum.Enum):
    RED, GREEN = 1, 2


def frame(values, **options):
    return pd.DataFrame({"a": pd.Series(values, **options)})


DIFFERENT = [
    1, 1.0, True, "1", b"1", 1j, None, ..., 0.0, -0.0, float("nan"), [1], (1,), {1}, frozenset({1}),
    [], (), {}, set(), {"a": 1}, collections.Counter("a"), collections.OrderedDict(a=1),
    collections.deque([1]), collections.deque([1], maxlen=3), range(3), range(4), slice(1),
    date(2020, 1, 1), datetime.fromisoformat("2020-01-01"), datetime(2020, 1, 1, tzinfo=UTC),
    Decimal(1), Decimal("1.0"), UUID(int=1), Path("/a"), Path("/b"), Colour.RED, Colour.GREEN,
    int, len,
    np.float64(1), np.float32(1), np.int64(1), np.array(1), np.array([1]), np.array([[1]]),
    np.array([1.0]), np.array(["a"]), np.array(["a"], dtype=object), np.datetime64("2020-01-01"),
    np.ma.array([1], mask=[0]), np.ma.array([1], mask=[1]), frame([]), frame([1]), frame(["1"]),
    frame([1.0]), frame([1], index=[5]), frame([1, None], dtype="Int64"),
    frame([1, 2], dtype="Int64"), frame(["x", None], dtype="string"),
    frame(["x", "y"], dtype="category"), frame(pd.Categorical(["x", "y"], ordered=True)),
    frame(pd.Categorical(["x", "y"], categories=["y", "x"])), pd.Series([1], name="a"),
    pd.Series([1], name="b"), pd.Index([0, 1, 2]), pd.RangeIndex(3), pd.Index([1]),
    pd.date_range("2020", periods=2), pd.date_range("2020", periods=2, tz="UTC"),
    pd.IntervalIndex.from_breaks([0, 1, 2]), pd.period_range("2020", periods=2),
]  # fmt: skip


def test_values_that_differ_have_different_digests_and_their_copies_have_the_same():
    found = {digest(value): value for value in DIFFERENT}
    assert len(found) == len(DIFFERENT)
    for key, value in found.items():
        assert digest(copy.deepcopy(value)) == key, value


def test_a_number_a_truth_and_a_text_are_three_inputs_and_the_order_of_keys_is_none():
    graph, fn = one(lambda s: {"t": type(s["v"]).__name__})
    assert [graph.run({"v": v}).state["t"] for v in (1, True, 1.0, "1")] == [
        "int", "bool", "float", "str"
    ]  # fmt: skip
    graph.run({"v": 1, "w": {"a": 1, "b": 2}})
    assert graph.run({"w": {"b": 2, "a": 1}, "v": 1}).logs[0].status == "cached"
    assert fn.calls == 5


def test_a_changed_cell_of_a_table_is_another_input():
    table = pd.DataFrame({"a": range(1000), "b": "x"})
    graph, _fn = one(lambda df: int(df["a"].sum()))
    assert graph.run(table).state == 499_500
    assert graph.run(table.copy()).logs[0].status == "cached"
    table.loc[500, "a"] = -1
    assert graph.run(table).logs[0].status == "completed"
    assert graph.run(table.rename(columns={"b": "c"})).logs[0].status == "completed"
    assert graph.run(table.astype({"a": "int32"})).logs[0].status == "completed"


def test_two_bare_objects_are_two_inputs_and_one_is_one():
    graph, fn = one(lambda s: {"n": 1})
    first, second = object(), object()
    runs = [graph.run({"v": v}, copy=False) for v in (first, first, second)]
    assert [run.logs[0].attempt for run in runs] == [1, 0, 1]
    assert fn.calls == 2


def test_a_state_model_is_an_input_like_any_other():
    graph = Graph("model", state_model=Point)
    fn = Counted(lambda p: {"x": p.x + 1})
    graph.add_node("n", fn, cache=True)
    assert [graph.run({"x": 1}).state.x for _ in range(2)] == [2, 2]
    assert fn.calls == 1


def test_a_function_may_say_what_of_the_input_matters():
    graph, _fn = one(lambda s: {"n": s["x"]}, cache=lambda s: s["x"])
    graph.run({"x": 1, "when": 1})
    assert graph.run({"x": 1, "when": 2}).logs[0].status == "cached"
    assert graph.run({"x": 2, "when": 2}).logs[0].status == "completed"
    with pytest.raises(KeyError):
        graph.run({"when": 2})


def test_what_cannot_be_compared_or_copied_is_called_and_said_to_be_in_the_log():
    graph, fn = one(lambda s: {"n": 1})
    runs = [graph.run({"lock": lock}) for lock in [threading.Lock()] * 2]
    assert fn.calls == 2
    (line,) = runs[1].lines
    assert (line.level, line.node) == ("warning", "n")
    assert "cannot pickle '_thread.lock' object" in line.text
    graph, _ = one(lambda s: {"lock": threading.Lock()})
    assert [graph.run({}).logs[0].status for _ in range(2)] == ["completed", "completed"]


# -- which function ---------------------------------------------------------------------


def cell(source, **names):
    """Run a cell of a notebook; give what it defined."""
    space = {"__name__": "__main__", **names}
    exec(source, space)
    return space


def twice_with(first, second):
    graph = Graph("cells").add_node("f", first, cache=True)
    graph.clear_cache()
    graph.run(1)
    again = Graph("cells").add_node("f", second, cache=True).run(1)
    return again.logs[0].status


def test_a_redefined_function_is_called_and_the_same_cell_run_twice_is_not_another():
    f = cell("def f(x):\n    return x + 1")["f"]
    same = cell("\n\ndef f(x):\n    return x + 1")["f"]
    other = cell("def f(x):\n    return x + 2")["f"]
    default = cell("def f(x, step=2):\n    return x + 1")["f"]
    assert twice_with(f, f) == twice_with(f, same) == "cached"
    assert twice_with(f, other) == twice_with(f, default) == "completed"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A = 1\ndef f(x):\n    return x + A", "A = 2\ndef f(x):\n    return x + A"),
        (
            "def g(x):\n    return x\ndef f(x):\n    return g(x)",
            "def g(x):\n    return -x\ndef f(x):\n    return g(x)",
        ),
        ("f = (lambda a: lambda x: x + a)(1)", "f = (lambda a: lambda x: x + a)(2)"),
        (
            "import functools\ndef g(a, x):\n    return a\nf = functools.partial(g, 1)",
            "import functools\ndef g(a, x):\n    return a\nf = functools.partial(g, 2)",
        ),
        (
            "def f(x):\n    return [i for i in range(x) if i in {1, 2}]",
            "def f(x):\n    return [i for i in range(x) if i in {1, 3}]",
        ),
    ],
)
def test_what_the_function_reads_belongs_to_it(before, after):
    assert twice_with(cell(before)["f"], cell(before)["f"]) == "cached"
    assert twice_with(cell(before)["f"], cell(after)["f"]) == "completed"


def test_a_function_that_counts_its_own_calls_is_the_same_function():
    space = cell(
        "n, seen, log = 0, [], {'n': 0}\n"
        "def f(x):\n    global n\n    n += 1\n    seen.append(x)\n    log['n'] += 1\n    return x\n"
    )
    assert twice_with(space["f"], space["f"]) == "cached"
    assert (space["n"], space["seen"], space["log"]) == (1, [1], {"n": 1})


def test_a_dict_that_it_reads_is_compared_by_content_and_one_that_it_fills_is_its_own_affair():
    space = cell(
        "rates, seen = {'a': 2}, {}\ndef f(x):\n    seen[x] = 1\n    return rates['a'] * x\n"
    )
    graph = Graph("contents").add_node("f", space["f"], cache=True)
    graph.clear_cache()
    assert [(graph.run(3).state, graph.last_run.cached) for _ in range(2)] == [(6, 0), (6, 1)]
    space["rates"]["a"] = 5
    assert [(graph.run(3).state, graph.last_run.cached) for _ in range(2)] == [(15, 0), (15, 1)]


def test_what_somebody_else_changes_during_the_call_is_no_reason_to_keep_its_result():
    rates, begun, changed = {"a": 2}, threading.Semaphore(0), threading.Semaphore(0)

    def elsewhere():
        for _ in range(2):
            begun.acquire()
            rates["a"] += 1
            changed.release()

    def f(x):
        begun.release()
        changed.acquire()
        return rates["a"]

    graph = Graph("elsewhere").add_node("f", f, cache=True)
    graph.clear_cache()
    thread = threading.Thread(target=elsewhere)
    thread.start()
    assert [graph.run(0).state for _ in range(2)] == [3, 4]
    thread.join()
    assert "was changed while it was called" in graph.last_run.lines[0].text


def test_an_import_inside_that_the_first_call_carries_out_does_not_cost_a_second_call(
    tmp_path, monkeypatch
):
    (tmp_path / "first_call_mod.py").write_text("RATE = 2\n")
    monkeypatch.syspath_prepend(tmp_path)

    def f(x):
        import first_call_mod

        return first_call_mod.RATE

    graph = Graph("inside").add_node("f", f, cache=True)
    graph.clear_cache()
    assert [graph.run(0).cached for _ in range(2)] == [0, 1]
    sys.modules.pop("first_call_mod").RATE = 3
    assert graph.run(0).cached == 0


def test_a_class_node_whose_method_is_patched_in_place_is_called():
    class Twice(BlockingNode):
        def run(self, data):
            return data.payload * 2

    graph = Graph("patched").add_node("n", Twice(), cache=True)
    assert [(graph.run(2).state, graph.last_run.cached) for _ in range(2)] == [(4, 0), (4, 1)]
    Twice.run = lambda self, data: data.payload * 3
    assert (graph.run(2).state, graph.last_run.cached) == (6, 0)


class Amount:
    def __init__(self, n):
        self.n = n

    def doubled(self):
        return self.n * 2


def test_a_class_of_the_input_that_is_patched_in_place_makes_another_input(monkeypatch):
    graph, fn = one(lambda s: {"n": s["v"].doubled()})
    assert [graph.run({"v": Amount(2)}).state["n"] for _ in range(2)] == [4, 4]
    monkeypatch.setattr(Amount, "doubled", lambda self: self.n * 3)
    assert graph.run({"v": Amount(2)}).state["n"] == 6
    assert fn.calls == 2


def test_a_function_that_calls_itself_and_two_that_call_each_other_are_followed():
    source = (
        "def even(n):\n    return n == 0 or odd(n - 1)\n"
        "def odd(n):\n    return n != 0 and even(n - {})\nf = even"
    )
    one, two = (cell(source.format(n))["f"] for n in (1, 2))
    assert twice_with(one, cell(source.format(1))["f"]) == "cached"
    assert twice_with(one, two) == "completed"


def test_other_tools_are_another_function():
    def price(state, ctx):
        return {"price": ctx.tools.call("rate") * state["n"]}

    def tools(rate):
        registry = ToolRegistry()
        registry.register("rate", lambda: rate)
        return registry

    graph = Graph("tools").add_node("price", price, cache=True)
    found = [graph.run({"n": 2}, tools=tools(rate)) for rate in (3, 3, 4)]
    assert [run.state["price"] for run in found] == [6, 6, 8]
    assert [run.cached for run in found] == [0, 1, 0]


def test_config_and_class_nodes_have_results_of_their_own():
    class Scale(BlockingNode):
        class Config(NodeConfig):
            factor: float = 2.0

        def run(self, data):
            seen.append(data.payload)
            return data.payload * self.config.factor

    seen = []
    graph = Graph("scale").add_node("n", Scale(factor=3), cache=True)
    assert [graph.run(2).state, graph.run(2).state, len(seen)] == [6, 6, 1]
    graph.add_node("n", Scale(factor=4), cache=True)
    assert [graph.run(2).state, len(seen)] == [8, 2]


# -- what is kept -----------------------------------------------------------------------


def test_nobody_can_change_what_is_kept():
    graph, fn = one(lambda s: {"found": [1, 2]})
    for _ in range(3):
        run = graph.run({})
        assert run.state["found"] == [1, 2]
        run.state["found"].append(99)
    assert fn.calls == 1


def test_a_failure_is_not_kept_and_a_retried_success_is():
    fails = [True, True, False]

    def shaky(state):
        if fails and fails.pop(0):
            raise OSError("not yet")
        return {"n": 1}

    retry = Retry(on=OSError, attempts=2, wait_initial=0)
    graph = Graph("shaky").add_node("n", shaky, cache=True, retry=retry)
    with pytest.raises(OSError, match="not yet"):
        graph.run({})
    assert statuses(graph.run({})) == [("n", "completed")]
    assert statuses(graph.run({})) == [("n", "cached")]


def test_what_came_after_its_timeout_is_not_kept():
    graph = Graph("late").add_node("n", slow_then_quick := SlowOnce(), cache=True, timeout=0.05)
    with pytest.raises(TimeoutError):
        graph.run({})
    slow_then_quick.go_on.set()
    assert graph.run({}).state == {"call": 2}


class SlowOnce:
    """Its first call lasts until it is told to end."""

    def __init__(self):
        self.calls, self.go_on = 0, threading.Event()

    def __call__(self, state):
        self.calls += 1
        call = self.calls
        if call == 1:
            self.go_on.wait(20)
        return {"call": call}


def test_only_so_many_results_are_kept_and_the_least_wanted_goes_first():
    graph, _ = one(lambda n: n, cache=2)
    for n in (1, 2, 1, 3):
        graph.run(n)
    assert [graph.run(n).logs[0].status for n in (1, 3, 2)] == ["cached", "cached", "completed"]
    graph, _fn = one(lambda n: n)
    for n in range(140):
        graph.run(n)
    assert graph.clear_cache() == 128


def test_results_are_forgotten_on_demand_by_node_or_all():
    graph, _fn = one(lambda n: n)
    other = Counted(lambda n: n)
    graph.add_node("m", other, cache=True).add_edge("n", "m")
    graph.clear_cache()
    graph.run(1)
    assert graph.clear_cache("m") == 1
    assert statuses(graph.run(1)) == [("n", "cached"), ("m", "completed")]
    assert (graph.clear_cache(), graph.clear_cache()) == (2, 0)
    with pytest.raises(Exception, match="there is no node 'x'"):
        graph.clear_cache("x")


def test_many_runs_at_once_share_results_without_mixing_them_up():
    graph, _fn = one(lambda s: {"n": s["x"] * 2}, cache=5)
    wrong = []

    def work(k):
        for i in range(20):
            x = (i + k) % 10
            if graph.run({"x": x}).state != {"x": x, "n": x * 2}:
                wrong.append(x)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_a_node_behind_a_failed_one_is_not_given_what_it_gave_without_the_failure():
    fails = []

    def source(state):
        if fails:
            raise ValueError("no")

    def behind(state, ctx):
        return {"failed": list(ctx.failed)}

    graph = Graph("behind").add_node("a", source, on_error="continue")
    graph.add_node("b", behind, cache=True).add_edge("a", "b")
    assert graph.run({}).state == {"failed": []}
    fails.append(1)
    assert graph.run({}).state == {"failed": ["a"]}


def test_middleware_sees_every_call_and_what_it_changes_is_the_input():
    async def double(call_next, node, data):
        asked.append(data.payload)
        return await call_next(type(data)(data.payload * 2, data.meta))

    asked = []
    graph, fn = one(lambda n: n + 1)
    graph.use(double)
    assert [graph.run(2).state, graph.run(2).state] == [5, 5]
    assert (asked, fn.calls) == ([2, 2], 1)


def test_a_kept_result_is_a_step_of_a_run_that_is_kept_and_taken_up():
    store, fails = open_store("memory://"), [True]

    def end(state):
        if fails.pop():
            raise ValueError("broken")

    graph, fn = one(lambda s: {"n": s["x"]})
    graph.run({"x": 1})
    graph.add_node("end", end).add_edge("n", "end")
    with pytest.raises(ValueError, match="broken"):
        graph.run({"x": 1}, store=store, run_id="r")
    fails.append(False)
    run = graph.resume("r")
    assert (run.state, run.nodes["n"], fn.calls) == ({"x": 1, "n": 1}, "skipped", 1)


def test_what_has_no_meaning_is_refused():
    with pytest.raises(GraphError, match="cache= has no meaning where there is no function"):
        Graph("g").add_node("n", cache=True)
    for wrong in (-1, "yes", None):
        with pytest.raises(GraphError, match="cache="):
            Graph("g").add_node("n", len, cache=wrong)


def test_it_is_written_down_and_read_again():
    tools = ToolRegistry()
    tools.register("n", len)
    tools.register("key", repr)
    for cache in (True, 5, repr):
        graph = Graph("g").add_node("n", len, cache=cache)
        assert Graph.from_dict(graph.to_dict(tools=tools), tools=tools).nodes["n"].cache is cache
    assert "cache" not in Graph("g").add_node("n", len).to_dict(tools=tools)["nodes"][0]
