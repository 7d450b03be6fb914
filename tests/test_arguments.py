"""Is every argument checked where it is given, with its name, the value and what to give?"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
import pickle
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownb import Graph, Limit, Retry
from flownb.arguments import Named, checked, known, number, shown, whole, word
from flownb.errors import ArgumentError, FlowError, GraphError, RunError, UnknownName
from flownb.queues.spec import QueueSpec
from flownb.stores import open_store

INF, NAN = float("inf"), float("nan")

NO_NUMBERS = ["1", b"1", NAN, INF, -INF, True, [1], {1: 1}, 1j, timedelta(seconds=1), Decimal(1)]
SECONDS = [*NO_NUMBERS, -1, -0.5, np.float64("nan"), 10**400, 1e300]
ABOVE = [*SECONDS, 0, 0.0]
WHOLE = [*NO_NUMBERS, -1, 2.5, np.float64(2), np.bool_(True)]
POSITIVE = [*WHOLE, 0]
WORDS = ["", "x", 1, None, True, [], ["path"]]
FLAGS = ["yes", "", 1, 0, None, []]
TEXTS = ["", " ", 1, True, [], b"a", "\ud800"]
CALLS = [1, "f", [], True]


def loop() -> Graph:
    return Graph("g").add_producer("p", [1]).add_node("n").add_edge("p", "n")


def once() -> Graph:
    return Graph("g").add_node("n")


def node(option: str):
    return lambda value: once().add_node("m", lambda s: s, **{option: value})


def source(option: str):
    return lambda value: Graph("g").add_producer("p", [1], **{option: value})


def queue(option: str):
    return lambda value: loop().add_queue("q", **{option: value})


def reader(option: str):
    return lambda value: loop().add_queue_reader("r", **{"queue": "q", option: value})


def of_loop(option: str):
    return lambda value: loop().set_loop("p", **{option: value})


def simulated(option: str):
    return lambda value: loop().simulate(**{option: value})


def run(option: str):
    return lambda value: once().run({}, **{option: value})


def retry(option: str):
    return lambda value: Retry(**{"on": OSError, option: value})


def runs(**asked: Any):
    return open_store("memory://").runs.list(**asked)


TABLE: list[tuple[str, Any, list[Any]]] = [
    ("every", source("every"), ABOVE),
    ("takes", source("takes"), SECONDS),
    ("timeout", source("timeout"), ABOVE),
    ("fake", source("fake"), CALLS),
    ("retry", source("retry"), [3, "x", [], [3], OSError]),
    ("takes", node("takes"), SECONDS),
    ("timeout", node("timeout"), ABOVE),
    ("fail", node("fail"), [2.0, -1, NAN, INF, "x", True, {1.5}, [-1], {"a": 1}]),
    ("keep", node("keep"), WHOLE),
    ("join", node("join"), ["", "x", None, True, [], 0, -1, 1.5]),
    ("limit", node("limit"), [1, "2", Limit]),
    ("retry", node("retry"), [3, "x", [], [3], OSError]),
    ("max_iterations", node("max_iterations"), POSITIVE),
    ("cache", node("cache"), ["yes", -1, 1.5, NAN, []]),
    ("over", node("over"), ["", 1, True, []]),
    ("into", node("into"), ["", 1, True, []]),
    ("on_error", node("on_error"), ["", 1, True, []]),
    ("description", node("description"), [1, None, []]),
    ("kind", node("kind"), WORDS),
    ("fake", node("fake"), CALLS),
    ("takes", lambda v: once().add_if("i", bool, takes=v), SECONDS),
    ("kind", queue("kind"), WORDS),
    ("mode", queue("mode"), WORDS),
    ("maxlen", queue("maxlen"), POSITIVE),
    ("when_full", queue("when_full"), WORDS),
    ("model", queue("model"), ["Day", 1, [1]]),
    ("external", queue("external"), FLAGS),
    ("name", queue("queue"), TEXTS),
    ("queue", reader("queue"), TEXTS),
    ("prefetch", reader("prefetch"), POSITIVE),
    ("timeout", reader("timeout"), ABOVE),
    ("ack", reader("ack"), WORDS),
    ("visibility_timeout", reader("visibility_timeout"), ABOVE),
    ("max_deliveries", reader("max_deliveries"), POSITIVE),
    ("pool", of_loop("pool"), WORDS),
    ("await_policy", of_loop("await_policy"), WORDS),
    ("start_rule", of_loop("start_rule"), WORDS),
    ("max_in_flight", of_loop("max_in_flight"), [*POSITIVE, None]),
    ("when_full", of_loop("when_full"), WORDS),
    ("on_error", of_loop("on_error"), WORDS),
    ("restart", of_loop("restart"), WORDS),
    ("transactional", of_loop("transactional"), FLAGS),
    ("checkpoint", of_loop("checkpoint"), ["", 1, True, b"x", [], object()]),
    ("persistence_interval", of_loop("persistence_interval"), [*SECONDS, None]),
    ("resources", of_loop("resources"), [1, "x", [1], {1: 2}]),
    ("concurrency", Limit, POSITIVE),
    ("per_second", lambda v: Limit(per_second=v), ABOVE[:-4]),
    ("on", retry("on"), [1, "x", int, (OSError, "x"), None]),
    ("attempts", retry("attempts"), [*POSITIVE, None]),
    ("wait_initial", retry("wait_initial"), [*SECONDS, None]),
    ("wait_max", retry("wait_max"), [*SECONDS, None]),
    ("wait_jitter", retry("wait_jitter"), [*SECONDS, None]),
    ("wait_exp_base", retry("wait_exp_base"), ["2", NAN, INF, 0, -1, True, None]),
    ("state_model", lambda v: Graph("g", state_model=v), [1, "x", {}]),
    ("reducers", lambda v: Graph("g", reducers=v), [1, "x", {"a": 1}, [len]]),
    ("until", simulated("until"), [v for v in ABOVE if v is not INF]),
    ("iterations", simulated("iterations"), POSITIVE),
    ("seed", simulated("seed"), [*NO_NUMBERS, None]),
    ("policy", simulated("policy"), [w for w in WORDS if w is not None]),
    ("call", simulated("call"), FLAGS),
    ("check_mutation", simulated("check_mutation"), FLAGS),
    ("history", simulated("history"), WHOLE),
    ("start_rule", simulated("start_rule"), WORDS),
    ("max_concurrency", simulated("max_concurrency"), POSITIVE),
    ("max_iterations", simulated("max_iterations"), POSITIVE),
    ("on_error", simulated("on_error"), WORDS),
    ("tools", simulated("tools"), [1, {}, len]),
    ("policies", loop().compare, ["path", [], ["paths"], 1, None]),
    ("seeds", lambda v: loop().sweep(len, seeds=v), [0, -1, 2.5, "3", None]),
    ("check", loop().sweep, CALLS),
    ("policy", lambda v: loop().explain(policy=v), [w for w in WORDS if w is not None]),
    ("policy", lambda v: loop().plan("p", policy=v), [w for w in WORDS if w is not None]),
    ("measured", lambda v: loop().explain(measured=v), [1, "x", []]),
    ("max_concurrency", run("max_concurrency"), POSITIVE),
    ("max_iterations", run("max_iterations"), POSITIVE),
    ("start_rule", run("start_rule"), WORDS),
    ("on_error", run("on_error"), WORDS),
    ("progress", run("progress"), FLAGS),
    ("tools", run("tools"), [1, {}, len]),
    ("run_id", run("run_id"), TEXTS),
    ("persistence_interval", run("persistence_interval"), [*SECONDS, None]),
    ("run_id", once().resume, [*TEXTS, None]),
    ("control", lambda v: loop().start(control=v), WORDS),
    ("namespace", lambda v: loop().start(namespace=v), [*TEXTS, None]),
    ("fresh", lambda v: loop().start(fresh=v), FLAGS),
    ("tools", lambda v: loop().start(tools=v), [1, {}, len]),
    ("maxlen", lambda v: QueueSpec("q", maxlen=v), POSITIVE),
    ("max_bytes", lambda v: open_store("memory://", max_bytes=v), [*POSITIVE, None]),
    ("run_id", open_store("memory://").runs.load, [*TEXTS, None]),
    ("run_id", open_store("memory://").runs.delete, [*TEXTS, None]),
    ("limit", lambda v: runs(limit=v), [*WHOLE, None]),
    ("status", lambda v: runs(status=v), [w for w in WORDS if w is not None]),
    ("since", lambda v: runs(since=v), ["1", NAN, True]),
    ("last", lambda v: loop().simulate().outputs("n", v), WHOLE),
    ("last", lambda v: loop().simulate().logs(last=v), WHOLE),
]


@pytest.mark.parametrize(("name", "give", "wrong"), TABLE, ids=[row[0] for row in TABLE])
def test_what_an_argument_cannot_be_is_refused_where_it_is_given(name, give, wrong):
    for value in wrong:
        with pytest.raises(FlowError) as raised:
            give(value)
        text = str(raised.value)
        assert f"{name}={shown(value)}: " in text, f"{name}={value!r}: {text}"
        assert any(word in text for word in ("give", "choose", "write")), text


ASKED: list[tuple[str, Any, list[Any]]] = [
    ("grace", lambda o, v: o.stop(grace=v), [*SECONDS, None]),
    ("last", lambda o, v: o.logs(last=v), WHOLE),
    ("last", lambda o, v: o.failures(last=v), WHOLE),
    ("last", lambda o, v: o.outputs("n", v), WHOLE),
    ("timeout", lambda o, v: o.pause().wait(v), SECONDS),
]
AWAITED: list[tuple[str, Any, list[Any]]] = [
    ("timeout", lambda o, v: o.wait(timeout=v), SECONDS),
    ("iterations", lambda o, v: o.wait(v), WHOLE),
    ("progress", lambda o, v: o.wait(progress=v), FLAGS),
    ("timeout", lambda o, v: o.queues.pop("q", v), SECONDS),
    ("message_ids", lambda o, v: o.queues.ack("q", v), ["1-0", 1, None, [1]]),
    ("count", lambda o, v: o.queues.dead("p", v), [*POSITIVE, None]),
]


def test_a_run_checks_what_it_is_asked():
    async def main():
        orch = loop().add_queue("q", external=True).add_edge("n", "q").start()
        found = []
        for name, ask, wrong in ASKED:
            for value in wrong:
                with pytest.raises(FlowError) as raised:
                    ask(orch, value)
                found.append((f"{name}={shown(value)}: ", str(raised.value)))
        for name, ask, wrong in AWAITED:
            for value in wrong:
                with pytest.raises(FlowError) as raised:
                    await ask(orch, value)
                found.append((f"{name}={shown(value)}: ", str(raised.value)))
        await orch.stop()
        return [text for part, text in found if part not in text]

    assert asyncio.run(main()) == []


# -- what fits -----------------------------------------------------------------


@given(st.one_of(st.integers(0, 10**9), st.floats(0, 1e9), st.fractions(0, 10)))
def test_every_number_comes_back_as_one_of_python_s_own(value):
    plain = checked("f()", "x", value, number("seconds", least=0))
    assert type(plain) in {int, float}
    assert plain == pytest.approx(float(value))


def test_numbers_of_numpy_are_numbers():
    graph = loop().add_node("n", takes=np.float32(0.5), keep=np.int64(2), timeout=np.float64(3))
    node = graph.nodes["n"]
    assert (node.takes, node.keep, node.timeout) == (0.5, 2, 3.0)
    assert [type(v) for v in (node.takes, node.keep, node.timeout)] == [float, int, float]
    assert repr(Limit(np.int64(2))) == "Limit(concurrency=2)"
    assert graph.simulate(until=np.float64(1), iterations=np.int16(1), call=np.bool_(True))
    assert Graph("g").add_producer("p", every=Fraction(1, 2)).nodes["p"].every == 0.5


def test_a_length_of_time_says_how_many_seconds_it_is():
    with pytest.raises(ArgumentError, match=r"every=.*: 90, its \.total_seconds\(\)"):
        Graph("g").add_producer("p", every=timedelta(minutes=1.5))


def test_a_whole_float_says_which_number_is_meant():
    with pytest.raises(ArgumentError, match=r"history=100000\.0: .*: 100000"):
        loop().simulate(history=1e5)


def test_a_word_that_is_nearly_right_is_offered():
    with pytest.raises(GraphError, match=r"pool='proces': .*did you mean .process."):
        loop().set_loop("p", pool="proces")
    assert checked("f()", "x", "a", word("a", "b")) == "a"


def test_a_wrong_argument_is_a_type_and_a_value_error_too():
    for kind in (TypeError, ValueError, GraphError):
        with pytest.raises(kind, match="attempts"):
            Retry(on=OSError, attempts="3")


def test_a_value_whose_repr_raises_is_told_by_its_type():
    class Odd:
        def __repr__(self):
            raise OSError

    with pytest.raises(ArgumentError, match=r"keep=<Odd>: give a whole number"):
        once().add_node("m", keep=Odd())
    assert len(shown("x" * 999)) < 100
    with pytest.raises(ArgumentError, match=r"x=1\.5"):
        checked("f()", "x", 1.5, whole(""))


# -- names ---------------------------------------------------------------------


def test_a_name_that_is_not_there_is_told_by_every_answer():
    sim = Graph("g").add_producer("days", [1]).add_node("check").add_edge("days", "check")
    sim = sim.simulate()
    wrong = [
        lambda: sim.metrics["dais"],
        lambda: sim.metrics["days"].nodes["chek"],
        lambda: sim.logs(loop="dais"),
        lambda: sim.logs(node="chek"),
        lambda: sim.failures("dais"),
        lambda: sim.outputs("chek"),
        lambda: sim.releases("dais"),
        lambda: sim.explain().await_set("dais"),
        lambda: sim.explain().why("check", loop="dais"),
    ]
    for ask in wrong:
        with pytest.raises(UnknownName, match="did you mean"):
            ask()
    with pytest.raises(UnknownName, match="did you mean"):
        once().run({}).nodes["nn"]
    assert sim.metrics.get("dais") is None
    assert "dais" not in sim.metrics


def test_an_unknown_name_is_an_error_of_each_kind_that_was_raised_for_it():
    for kind in (KeyError, RunError, GraphError):
        with pytest.raises(kind, match=r"^there is no node 'x' \(there are: a\)$"):
            known("node", "x", ["a"])
    with pytest.raises(UnknownName, match="give its name, a str"):
        known("node", ["a"], ["a"])


def test_a_dict_of_answers_is_a_dict():
    metrics = loop().simulate().metrics
    assert pickle.loads(pickle.dumps(metrics)) == copy.deepcopy(metrics) == dict(metrics)
    assert dataclasses.asdict(metrics["p"])["nodes"]["n"]["calls"] == 1
    assert repr(Named({"a": 1}, "loop")) == "{'a': 1}"
    error = pickle.loads(pickle.dumps(UnknownName("there is no loop 'x'")))
    assert str(error) == "there is no loop 'x'"


async def late(*_: Any) -> bool:
    return True


class Late:
    async def __call__(self, *_: Any) -> bool:
        return True


@pytest.mark.parametrize("fn", [late, functools.partial(late, 1), Late()])
@pytest.mark.parametrize(
    "give",
    [
        lambda fn: Graph("g").add_edge("a", "b", condition=fn),
        lambda fn: Graph("g", reducers={"a": fn}),
        lambda fn: Graph("g").add_node("n", takes=fn),
        lambda fn: Graph("g").add_node("n", on_error=fn),
        lambda fn: Graph("g").add_node("n", over=fn),
        lambda fn: Graph("g").add_node("n", cache=fn),
        lambda fn: Graph("g").set_loop("p", on_error=fn),
        lambda fn: Graph("g").add_producer("p", [1]).sweep(fn),
        lambda fn: Retry(on=fn),
    ],
)
def test_an_async_function_is_refused_where_nobody_awaits_its_answer(give, fn):
    with pytest.raises(ArgumentError, match="async"):
        give(fn)


def test_a_coroutine_in_place_of_an_answer_fails_the_item() -> None:
    routed = Graph("g").add_producer("p", [1]).add_node("n")
    routed.add_edge("p", "n", condition=lambda _: late())
    tried = Graph("g").add_producer("p", [1]).add_edge("p", "n")
    tried.add_node("n", lambda _: 1 / 0, retry=Retry(on=lambda _: late()))
    for graph in (routed, tried):
        (failure,) = graph.simulate().failures()
        assert "gave a coroutine, which nobody awaits here" in str(failure)
