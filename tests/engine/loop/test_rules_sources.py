"""Section 3.4: what happens when a source fails? A generator is dead, a function is asked again."""

from __future__ import annotations

import asyncio

import pytest

from flownb import Graph, Retry
from flownb.errors import GraphError, NodeFailed
from tests.support.lab import Bench, boom, chain


def consume():
    yield 1
    yield 2
    raise ConnectionError("broker gone")


async def consume_async():
    yield 1
    yield 2
    raise ConnectionError("broker gone")


class Flaky:
    """An iterator that can go on after its error."""

    def __init__(self):
        self.calls = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.calls += 1
        if self.calls == 2:
            raise ConnectionError("a hiccup")
        if self.calls > 4:
            raise StopIteration
        return self.calls


def fed(source, **options):
    """A loop that feeds a reader."""
    graph = Graph("k").add_producer("c", source, **options).add_queue("q").add_edge("c", "q")
    graph.add_queue_reader("r", queue="q").add_node("n", keep=9, takes=0.5).add_edge("r", "n")
    return graph


WORDS = pytest.mark.parametrize("word", ["skip", "dead_letter", "pause", "stop", lambda _: "skip"])


@WORDS
@pytest.mark.parametrize("source", [consume, consume_async, consume()])
def test_a_generator_that_raised_ends_its_loop_in_state_error_whatever_on_error_says(source, word):
    source = consume() if source is not consume and source is not consume_async else source
    sim = fed(source).set_loop("c", on_error=word).simulate()
    (failure,) = sim.failures()
    assert (sim.metrics["c"].state, str(failure.error)) == ("error", "broker gone")
    assert (sim.metrics["r"].state, sim.outputs("n")) == ("completed", [1, 2])


def test_what_a_generator_gave_before_it_died_is_finished():
    sim = chain(("a", None, {"kind": "non_blocking", "takes": 5, "keep": 9}), source=consume)
    sim = sim.simulate()
    assert (sim.metrics["p"].state, sim.outputs("a")) == ("error", [1, 2])
    assert sim.metrics["p"].cancelled == 0


@pytest.mark.parametrize("options", [{"retry": Retry(on=ConnectionError)}, {"timeout": 1}])
@pytest.mark.parametrize("source", [consume, consume_async, consume()])
def test_retry_and_timeout_of_a_generator_are_refused(source, options):
    (option,) = options
    with pytest.raises(GraphError, match=f"node 'c': {option}= has no effect on a generator"):
        fed(source, **options).simulate()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_generator_function_with_a_context_is_begun_anew_where_it_stood(is_async):
    failed = []

    def again(ctx):
        for n in range(ctx.position, 6):
            if n == 3 and not failed:
                failed.append(n)
                raise ConnectionError("once")
            yield n

    async def again_async(ctx):
        for n in again(ctx):
            yield n

    retry = Retry(on=ConnectionError)
    graph = chain(("a", None, {"keep": 9}), source=again_async if is_async else again, retry=retry)
    sim = graph.simulate()
    assert (sim.outputs("a"), failed) == ([0, 1, 2, 3, 4, 5], [3])
    assert (sim.metrics["p"].state, sim.failures()) == ("completed", [])


def test_a_generator_that_is_late_is_left_and_another_one_goes_on():
    begun = []

    async def late(ctx):
        begun.append(ctx.position)
        for n in range(ctx.position, 4):
            await asyncio.sleep(100 if len(begun) == 1 and n == 2 else 1)
            yield n

    sim = chain(("a", None, {"keep": 9}), source=late, timeout=5).simulate()
    assert (sim.outputs("a"), begun) == ([0, 1, 2, 3], [0, 2])
    assert (sim.metrics["p"].state, len(sim.failures())) == ("completed", 1)


def test_a_generator_with_a_context_that_fails_at_each_attempt_is_dead():
    def never(ctx):
        yield from range(ctx.position, 2)
        raise ConnectionError("gone")

    retry = Retry(on=ConnectionError, attempts=3)
    sim = chain(("a", None, {"keep": 9}), source=never, retry=retry).simulate()
    assert (sim.metrics["p"].state, sim.outputs("a")) == ("error", [0, 1])
    assert [f.attempts for f in sim.failures()] == [3]


@pytest.mark.parametrize("options", [{}, {"retry": Retry(on=ConnectionError)}])
def test_an_iterator_that_can_go_on_is_called_again(options):
    sim = chain(("a", None, {"keep": 9}), source=Flaky(), **options).simulate()
    assert (sim.metrics["p"].state, sim.outputs("a")) == ("completed", [1, 3, 4])
    assert len(sim.failures()) == (0 if options else 1)


@pytest.mark.parametrize("options", [{}, {"retry": Retry(on=ConnectionError)}])
def test_an_iterator_over_a_generator_that_died_is_dead_too(options):
    sim = chain(("a", None, {"keep": 9}), source=map(str, consume()), **options).simulate()
    assert (sim.metrics["p"].state, sim.outputs("a")) == ("error", ["1", "2"])
    assert [str(f.error) for f in sim.failures()] == ["broker gone"]


@pytest.mark.parametrize(
    ("word", "state"),
    [("skip", "completed"), ("dead_letter", "completed"), ("pause", "paused"), ("stop", "error")],
)
def test_on_error_holds_for_a_function_that_fails_as_a_source(word, state):
    left = [3, 0, 1]

    def ask():
        if not left:
            raise StopIteration
        return 6 // left.pop(0)

    sim = chain(("a", None, {"keep": 9}), source=ask).set_loop("p", on_error=word).simulate()
    assert (sim.metrics["p"].state, sim.metrics["p"].failed_ticks) == (state, 1)
    assert sim.outputs("a") == ([2, 6] if state == "completed" else [2])


def test_a_source_that_failed_is_asked_again_after_a_resume():
    left = [3, 0, 1]

    def ask():
        if not left:
            raise StopIteration
        return 6 // left.pop(0)

    bench = Bench(chain(("a", None, {"keep": 9}), source=ask).set_loop("p", on_error="pause"))
    reasons = []
    bench.at(1, lambda: reasons.append(bench.manager.life.reason))
    bench.at(2, bench.manager.control.resume).run()
    assert reasons == ["node 'p' failed: ZeroDivisionError: integer division or modulo by zero"]
    assert list(bench.kept.kept["a"]) == [2, 6]


def test_a_condition_that_fails_behind_a_generator_is_an_item_of_it():
    graph = Graph("g").add_producer("p", [1]).add_node("a").add_edge("p", "a", condition=boom)
    sim = graph.simulate()
    assert (sim.metrics["p"].state, sim.metrics["p"].failed) == ("completed", 1)


def yields():
    yield 1


async def yields_async():
    yield 1


async def gives_a_generator():
    return yields()


@pytest.mark.parametrize("source", [lambda: yields(), lambda: yields_async(), gives_a_generator])
def test_a_function_that_gives_a_generator_is_told_to_be_no_source(source):
    graph = chain("n", source=source, every=1)
    graph.set_loop("p", on_error="stop")
    sim = graph.simulate(until=3)
    assert (sim.metrics["p"].state, sim.outputs("n")) == ("error", [])
    assert "give the function that yields" in str(sim.failures()[0])
    orch = graph.start(control="thread")
    with pytest.raises(NodeFailed, match="give the function that yields"):
        orch.wait(timeout=20).wait()
    assert orch.outputs("n") == []
