"""Section 3.4: where do items come from, when, and how does a producer end?"""

from __future__ import annotations

import functools

import pytest

from flownb import Graph, Limit, Retry
from flownb.errors import GraphError
from flownb.model.nodes import NodeConfig, ProducerNode
from tests.support.lab import calls, chain, fan, seen, times, waits


def produced(source, **options):
    """What a sink behind the producer got, and the simulation."""
    got = []
    sim = chain(("sink", seen(got), {}), source=source, **options).simulate(until=10)
    return got, sim


# -- every kind of source ------------------------------------------------------


def numbers():
    yield from (1, 2, 3)


async def numbers_async():
    for n in (1, 2, 3):
        yield n


class AsyncNumbers:
    def __aiter__(self):
        return numbers_async()


def function(stop, *, is_async=False):
    left = [1, 2, 3]

    def next_one():
        if not left:
            raise stop
        return left.pop(0)

    async def next_one_async():
        return next_one()

    return next_one_async if is_async else next_one


class Class(ProducerNode):
    left = (1, 2, 3)

    def run(self, data):
        if not self.left:
            raise StopIteration
        first, *self.left = self.left
        return first


class AsyncClass(ProducerNode):
    left = (1, 2, 3)

    async def run(self, data):
        if not self.left:
            raise StopAsyncIteration
        first, *self.left = self.left
        return first


SOURCES = {
    "a list": lambda: [1, 2, 3],
    "an iterator": lambda: iter((1, 2, 3)),
    "a generator function": lambda: numbers,
    "a partial of a generator function": lambda: functools.partial(numbers),
    "a generator": numbers,
    "an async generator function": lambda: numbers_async,
    "an async generator": numbers_async,
    "an async iterable": AsyncNumbers,
    "a function": lambda: function(StopIteration),
    "an async function": lambda: function(StopAsyncIteration, is_async=True),
    "a class": lambda: Class(),
    "an async class": lambda: AsyncClass(),
}


@pytest.mark.parametrize(
    "options", [{}, {"timeout": 5}, {"takes": 0.5}], ids=["", "careful", "takes"]
)
@pytest.mark.parametrize("kind", SOURCES)
def test_a_loop_completes_when_its_source_has_run_out(kind, options):
    if "timeout" in options and "generator" in kind:
        pytest.skip("refused: a generator cannot be called again")
    got, sim = produced(SOURCES[kind](), **options)
    assert got == [1, 2, 3]
    assert sim.metrics["p"].state == "completed"
    assert sim.failures() == []


@pytest.mark.parametrize("kind", SOURCES)
def test_the_end_of_a_source_is_not_an_output(kind):
    _, sim = produced(SOURCES[kind]())
    assert sim.outputs("p") == [3]


def test_without_a_source_the_items_are_0_1_2():
    got = []
    chain(("sink", seen(got), {})).simulate(iterations=3)
    assert got == [0, 1, 2]


def test_a_class_producer_is_configured_and_each_simulation_starts_from_a_copy():
    class Counter(ProducerNode):
        class Config(NodeConfig):
            step: int = 1

        n = 0

        def run(self, data):
            self.n += self.config.step
            return self.n

    graph = Graph("g").add_producer(Counter("p", step=5)).add_node("a", keep=9).add_edge("p", "a")
    assert graph.simulate(iterations=3).outputs("a") == [5, 10, 15]
    assert graph.simulate(iterations=2).outputs("a") == [5, 10]


def test_a_generator_function_starts_anew_in_each_simulation():
    graph = chain(("a", None, {"keep": 9}), source=numbers)
    assert graph.simulate(until=1).outputs("a") == [1, 2, 3]
    assert graph.simulate(until=1).outputs("a") == [1, 2, 3]


def test_a_producer_may_take_the_context():
    def source(ctx):
        return ctx.meta["iteration"] * 10

    def generator(ctx):
        for n in range(3):
            yield (n, ctx.meta["loop"])

    assert produced(source, every=4)[0] == [0, 10, 20]
    assert produced(generator)[0] == [(0, "p"), (1, "p"), (2, "p")]


