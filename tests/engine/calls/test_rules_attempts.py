"""Section 3.5: middleware( retry( timeout( function ))): what is one node call?"""

from __future__ import annotations

import asyncio
import time

import pytest

from flownb import Graph, Retry
from flownb.errors import NodeTimeout
from tests.support.lab import calls, chain, fan, seen, times, waits


def after(failures, error=OSError, *, takes=0.0, is_async=False):
    """A node that fails so many times for each item, then gives the attempt's number."""

    def fn(_, ctx):
        if ctx.meta["attempt"] <= failures:
            raise error(f"attempt {ctx.meta['attempt']}")
        return ctx.meta["attempt"]

    async def fn_async(_, ctx):
        await asyncio.sleep(takes)
        return fn(_, ctx)

    return fn_async if is_async else fn


def attempts(sim, node):
    return [
        (s.attempt, s.start, s.end) for s in sim.timeline if s.node == node and s.kind == "work"
    ]


# -- retry ---------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_fail_fail_succeed_waits_as_the_retry_says_and_each_attempt_is_a_span(is_async):
    retry = Retry(on=OSError, wait_initial=0.01, wait_exp_base=2)
    graph = chain(("a", after(2, is_async=is_async), {"retry": retry, "takes": 1}), source=["x"])
    sim = graph.simulate(until=99)
    assert attempts(sim, "a") == [(1, 0, 1), (2, 1.01, 2.01), (3, 2.03, 3.03)]
    assert waits(sim, "a", "retry") == [(0, 1, 1.01), (0, 2.01, 2.03)]
    assert sim.outputs("a") == [3]
    assert sim.releases("p") == [3.03]
    assert sim.metrics["p"].nodes["a"].retries == 2
    assert sim.failures() == []


def test_a_function_that_gives_a_coroutine_is_awaited_with_a_timeout_too():
    async def later(payload):
        await asyncio.sleep(1)
        return payload + 1

    sim = chain(("a", lambda payload: later(payload), {"timeout": 2}), source=[1]).simulate()
    assert sim.outputs("a") == [2]
    assert attempts(sim, "a") == [(1, 0, 1)]


def test_attempts_counts_the_first_try_and_then_the_original_error_stands():
    retry = Retry(on=OSError, attempts=2, wait_initial=1)
    sim = chain(("a", after(9), {"retry": retry}), source=["x"]).simulate(until=99)
    (failure,) = sim.failures()
    assert (failure.attempts, repr(failure.error)) == (2, "OSError('attempt 2')")
    assert sim.releases("p") == [1]


def test_the_waits_grow_up_to_wait_max():
    retry = Retry(on=OSError, attempts=6, wait_initial=1, wait_max=5, wait_exp_base=2)
    sim = chain(("a", after(9), {"retry": retry}), source=["x"]).simulate(until=99)
    assert [b - a for _, a, b in waits(sim, "a", "retry")] == [1, 2, 4, 5, 5]


def test_jitter_is_drawn_from_the_node_s_own_numbers_and_is_the_same_every_time():
    retry = Retry(on=OSError, attempts=4, wait_initial=1, wait_exp_base=1, wait_jitter=0.5)
    graph = chain(("a", after(9), {"retry": retry}), source=["x"])
    lengths = [
        [b - a for _, a, b in waits(graph.simulate(seed=s), "a", "retry")] for s in (0, 0, 1)
    ]
    assert lengths[0] == lengths[1]
    assert lengths[0] != lengths[2]
    assert all(1 <= x <= 1.5 for x in lengths[0])
    assert len(set(lengths[0])) == 3


@pytest.mark.parametrize(
    ("on", "tried"),
    [
        (OSError, 2),
        ((KeyError, OSError), 2),
        (Exception, 2),
        (lambda e: "attempt 1" in str(e), 2),
        (KeyError, 1),
        ((), 1),
    ],
)
def test_only_the_errors_named_are_tried_again(on, tried):
    retry = Retry(on=on, attempts=2, wait_initial=1)
    graph = chain(("a", after(9, ConnectionError), {"retry": retry}), source=["x"])
    assert graph.simulate(until=9).failures()[0].attempts == tried


def test_what_is_no_error_filter_is_refused_where_it_is_written():
    with pytest.raises(TypeError, match="on=123"):
        Retry(on=123)


def test_each_item_has_its_own_attempts():
    retry = Retry(on=OSError, attempts=2, wait_initial=1)
    sim = chain(("a", after(1), {"retry": retry, "keep": 9}), source=["x", "y"]).simulate(until=9)
    assert sim.outputs("a") == [2, 2]
    assert sim.releases("p") == [1, 2]


# -- timeout -------------------------------------------------------------------


def sleeper(seconds, *, how):
    def sync(payload):
        time.sleep(seconds)
        return payload

    def sync_ctx(payload, ctx):
        ctx.sleep(seconds)
        return payload

    async def asynchronous(payload):
        await asyncio.sleep(seconds)
        return payload

    async def with_context(payload, ctx):
        await ctx.sleep(seconds)
        return payload

    kinds = {"time.sleep": sync, "ctx.sleep": sync_ctx, "asyncio.sleep": asynchronous}
    return {**kinds, "await ctx.sleep": with_context}[how]


