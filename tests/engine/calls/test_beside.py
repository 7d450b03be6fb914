"""Does code of the user's that runs beside a node fail the item that it runs for, and no more?

`BAD` is the second of three items; what runs for it raises `Boom`. The others must be done.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from typing import Any

import fakeredis
import pytest
from pydantic import BaseModel, SecretStr, field_serializer, field_validator

from flownb import BlockingNode, Graph, Observer, Retry
from flownb.errors import CodeFailed, QueueError, RunError, StoreError
from flownb.queues.payload import loads
from flownb.queues.redis.streams import Keys
from flownb.stores import open_store
from tests.support.live import until

BAD = "bad"


class Boom(Exception):
    pass


def boom(*_, **__):
    raise Boom


def sometimes(x):
    if x == BAD:
        raise Boom
    return x


def leave(*_):
    sys.exit(3)


def own(x):
    """A node that fails by itself."""
    if x == BAD:
        raise ValueError(x)
    return x


class Written(BaseModel):
    v: Any

    @field_serializer("v")
    def written(self, v):
        return sometimes(v)


class Checked(BaseModel):
    v: Any

    @field_validator("v")
    @classmethod
    def checked(cls, v):
        return sometimes(v)


class Odd:
    """An object of which nothing can be asked, if it is a bad one."""

    def __init__(self, of):
        self.of = of

    def __eq__(self, other):
        return sometimes(self.of) == other

    __hash__ = None

    def __bool__(self):
        return bool(sometimes(self.of))

    def __repr__(self):
        return f"Odd({sometimes(self.of)})"

    def __deepcopy__(self, memo):
        return Odd(sometimes(self.of))


def graph(*nodes, **edge):
    """P and nodes in a row; *edge*: what is said of the last edge."""
    made, before = Graph("g").add_producer("p", [1, BAD, 2]), "p"
    for name, fn, options in nodes:
        made.add_node(name, fn, **options)
        made.add_edge(before, name, **(edge if name == nodes[-1][0] else {}))
        before = name
    return made


def pushing(fn, model=None):
    made = graph(("n", fn, {})).add_queue("q", model=model).add_edge("n", "q")
    made.add_queue_reader("r", queue="q").add_node("got", keep=9)
    return made.add_edge("r", "got")


def ifs(predicate, **arms):
    made = Graph("g").add_producer("p", [1, BAD, 2]).add_if("i", predicate).add_edge("p", "i")
    for name, when in arms.items():
        made.add_node(name).add_edge("i", name, when=when)
    return made


async def asking(call_next, node, data):
    sometimes(data.payload)
    return await call_next(data)


def with_exit():
    class Exits(BaseModel):
        v: Any

        @field_validator("v")
        @classmethod
        def checked(cls, v):
            return leave() if v == BAD else v

    return pushing(lambda x: {"v": x}, Exits)


def behind_a_reader():
    made = Graph("g").add_producer("p", [1, BAD, 2]).add_queue("q").add_edge("p", "q")
    made.add_queue_reader("r", queue="q").add_node("n")
    return made.add_edge("r", "n", condition=lambda x: sometimes(x) or True)


def into_a_join():
    made = Graph("g").add_producer("p", [1, BAD, 2]).add_node("a", Odd).add_node("b")
    made.add_edge("p", "a").add_edge("p", "b").add_node("n", len)
    return made.add_edge("a", "n", copy=True).add_edge("b", "n")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """An error that lets itself be changed by nobody."""

    code: int

    def __bool__(self):
        raise Boom


def freeze(x):
    if isinstance(x, Exception) or x == BAD:
        raise Frozen(5)
    return x


KINDS = {
    "a serializer": (lambda: pushing(lambda x: Written(v=x)), "q", [Boom]),
    "a serializer of model=": (lambda: pushing(lambda x: Written(v=x), Written), "q", [Boom]),
    "a validator": (lambda: pushing(lambda x: {"v": x}, Checked), "q", [Boom]),
    "a validator that exits": (with_exit, "q", []),
    "ctx.push": (lambda: graph(("n", lambda x, ctx: ctx.push("q", Written(v=x)), {}))
                 .add_queue_reader("r", queue="q", external=True).add_node("got")
                 .add_edge("r", "got"), "n", [Boom]),
    "a retry predicate": (lambda: graph(("n", own, {"retry": Retry(on=boom)})), "n",
                          [Boom, ValueError]),
    "a frozen error": (lambda: graph(("n", freeze, {"retry": Retry(on=freeze)})), "n",
                       [Frozen, Frozen]),
    "a condition": (lambda: graph(("a", None, {}), ("b", None, {}),
                    condition=lambda x: sometimes(x) or True), "a", [Boom]),
    "a condition behind the producer": (lambda: graph(("n", None, {}),
                    condition=lambda x: sometimes(x) or True), "p", [Boom]),
    "a condition behind a reader": (behind_a_reader, "r", [Boom]),
    "a verdict's ==": (lambda: ifs(Odd, one=1, two=2), "i", [Boom]),
    "a verdict's bool()": (lambda: ifs(Odd, yes=True, no=False), "i", [Boom]),
    "a verdict's repr()": (lambda: ifs(lambda x: Odd(x) if x == BAD else x, one=1, two=2), "i",
                           [Boom]),
    "a cache key": (lambda: graph(("n", str, {"cache": sometimes})), "n", [Boom]),
    "middleware": (lambda: graph(("n", None, {})).use(asking), "n", []),
    "a deep copy": (lambda: graph(("a", Odd, {}), ("b", str, {}), copy=True), "b", [Boom]),
    "a deep copy into a join": (into_a_join, "n", [Boom]),
}  # fmt: skip


def chain(error):
    """The classes of what caused an error, the last cause last."""
    found = []
    while (error := error.__cause__) is not None:
        found.append(type(error))
    return found


def judge(failures, metrics, node, causes):
    assert [(f.node, f.iteration) for f in failures] == [(node, 1)]
    assert chain(failures[0].error)[: len(causes)] == causes
    assert repr(failures[0])
    assert {m.state for m in metrics.values()} <= {"completed", "running"}
    assert sum(m.failed for m in metrics.values()) == 1
    assert all(m.done in {2, 3} and m.failed_ticks == 0 for m in metrics.values())


@pytest.mark.parametrize("kind", KINDS)
def test_it_fails_its_item_in_a_simulation(kind):
    make, node, causes = KINDS[kind]
    sim = make().simulate()
    judge(sim.failures(), sim.metrics, node, causes)


def in_pool(pool, make, read=2):
    """Run it there, until a reader has done so many; its failures and metrics."""

    async def scenario():
        made = make()
        for loop in {"p", "r"} & set(made.nodes):
            made.set_loop(loop, pool=pool)
        async with made.start() as orch:
            await orch.wait(loop="p", timeout=30)
            if "r" in made.nodes:
                await orch.wait(read, loop="r", timeout=30)
                # What was released may still be on its way to the end of its item.
                await until(lambda: (r := orch.metrics()["r"]).done + r.failed >= read)
            return orch.failures(), orch.metrics()

    return asyncio.run(scenario())


@pytest.mark.wallclock
@pytest.mark.parametrize("pool", ["thread", "asyncio"])
@pytest.mark.parametrize("kind", [k for k in KINDS if "reader" not in k])
def test_it_fails_its_item_in_a_live_loop(kind, pool):
    make, node, causes = KINDS[kind]
    judge(*in_pool(pool, make), node, causes)


@pytest.mark.wallclock
@pytest.mark.parametrize("kind", ["a serializer", "a retry predicate", "a deep copy"])
def test_the_chain_of_its_error_comes_home_from_a_process(kind):
    make, node, causes = KINDS[kind]
    judge(*in_pool("process", make), node, causes)


def test_a_condition_behind_a_reader_fails_the_item_of_the_reader_live():
    failures, metrics = in_pool("thread", behind_a_reader, read=3)
    judge(failures, metrics, "r", [Boom])


# -- takes= and fail= ----------------------------------------------------------


@pytest.mark.parametrize("given", [-1, float("nan"), float("inf"), 1e300, "1", None, True, 1j])
@pytest.mark.parametrize("node", [lambda x: x, own, lambda x, ctx: ctx.push("q", x)])
def test_takes_that_gives_no_seconds_fails_the_item_with_words(given, node):
    made = graph(("n", node, {"takes": lambda _: given}))
    made.add_queue_reader("r", queue="q", external=True).add_node("got").add_edge("r", "got")
    sim = made.simulate()
    assert sim.metrics["p"].failed == 3
    assert sim.metrics["r"].done == 0
    said = f"node 'n': its takes= function gave {given!r}: give seconds, 0 or more"
    assert [str(f.error) for f in sim.failures()] == [said] * 3


@pytest.mark.parametrize("options", [{}, {"timeout": 5}, {"retry": Retry(on=KeyError)}])
@pytest.mark.parametrize("is_async", [False, True])
def test_takes_that_raises_fails_the_item_with_the_node_s_own_error_behind_it(options, is_async):
    async def later(x):
        return own(x)

    made = graph(("n", later if is_async else own, {"takes": boom, **options}))
    errors = [f.error for f in made.simulate().failures()]
    assert [str(e) for e in errors] == ["node 'n': its takes= function raised Boom"] * 3
    assert [chain(e) for e in errors] == [[Boom], [Boom, ValueError], [Boom]]


def test_explain_names_the_takes_function_that_it_cannot_ask():
    with pytest.raises(CodeFailed, match="node 'n': its takes= function raised Boom"):
        graph(("n", None, {"takes": boom})).explain().capacity()
    with pytest.raises(RunError, match="node 'n': its takes= function gave 'x'"):
        graph(("n", None, {"takes": lambda _: "x"})).explain().capacity()


def test_fail_that_raises_fails_the_item():
    sim = graph(("n", None, {"fail": boom})).simulate()
    assert [str(f.error) for f in sim.failures()] == ["node 'n': its fail= raised Boom"] * 3


# -- what fails no item --------------------------------------------------------


@pytest.mark.parametrize("says", [boom, leave, lambda _: Odd(BAD), lambda _: ["skip"]])
@pytest.mark.parametrize("where", ["loop", "node"])
def test_an_on_error_function_that_fails_ends_its_loop_in_words(says, where):
    """Nobody has said what is to become of the item: it is neither skipped nor acked."""
    made = graph(("n", own, {"on_error": says} if where == "node" else {}))
    made.set_loop("p", on_error=says if where == "loop" else "skip")
    whose = "node 'n'" if where == "node" else "loop 'p'"
    with pytest.raises(CodeFailed, match=f"{whose}: its on_error= "):
        made.simulate()


@pytest.mark.parametrize("hook", [boom, leave])
def test_an_observer_that_raises_is_switched_off(hook, caplog):
    watcher = type("Watcher", (Observer,), {"on_span": hook, "on_event": hook})()
    sim = graph(("n", None, {})).use(watcher).simulate()
    assert sim.metrics["p"].done == 3
    assert [r.message for r in caplog.records] == [
        "observer Watcher raised in on_event and is switched off"
    ]


@pytest.mark.parametrize("item", [Odd(BAD), Written(v=BAD), {"x": Odd(BAD)}])
def test_what_cannot_even_be_shown_goes_to_the_dead_letters(item):
    made = Graph("g").add_producer("p", [1, item, 2]).add_node("n", lambda x: x + 1)
    sim = made.add_edge("p", "n").set_loop("p", on_error="dead_letter").simulate()
    assert (sim.metrics["p"].state, sim.metrics["p"].failed) == ("completed", 1)


@pytest.mark.parametrize("verb", ["setup", "teardown", "__deepcopy__"])
def test_what_a_class_node_s_own_verbs_raise_is_named(verb):
    node = type("Own", (BlockingNode,), {verb: boom, "run": lambda _, data: data.payload})()
    made = Graph("g").add_producer("p", [1]).add_node("n", node).add_edge("p", "n")
    if verb == "teardown":
        sim = made.simulate()
        assert [line.text for line in sim.logs()] == ["teardown failed: Boom"]
        return
    with pytest.raises(RunError, match=r"node 'n'.*Boom") as raised:
        made.simulate()
    assert isinstance(raised.value.__cause__, Boom)


def test_a_source_that_cannot_be_gone_through_is_named():
    source = type("Source", (), {"__iter__": boom})()
    with pytest.raises(CodeFailed, match=r"producer 'p': iter\(\) of its source raised Boom"):
        Graph("g").add_producer("p", source).add_node("n").add_edge("p", "n").simulate()


# -- one-shot runs -------------------------------------------------------------


class State(BaseModel):
    n: Any = 0

    @field_validator("n")
    @classmethod
    def checked(cls, v):
        return sometimes(v)


def arms(reducer):
    made = Graph("g", reducers={"t": reducer})
    return made.add_node("a", lambda _: {"t": 1}).add_node("b", lambda _: {"t": 2})


ONCE = {
    "a reducer": lambda: arms(boom).remove_node("b").add_node("z", lambda _: {"t": 3})
    .add_edge("a", "z"),
    "a reducer at a join": lambda: arms(boom).add_node("j").add_edge("a", "j").add_edge("b", "j"),
    "a reducer at the end": lambda: arms(boom),
    "over=": lambda: Graph("g").add_node("a", str, over=boom),
    "going through over=": lambda: Graph("g").add_node("a", str, over=lambda _: map(boom, [1])),
    "a condition": lambda: Graph("g").add_node("a").add_node("b")
    .add_edge("a", "b", condition=boom),
    "a cache key": lambda: Graph("g").add_node("a", lambda _: {}, cache=boom),
    "a handler": lambda: Graph("g").add_node("a", lambda _: own(BAD), on_error=boom),
    "a retry predicate": lambda: Graph("g").add_node("a", lambda _: own(BAD), retry=Retry(on=boom)),
}  # fmt: skip


def status_in(path):
    """How the run "r" ended, by its store."""
    store = open_store(path)
    try:
        return store.runs.load("r").status
    finally:
        store.close()


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("kind", ONCE)
def test_it_fails_a_run_with_its_own_error_and_a_note_of_what_raised_it(kind, kept, tmp_path):
    made, store = ONCE[kind](), tmp_path / "runs.sqlite"
    with pytest.raises(Boom) as raised:
        made.run({}, **({"store": store, "run_id": "r"} if kept else {}))
    assert any("raised Boom" in note for note in raised.value.__notes__)
    assert made.last_run.status == "failed"
    assert isinstance(made.last_run.state, dict)
    if kept:
        assert status_in(store) == "failed"


def test_a_state_model_s_own_error_is_named_with_the_node_that_it_hit():
    made = Graph("g", state_model=State).add_node("a", lambda _: {"n": BAD})
    with pytest.raises(RunError, match="what node 'a' returned does not fit State: Boom") as raised:
        made.run({})
    assert isinstance(raised.value.__cause__, Boom)
    with pytest.raises(RunError, match="the entry state does not fit State: Boom"):
        made.run({"n": BAD})


class Base(BaseModel):
    a: int = 0


class Derived(Base):
    b: int = 0


class Kept(BaseModel):
    token: SecretStr = SecretStr("")
    base: Base = Base()
    many: list[Base] = []
    seconds: float = 0.0
    words: set[str] = set()
    anything: Any = None


@pytest.mark.parametrize(("update", "said"), [
    ({"token": SecretStr("hush")}, r"what node 'a' returned: \.token: a SecretStr is not written"),
    ({"base": Derived(b=1)}, r"what node 'a' returned: \.base: a Derived comes back as"),
    ({"many": [Base(), Derived()]}, r"what node 'a' returned: \.many\[1\]: a Derived comes"),
    ({"anything": {"x": (1,)}}, r"what node 'a' returned: \.anything\.x: \(1,\) comes back"),
    ({"anything": Written(v=BAD)}, r"what node 'a' returned: \.anything: PydanticSerializationErr"),
])  # fmt: skip
def test_what_a_store_would_lose_of_a_state_model_is_refused_with_its_field(update, said, tmp_path):
    made = Graph("g", state_model=Kept).add_node("a", lambda _: update)
    with pytest.raises(StoreError, match=said) as raised:
        made.run({}, store=tmp_path / "r.sqlite", run_id="r")
    assert "hush" not in str(raised.value)
    assert status_in(tmp_path / "r.sqlite") == "failed"


def test_what_a_state_model_makes_the_same_of_is_kept(tmp_path):
    update = {"seconds": 1, "words": ["x"], "base": Base(a=1), "many": [Base()], "anything": [1]}
    made = Graph("g", state_model=Kept).add_node("a", lambda _: update)
    run = made.run({}, store=tmp_path / "r.sqlite")
    assert (run.state.seconds, run.state.words) == (1.0, {"x"})


@pytest.mark.parametrize("joins", [False, True])
def test_a_state_that_cannot_be_copied_fails_the_node_behind_the_edge(joins):
    made = Graph("g").add_node("a", lambda _: {"x": Odd(BAD)}).add_node("b")
    made.add_edge("a", "b", copy=True)
    if joins:
        made.add_node("c").add_edge("c", "b")
    with pytest.raises(RunError, match="edge a -> b has copy=True, but the state cannot be copied"):
        made.run({})
    assert made.last_run.nodes["b"] == "failed"


def test_a_run_whose_state_cannot_be_kept_is_kept_as_failed(tmp_path):
    made = Graph("g").add_node("a", lambda s: s["l"].append(object()))
    with pytest.raises(StoreError):
        made.run({"l": []}, store=tmp_path / "r.sqlite", run_id="r")
    assert status_in(tmp_path / "r.sqlite") == "failed"


@pytest.mark.parametrize("raises", [boom, leave])
def test_a_run_shows_what_has_no_repr_by_its_class(raises):
    made = type("Mute", (), {"__repr__": raises})
    run = Graph("g").add_node("a", lambda _: {"x": [made()]}).run({})
    error = {boom: "Boom", leave: "SystemExit"}[raises]
    assert f"{{'x': [<Mute, whose repr raises {error}>]}}" in repr(run)
    assert run.logs[0].output == f"{{'x': [<Mute, whose repr raises {error}>]}}"


def test_step_tells_the_same():
    with pytest.raises(Boom) as raised:
        Graph("g").add_node("a", lambda _: own(BAD), retry=Retry(on=boom)).step("a", {})
    assert isinstance(raised.value.__cause__, ValueError)


# -- messages that cannot be read ----------------------------------------------


@pytest.mark.wallclock
@pytest.mark.parametrize("pool", ["thread", "asyncio"])
def test_a_message_that_its_model_refuses_is_told_and_can_be_replayed(pool):
    def stranger(client, *texts):
        for text in texts:
            client.xadd(Keys("flownb", "g").queue("q"), {"data": text})

    async def scenario():
        client = fakeredis.FakeRedis()
        stranger(client, '{"v": 1}', '{"v": "bad"}', "{", '{"v": 2}')
        made = Graph("g").add_producer("p", []).add_queue("q", model=Checked).add_edge("p", "q")
        made.add_queue_reader("r", queue="q").add_node("n", keep=9).add_edge("r", "n")
        async with made.set_loop("r", pool=pool).start(redis=client) as orch:
            status = await orch.wait(timeout=30)
            assert [checked.v for checked in orch.outputs("n")] == [1, 2]
            assert (status.errors, status["r"].unread, status["r"].failed) == (2, 2, 0)
            refused, broken = orch.failures()
            assert (refused.item, broken.item) == ({"v": "bad"}, "{")
            assert chain(refused.error) == [Boom]
            lines = [line.text for line in orch.logs() if line.level == "error"]
            assert lines == [f"this message went to the dead letters: {f.error}"
                             for f in (refused, broken)]  # fmt: skip
            letters = await orch.queues.dead("r")
            assert [letter.get("lossy", False) for letter in letters] == [False, True]

    asyncio.run(scenario())


def test_unread_messages_are_counted_where_the_loop_lives(monkeypatch):
    def picky(text, *, model=None, codec="json"):
        if BAD.encode() in text:
            msg = "no"
            raise ValueError(msg) from Boom()
        return loads(text, model=model, codec=codec)

    monkeypatch.setattr("flownb.queues.payload.loads", picky)
    made = Graph("g").add_producer("p", [1, BAD, 2]).add_queue("q").add_edge("p", "q")
    made.add_queue_reader("r", queue="q").add_node("n", keep=9).add_edge("r", "n")
    sim = made.simulate()
    assert sim.outputs("n") == [1, 2]
    (failure,) = sim.failures()
    assert (failure.loop, failure.node, failure.item) == ("r", "r", f'"{BAD}"')
    assert isinstance(failure.error, QueueError)
    assert chain(failure.error) == [Boom]
    assert (sim.metrics["r"].unread, sim.metrics["r"].failed) == (1, 0)
    assert "1 unread message" in repr(sim)
    assert [e.kind for e in sim.events if e.kind == "unread"] == ["unread"]
    assert any("went to the dead letters" in line.text for line in sim.logs())