def test_a_source_that_cannot_be_one_is_refused_by_name():
    with pytest.raises(GraphError, match="'p'"):
        chain("a", source=17).simulate()


# -- nothing now ---------------------------------------------------------------


def test_a_producer_that_has_nothing_is_asked_again_after_50_ms():
    answers = iter((None, None, "x"))
    got, sim = produced(lambda: next(answers))
    assert got == ["x"]
    assert [start for start, _ in calls(sim, "p")][:3] == [0, 0.05, 0.1]
    assert times(sim, "produced") == [0.1]


def test_a_producer_with_every_that_has_nothing_is_asked_at_its_next_tick():
    answers = iter((None, "x"))
    got, sim = produced(lambda: next(answers), every=0.7)
    assert got == ["x"]
    assert [start for start, _ in calls(sim, "p")][:2] == [0, 0.7]


def test_nothing_is_not_an_output_and_not_an_item():
    answers = iter(("x", None))
    _, sim = produced(lambda: next(answers))
    assert sim.outputs("p") == ["x"]
    assert sim.metrics["p"].produced == 1


@pytest.mark.parametrize("item", [0, "", False, []])
def test_an_item_may_be_empty_as_long_as_it_is_not_none(item):
    got, _ = produced([item])
    assert got == [item]


# -- every ---------------------------------------------------------------------


@pytest.mark.parametrize("every", [0.1, 0.3, 1 / 3, 0.7, 1.1])
def test_every_is_a_fixed_rate_from_the_start_without_drift(every):
    sim = fan(("n", None, {"kind": "non_blocking"}), every=every).simulate(until=2000 * every)
    starts = [start for start, _ in calls(sim, "p")]
    assert starts == [round(round(k * every, 6), 6) for k in range(2000)]


def test_work_that_fits_between_two_ticks_does_not_move_them():
    sim = chain(("a", None, {"takes": 0.9}), every=1, takes=0.05).simulate(until=5)
    assert [start for start, _ in calls(sim, "p")] == [0, 1, 2, 3, 4]
    assert sim.metrics["p"].overruns == 0


def test_a_tick_that_falls_into_an_iteration_is_skipped_and_counted_never_queued():
    sim = chain(("a", None, {"takes": 2.5}), every=1).simulate(until=10)
    assert [start for start, _ in calls(sim, "p")] == [0, 3, 6, 9]
    assert sim.metrics["p"].overruns == 6


def test_an_iteration_that_ends_exactly_at_a_tick_does_not_miss_it():
    sim = chain(("a", None, {"takes": 2}), every=1).simulate(until=6.5)
    assert [start for start, _ in calls(sim, "p")] == [0, 2, 4, 6]
    assert sim.metrics["p"].overruns == 3


def test_a_throttled_iteration_overruns_its_ticks_too():
    graph = fan(("n", None, {"takes": 3, "kind": "non_blocking"}), every=1)
    sim = graph.set_loop("p", max_in_flight=1).simulate(until=10)
    assert [start for start, _ in calls(sim, "p")] == [0, 1, 3, 6, 9]
    assert waits(sim, "p", "throttled") == [(1, 1, 3), (2, 3, 6), (3, 6, 9)]
    assert sim.metrics["p"].overruns == 1 + 2 + 2


def test_no_item_is_made_at_the_end_of_the_simulation_but_what_happens_then_is_recorded():
    sim = fan(("a", None, {"takes": 1}), every=1).simulate(until=3)
    assert times(sim, "produced") == [0, 1, 2]
    assert times(sim, "released") == [1, 2, 3]
    assert sim.duration == 3


def test_a_reader_makes_no_item_at_the_end_of_the_simulation_either():
    graph = chain("a", source=[1], takes=3).add_queue("q").add_edge("a", "q")
    graph.add_queue_reader("r", queue="q").add_node("b").add_edge("r", "b")
    assert graph.simulate(until=3).metrics["r"].produced == 0
    assert graph.simulate(until=3.001).metrics["r"].produced == 1