HOW = ["time.sleep", "ctx.sleep", "asyncio.sleep", "await ctx.sleep"]


@pytest.mark.parametrize("how", HOW)
def test_a_node_that_takes_longer_than_its_timeout_fails_then(how):
    node = ("a", sleeper(5, how=how), {"timeout": 2})
    sim = chain(node, "b", source=["x"]).simulate(until=99)
    assert sim.releases("p") == [2]
    assert isinstance(sim.failures()[0].error, NodeTimeout)
    assert "timeout of 2 s" in str(sim.failures()[0].error)
    assert calls(sim, "b") == []
    assert sim.metrics["p"].nodes["a"].timeouts == 1


@pytest.mark.parametrize("how", HOW)
def test_a_node_that_takes_exactly_as_long_or_less_does_not(how):
    sim = chain(("a", sleeper(1.9, how=how), {"timeout": 2}), source=["x"]).simulate(until=99)
    assert sim.releases("p") == [1.9]
    assert sim.failures() == []


def test_declared_takes_counts_towards_the_timeout():
    sim = chain(("a", None, {"takes": 5, "timeout": 2}), source=["x"]).simulate(until=99)
    assert sim.releases("p") == [2]
    assert isinstance(sim.failures()[0].error, NodeTimeout)


@pytest.mark.parametrize("how", HOW)
def test_the_timeout_is_per_attempt_and_can_be_retried(how):
    options = {"timeout": 2, "retry": Retry(on=TimeoutError, attempts=3, wait_initial=1)}
    sim = chain(("a", sleeper(5, how=how), options), source=["x"]).simulate(until=99)
    assert attempts(sim, "a") == [(1, 0, 2), (2, 3, 5), (3, 7, 9)]
    assert sim.metrics["p"].nodes["a"].timeouts == 3


def test_a_node_s_own_timeout_error_is_not_the_engine_s():
    async def own(_):
        raise TimeoutError("mine")

    sim = chain(("a", own, {"timeout": 5}), source=["x"]).simulate(until=99)
    assert (type(sim.failures()[0].error), sim.metrics["p"].nodes["a"].timeouts) == (
        TimeoutError,
        0,
    )


def test_a_timeout_inside_the_node_is_the_node_s_own():
    async def own(_):
        async with asyncio.timeout(1):
            await asyncio.sleep(9)

    sim = chain(("a", own, {"timeout": 5}), source=["x"]).simulate(until=99)
    assert sim.releases("p") == [1]
    assert type(sim.failures()[0].error) is TimeoutError


def test_a_node_that_swallows_the_cancellation_does_not_escape_its_timeout():
    late = []

    async def stubborn(payload, ctx):
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            await asyncio.sleep(3)
            late.append(ctx.clock.time())
            return "too late"

    sim = chain(("a", stubborn, {"timeout": 2}), "b", source=["x", "y"], every=10).simulate(
        until=99
    )
    assert sim.releases("p") == [2, 12]
    assert late[0] == 5
    assert sim.outputs("a") == []
    assert sim.outputs("b") == []


def pushes(node, **options):
    """What arrives in a queue that a node pushes to by `ctx.push`."""
    got = []
    graph = chain(("a", node, options), source=["x"]).add_queue("unused", queue="q")
    graph.add_edge("a", "unused").remove_edge("a", "unused")
    graph.add_node("never", kind="non_blocking").add_if("i", lambda _: False).add_edge("p", "i")
    graph.add_edge("i", "unused", when=True)
    graph.add_queue_reader("r", queue="q").add_node("b", seen(got)).add_edge("r", "b")
    graph.remove_node("never").simulate(until=50)
    return got


def test_what_an_attempt_pushes_after_its_timeout_is_dropped():
    async def stubborn(_, ctx):
        await ctx.push("q", "early")
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            await ctx.push("q", "late")

    assert pushes(stubborn, timeout=2) == ["early"]


def test_what_a_sync_attempt_that_timed_out_pushed_is_dropped():
    def slow(_, ctx):
        ctx.push("q", ctx.meta["attempt"])
        if ctx.meta["attempt"] == 1:
            time.sleep(9)

    retry = Retry(on=TimeoutError, attempts=2)
    assert pushes(slow, timeout=2, retry=retry) == [2]


def test_what_a_sync_attempt_pushed_before_it_failed_is_pushed_once():
    def fails(_, ctx):
        ctx.push("q", ctx.meta["attempt"])
        if ctx.meta["attempt"] == 1:
            raise OSError

    assert pushes(fails, retry=Retry(on=OSError, attempts=2)) == [1, 2]


