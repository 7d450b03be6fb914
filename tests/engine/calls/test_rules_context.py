"""What does a node see of the run: contexts, resources, config, and the life of class nodes?"""

from __future__ import annotations

import contextlib

import pytest

import flownb.engine.calls.context
from flownb import Graph
from flownb.errors import RunError
from flownb.model.nodes import BlockingNode, NodeConfig
from flownb.model.tools import ToolRegistry, tools
from tests.support.lab import boom, calls, chain, fan, seen

Context = flownb.engine.calls.context.Context
SyncContext = flownb.engine.calls.context.SyncContext


def one(fn, payload="x", **options):
    """The output of one call of a node function, and the simulation."""
    sim = chain(("a", fn, options), source=[payload]).simulate(until=99)
    assert not sim.failures(), sim.failures()[0].traceback
    return sim.outputs("a")[0], sim


# -- how a context is asked for ------------------------------------------------


def test_a_parameter_named_ctx_gets_the_context_wherever_it_stands():
    def first(ctx, item):
        return item, type(ctx)

    def last(item, ctx):
        return item, type(ctx)

    def keyword(item, *, ctx):
        return item, type(ctx)

    for fn in (first, last, keyword):
        assert one(fn)[0] == ("x", SyncContext), fn.__name__


def test_an_annotation_asks_for_it_too_as_a_class_and_as_a_string():
    def annotated(item, run):
        return item, type(run)

    for note in (SyncContext, "SyncContext", "flownb.engine.calls.context.SyncContext"):
        annotated.__annotations__ = {"run": note}
        assert one(annotated)[0] == ("x", SyncContext)


def test_a_second_parameter_of_another_name_is_not_a_context():
    def fn(item, scale=3):
        return item * scale

    assert one(fn)[0] == "xxx"


def test_a_node_may_take_the_context_alone():
    assert one(lambda ctx: ctx.meta["node"])[0] == "a"


def test_async_functions_get_a_context_whose_methods_are_awaited():
    async def fn(item, ctx):
        await ctx.sleep(2)
        return type(ctx)

    kind, sim = one(fn)
    assert kind is Context
    assert sim.releases("p") == [2]


def test_a_builtin_or_a_callable_object_is_a_node_as_well():
    class Scale:
        def __call__(self, item):
            return item * 2

    assert one(str.upper)[0] == "X"
    assert one(Scale())[0] == "xx"
    assert one(len)[0] == 1


# -- what it has ---------------------------------------------------------------


def test_meta_says_where_and_when_the_call_is():
    def fn(_, ctx):
        return dict(ctx.meta)

    assert one(fn)[0] == {"loop": "p", "node": "a", "iteration": 0, "visit": 0, "attempt": 1}


@pytest.mark.parametrize("options", [{"takes": 1}, {"timeout": 5}])
def test_the_first_attempt_is_number_one_however_the_node_is_called(options):
    assert one(lambda _, ctx: ctx.meta["attempt"], **options)[0] == 1


def test_state_is_a_dict_for_each_node_kept_between_items():
    def count(_, ctx):
        ctx.state["n"] = ctx.state.get("n", 0) + 1
        return ctx.state["n"]

    graph = chain(("a", count, {"keep": 9}), ("b", count, {"keep": 9}), source=range(3))
    sim = graph.simulate(until=9)
    assert sim.outputs("a") == sim.outputs("b") == [1, 2, 3]


def test_random_numbers_are_the_node_s_own_and_follow_the_seed():
    def draw(_, ctx):
        return ctx.rng.random()

    graph = fan(("a", draw, {}), ("b", draw, {}), source=[1])
    runs = [graph.simulate(seed=s) for s in (0, 0, 1)]
    assert runs[0].outputs("a") == runs[1].outputs("a") != runs[2].outputs("a")
    assert runs[0].outputs("a") != runs[0].outputs("b")


def test_another_node_changes_nobody_s_random_numbers():
    def draw(_, ctx):
        return ctx.rng.random()

    graph = fan(("a", draw, {"keep": 5}), source=range(5))
    before = graph.simulate().outputs("a")
    graph.add_node("b", draw).add_edge("p", "b")
    assert graph.simulate().outputs("a") == before


def test_the_clock_is_virtual_and_counts_from_the_start():
    def fn(_, ctx):
        return ctx.clock.time(), ctx.clock.virtual

    graph = chain("first", ("a", fn, {"keep": 9}), source=[1, 2], every=7)
    assert graph.simulate(until=9).outputs("a") == [(0, True), (7, True)]