def test_iterations_counts_the_items_of_every_source_loop():
    graph = chain("a", takes=1).add_producer("q", takes=7).add_node("b").add_edge("q", "b")
    sim = graph.simulate(iterations=4)
    assert {m.loop: m.produced for m in sim.metrics.values()} == {"p": 4, "q": 4}
    assert sim.duration == 28


def test_until_ends_what_iterations_would_not():
    sim = chain("a", takes=1).simulate(iterations=100, until=4)
    assert sim.metrics["p"].produced == 4
    assert sim.duration == 4


def test_the_simulation_lasts_ten_seconds_when_nothing_else_is_said():
    assert chain("a", every=1).simulate().duration == 10


@pytest.mark.parametrize("until", [0, -1])
def test_a_simulation_of_no_time_is_refused(until):
    with pytest.raises(GraphError, match="until="):
        chain("a", every=1).simulate(until=until)


def test_a_forgotten_end_is_refused_before_anything_runs():
    with pytest.raises(GraphError, match=r"loop 'p' may never end.*iterations="):
        chain("a", every=1).simulate(until=float("inf"))


def test_an_endless_simulation_of_a_finite_source_ends():
    sim = chain("a", source=[1, 2], every=100).simulate(until=float("inf"))
    assert sim.releases("p") == [0, 100]


# -- a producer's own trouble --------------------------------------------------


def test_a_failing_producer_call_is_a_failed_tick_and_no_item():
    answers = iter((ValueError("dry"), "x"))

    def source():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    got, sim = produced(source)
    assert got == ["x"]
    assert [(f.node, str(f.error)) for f in sim.failures()] == [("p", "dry")]
    assert sim.metrics["p"].produced == 1
    assert sim.metrics["p"].failed == 0
    assert sim.metrics["p"].nodes["p"].failed == 1


def test_a_producer_is_tried_again_as_its_retry_says():
    answers = iter((OSError(), OSError(), "x"))

    def source():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    got, sim = produced(source, retry=Retry(on=OSError, wait_initial=0.5))
    assert got == ["x"]
    assert times(sim, "produced") == [1.5]
    assert sim.failures() == []


def test_a_producer_that_hangs_is_ended_by_its_timeout():
    import asyncio

    answers = iter((100, 0))

    async def source():
        await asyncio.sleep(next(answers))
        return "x"

    got, sim = produced(source, timeout=2)
    assert got == ["x"]
    first = next(e.data for e in sim.events if e.kind == "tick_failed")
    assert type(first.error).__name__ == "NodeTimeout"


def test_a_loop_completes_only_after_its_last_item_has_settled():
    graph = fan(("n", None, {"takes": 8, "kind": "non_blocking"}), source=[1, 2])
    sim = graph.simulate(until=20)
    ends = {e.data[0]: e.time for e in sim.events if e.kind == "state"}
    assert sim.releases("p") == [0, 0]
    assert ends["completed"] == 8


def test_one_limit_object_is_one_gate_in_a_simulation():
    gpu = Limit(concurrency=1)
    graph = fan(("a", None, {"takes": 1, "limit": gpu}), ("b", None, {"takes": 1, "limit": gpu}))
    assert graph.simulate(iterations=1).releases("p") == [2]


def test_a_condition_behind_the_producer_is_asked_about_items_only():
    given, asked = iter([None, 1, None, 2]), []

    def above_one(item):
        asked.append(item)
        return item > 1

    graph = Graph("g").add_producer("p", lambda: next(given)).add_node("small").add_node("big")
    graph.add_edge("p", "small").add_edge("p", "big", condition=above_one)
    sim = graph.simulate()
    assert asked == [1, 2]
    assert sim.outputs("big") == [2]
    assert sim.metrics["p"].state == "completed"
    assert not sim.failures()


def test_a_failed_tick_is_counted_although_it_made_no_item():
    answers = iter([OSError("away"), 1, OSError("away"), 2])

    def ask():
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    sim = chain("a", source=ask, every=1).simulate()
    assert (sim.metrics["p"].failed_ticks, sim.metrics["p"].failed) == (2, 0)
    assert "2 iterations, 2 failed ticks" in repr(sim)