def test_a_failing_attempt_lasts_as_long_as_a_good_one_sync_or_async():
    def sync(_):
        time.sleep(1)
        raise OSError

    async def asynchronous(_):
        time.sleep(1)  # noqa: ASYNC251 - counted, not slept
        raise OSError

    options = {"takes": 2, "retry": Retry(on=OSError, attempts=2, wait_initial=1)}
    for fn in (sync, asynchronous):
        sim = chain(("a", fn, options), source=["x"]).simulate(until=99)
        assert attempts(sim, "a") == [(1, 0, 3), (2, 4, 7)], fn.__name__


def test_a_function_that_returns_a_coroutine_lasts_as_declared_too():
    async def work(payload):
        await asyncio.sleep(1)
        return payload + 1

    sim = chain(("a", lambda x: work(x), {"takes": 2}), source=[1]).simulate(until=99)
    assert (sim.outputs("a"), sim.releases("p")) == ([2], [3])


def test_what_a_function_sleeps_before_it_returns_a_coroutine_is_its_own():
    async def rest(payload):
        await asyncio.sleep(1)
        return payload

    def work(payload):
        time.sleep(5)
        return rest(payload)

    sim = chain(("a", work, {}), "b", source=[1, 2]).simulate(until=99)
    assert calls(sim, "a") == [(0, 6), (6, 12)]
    assert calls(sim, "p") == [(0, 0), (6, 6)]


def test_time_sleep_in_an_async_node_is_counted_to_that_node():
    async def a(_):
        time.sleep(2)  # noqa: ASYNC251 - counted, not slept

    sim = chain(("a", a, {}), ("b", None, {"takes": 1}), source=["x"]).simulate(until=99)
    assert (calls(sim, "a"), calls(sim, "b")) == ([(0, 2)], [(2, 3)])


def test_a_failed_join_and_the_other_arms_under_retry_end_at_exact_times():
    retry = Retry(on=OSError, attempts=2, wait_initial=3)
    graph = fan(("bad", after(9), {"retry": retry, "takes": 1}), ("ok", None, {"takes": 2}))
    graph.add_node("j", takes=9).add_edge("bad", "j").add_edge("ok", "j")
    sim = graph.simulate(iterations=2)
    assert sim.releases("p") == [5, 10]
    assert calls(sim, "j") == []


def test_a_node_that_cancels_itself_fails_and_does_not_end_the_loop():
    async def suicidal(_):
        raise asyncio.CancelledError

    sim = chain(("a", suicidal, {}), source=["x", "y"]).simulate(until=9)
    assert sim.metrics["p"].failed == 2
    assert sim.metrics["p"].state == "completed"


# -- middleware ----------------------------------------------------------------


def test_middleware_sees_node_and_payload_and_may_change_both_ways():
    async def louder(call_next, node, data):
        if node.name != "a":
            return await call_next(data)
        from dataclasses import replace

        return (await call_next(replace(data, payload=data.payload.upper()))) + "!"

    sim = chain(("a", lambda x: x * 2, {}), "b", source=["x"]).use(louder).simulate(until=9)
    assert sim.outputs("b") == ["XX!"]


def test_middleware_may_skip_the_call():
    async def skip(call_next, node, data):
        return "skipped" if node.name == "a" else await call_next(data)

    called, got = [], []
    graph = chain(("a", seen(called), {}), ("b", seen(got), {}), source=["x"])
    graph.use(skip).simulate(until=9)
    assert (called, got) == ([], ["skipped"])


def test_middleware_may_repeat_the_call_around_the_whole_retry():
    async def twice(call_next, node, data):
        try:
            return await call_next(data)
        except OSError:
            return await call_next(data)

    options = {"retry": Retry(on=OSError, attempts=2, wait_initial=1)}
    sim = chain(("a", after(3), options), source=["x"]).use(twice).simulate(until=9)
    assert [number for number, _, _ in attempts(sim, "a")] == [1, 2, 3, 4]
    assert sim.outputs("a") == [4]


def test_the_first_middleware_is_the_outermost():
    order = []

    def named(name):
        async def middleware(call_next, node, data):
            order.append(f"{name} in")
            output = await call_next(data)
            order.append(f"{name} out")
            return output

        return middleware

    graph = Graph("g").add_producer("p", ["x"])
    graph.use(named("outer"), named("inner")).simulate(until=9)
    assert order[:4] == ["outer in", "inner in", "inner out", "outer out"]


def test_middleware_does_not_change_the_times():
    async def idle(call_next, node, data):
        return await call_next(data)

    graph = chain(("a", sleeper(2, how="time.sleep"), {"takes": 1}), "b", every=4)
    plain = graph.simulate(until=20)
    watched = graph.use(idle).simulate(until=20)
    assert list(plain.timeline) == list(watched.timeline)
    assert times(plain, "settled") == times(watched, "settled")


def test_middleware_that_raises_fails_the_node():
    async def broken(call_next, node, data):
        if node.name == "a":
            raise KeyError(node.name)
        return await call_next(data)

    (failure,) = chain("a", source=["x"]).use(broken).simulate(until=9).failures()
    assert (failure.node, type(failure.error)) == ("a", KeyError)