def test_ctx_log_writes_lines_to_the_node_s_log():
    def fn(item, ctx):
        ctx.log("got", item, level="warning")

    _, sim = one(fn)
    assert [(x.node, x.iteration, x.level, x.text) for x in sim.logs()] == [
        ("a", 0, "warning", "got x"),
    ]


def test_config_and_tools_are_at_hand():
    registry = ToolRegistry()
    registry.register("double", lambda x: x * 2, "twice as much")

    def fn(item, ctx):
        return ctx.config["a"], ctx.tools.call("double", item)

    graph = chain(("n", fn, {"config": {"a": 1}}), source=["x"])
    assert graph.simulate(until=9, tools=registry).outputs("n") == [(1, "xx")]


def test_without_a_registry_of_its_own_a_run_has_the_one_that_is_there_for_all():
    def fn(item, ctx):
        return ctx.tools.call("test_rules_context.twice", item)

    assert one(fn)[0] == "xx"
    graph = Graph("once").add_node("n", fn)
    assert graph.simulate(payload="y").outputs("n") == ["yy"]


@tools.register("test_rules_context.twice")
def twice(x):
    return x * 2


def test_push_appears_at_the_end_of_a_sync_node_and_at_once_in_an_async_one():
    def sync(item, ctx):
        ctx.push("q", "sync")
        ctx.sleep(3)

    async def asynchronous(item, ctx):
        await ctx.push("q", "async")
        await ctx.sleep(3)

    got = []
    graph = fan(("a", sync, {}), ("b", asynchronous, {}), source=[1])
    graph.add_queue_reader("r", queue="q", external=True).add_edge("r", "see")
    graph.add_node("see", lambda x, ctx: got.append((ctx.clock.time(), x)))
    graph.simulate(until=9)
    assert got == [(0, "async"), (3, "sync")]


def test_pop_takes_one_message_and_acks_it():
    async def taker(_, ctx):
        return await ctx.pop("q", timeout=5), await ctx.pop("q", timeout=1)

    graph = chain(("a", taker, {}), source=[1]).add_producer("w", ["hello"], takes=2)
    graph.add_queue("q", external=True).add_edge("w", "q")
    sim = graph.simulate(until=99)
    assert sim.outputs("a") == [("hello", None)]
    assert sim.releases("p") == [3]


def test_a_sync_pop_cannot_be_simulated_and_the_error_says_what_to_do():
    graph = chain(("a", lambda _, ctx: ctx.pop("q"), {}), source=[1]).add_queue("q", external=True)
    graph.add_edge("a", "q")
    with pytest.raises(RunError, match=r"'a'.*make it async, or give fake="):
        graph.simulate(until=9)


# -- resources -----------------------------------------------------------------


def resource(log, name):
    @contextlib.contextmanager
    def opened():
        log.append(f"open {name}")
        try:
            yield name.upper()
        finally:
            log.append(f"close {name}")

    return opened


def resource_async(log, name):
    @contextlib.asynccontextmanager
    async def opened():
        log.append(f"open {name}")
        try:
            yield name.upper()
        finally:
            log.append(f"close {name}")

    return opened


def test_resources_are_opened_before_the_first_item_and_closed_in_reverse_after_the_last():
    log = []
    graph = chain(("a", lambda _, ctx: log.append(dict(ctx.resources)), {}), source=[1])
    graph.set_loop("p", resources={"x": resource(log, "x"), "y": resource_async(log, "y")})
    graph.simulate(until=9)
    assert log == ["open x", "open y", {"x": "X", "y": "Y"}, "close y", "close x"]


def test_a_resource_may_be_a_context_manager_or_any_other_value():
    log = []
    graph = chain(("a", lambda _, ctx: dict(ctx.resources), {}), source=[1])
    graph.set_loop("p", resources={"x": resource(log, "x")(), "n": 17, "made": dict})
    assert graph.simulate(until=9).outputs("a") == [{"x": "X", "n": 17, "made": {}}]


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_resources_are_closed_however_the_loop_ends(on_error):
    log = []
    graph = chain(("a", boom, {}), source=[1]).set_loop("p", on_error=on_error)
    graph.set_loop("p", resources={"x": resource(log, "x")}).simulate(until=9)
    assert log == ["open x", "close x"]


def test_a_resource_that_does_not_open_ends_the_loop_and_closes_the_others():
    log = []
    graph = chain("a", source=[1])
    graph.set_loop("p", resources={"x": resource(log, "x"), "bad": boom_without_argument})
    with pytest.raises(RunError, match=r"resource 'bad' did not open.*no money"):
        graph.simulate(until=9)
    assert log == ["open x", "close x"]


def boom_without_argument():
    raise OSError("no money")


# -- class nodes ---------------------------------------------------------------


class Recorder(BlockingNode):
    """Notes its life in a list that survives the deep copies."""

    log: list

    class Config(NodeConfig):
        factor: int = 2

    def setup(self, ctx):
        self.log.append(f"setup {self.name}")
        self.factor = self.config.factor
        assert ctx.meta["node"] == self.name

    def run(self, data):
        self.seen = getattr(self, "seen", 0) + 1
        self.log.append(f"run {self.name} {data.meta['iteration']}")
        return data.payload * self.factor

    def teardown(self):
        self.log.append(f"teardown {self.name}")


def recorder(log):
    return type("Recorder", (Recorder,), {"log": log})


def test_class_nodes_are_set_up_in_order_and_torn_down_in_reverse():
    log, graph = [], chain(source=[1])
    node = recorder(log)
    graph.add_node(node("a")).add_node(node("b", factor=5)).add_edge("p", "a", "b")
    graph.set_loop("p", resources={"x": resource(log, "x")})
    sim = graph.simulate(until=9)
    assert sim.outputs("b") == [10]
    assert log == [
        "open x", "setup a", "setup b", "run a 0", "run b 0",
        "teardown b", "teardown a", "close x",
    ]  # fmt: skip


def test_each_loop_works_on_its_own_deep_copy():
    log = []
    mine = recorder(log)("a")
    graph = chain(source=[1]).add_producer("q", [1, 2]).add_node(mine)
    graph.add_edge("p", "a").add_edge("q", "a").simulate(until=9)
    assert log.count("setup a") == log.count("teardown a") == 2
    assert not hasattr(mine, "seen")
    assert not hasattr(mine, "factor")


def test_a_setup_that_fails_ends_the_loop_and_tears_down_what_was_set_up():
    log = []

    class Bad(BlockingNode):
        async def setup(self, ctx):
            raise OSError("no money")

        def run(self, data):
            return data.payload

    graph = chain(source=[1]).add_node(recorder(log)("a")).add_node(Bad("b"))
    with pytest.raises(RunError, match=r"'b' .*setup failed: OSError: no money"):
        graph.add_edge("p", "a", "b").simulate(until=9)
    assert log == ["setup a", "teardown a"]


def test_a_teardown_that_fails_is_logged_and_the_others_are_torn_down():
    log = []

    class Bad(BlockingNode):
        def run(self, data):
            return data.payload

        def teardown(self):
            raise OSError("stuck")

    graph = chain(source=[1]).add_node(recorder(log)("a")).add_node(Bad("b"))
    sim = graph.add_edge("p", "a", "b").simulate(until=9)
    assert log[-1] == "teardown a"
    assert [line.text for line in sim.logs(node="b")] == ["teardown failed: OSError: stuck"]


def test_a_class_node_may_be_async_all_through():
    log = []

    class Async(BlockingNode):
        async def setup(self, ctx):
            await ctx.sleep(1)
            log.append("setup")

        async def run(self, data):
            return data.payload + 1

        async def teardown(self):
            log.append("teardown")

    sim = chain(source=[1]).add_node(Async("a"), takes=2).add_edge("p", "a").simulate(until=9)
    assert sim.outputs("a") == [2]
    assert calls(sim, "a") == [(1, 3)]
    assert log == ["setup", "teardown"]


def test_a_class_if_gives_the_verdict():
    from flownb.model.nodes import IfNode

    class Even(IfNode):
        def run(self, data):
            return data.payload % 2 == 0

    got = {"a": [], "b": []}
    graph = Graph("g").add_producer("p", range(4)).add_if(Even("i")).add_edge("p", "i")
    graph.add_node("a", seen(got["a"])).add_node("b", seen(got["b"]))
    graph.add_edge("i", "a", when=True).add_edge("i", "b", when=False).simulate(until=9)
    assert got == {"a": [0, 2], "b": [1, 3]}
