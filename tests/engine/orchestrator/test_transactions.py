"""Do pushes leave with the ack, all or none, and do dead letters come back?"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from flownb import Graph
from flownb.errors import LoopStopped, QueueError
from tests.support.live import live, until

pytestmark = pytest.mark.wallclock


@pytest.fixture(params=["fake", pytest.param("server", marks=pytest.mark.redis)])
def redis(request: pytest.FixtureRequest):
    """What to give start(redis=...)."""
    return None if request.param == "fake" else request.getfixturevalue("real_server_url")


def moving(name, work, *, transactional=True, on_error="skip", **out):
    graph = Graph(name).add_queue_reader("move", queue="in", external=True)
    graph.add_node("work", work).add_queue("out", external=True, **out)
    graph.add_edge("move", "work", "out")
    return graph.set_loop("move", transactional=transactional, on_error=on_error)


async def popped(orch, queue):
    """What is in a queue, in order."""
    found = []
    while (message := await orch.queues.pop(queue, 0)) is not None:
        await orch.queues.ack(queue, [message.id])
        found.append(message.payload)
    return found


async def some_letters(orch, loop, count):
    """The dead letters of a loop, once there are so many."""
    for _ in range(2000):
        letters = await orch.queues.dead(loop)
        if len(letters) == count:
            break
        await asyncio.sleep(0.005)
    assert len(letters) == count
    return letters


async def settled(orch, count):
    await until(lambda: orch.metrics()["move"].done + orch.metrics()["move"].failed >= count)
    while (await orch.queues.stats("in")).depth:
        await until(lambda: True)


@live
async def test_what_a_failed_item_pushed_is_not_there(redis):
    async def work(n, ctx):
        await ctx.push("out", -n)
        if n == 2:
            raise ValueError("no")
        return n

    for transactional, expected in ((True, [-1, 1, -3, 3]), (False, [-1, 1, -2, -3, 3])):
        graph = moving(f"failed {transactional}", work, transactional=transactional)
        orch = graph.start(redis=redis)
        for n in (1, 2, 3):
            await orch.queues.push("in", n)
        await settled(orch, 3)
        assert await popped(orch, "out") == expected
        await orch.stop()


@live
async def test_what_a_failed_attempt_pushed_is_not_there(redis):
    from flownb import Retry

    attempts = []

    def work(n, ctx):
        attempts.append(n)
        ctx.push("out", len(attempts))
        if len(attempts) < 3:
            raise ValueError("again")
        return n

    graph = moving("attempts", work)
    graph.add_node("work", work, retry=Retry(on=ValueError, wait_initial=0.001, wait_max=0.001))
    orch = graph.start(redis=redis)
    await orch.queues.push("in", 9)
    await settled(orch, 1)
    assert await popped(orch, "out") == [3, 9]
    await orch.stop()


@live
async def test_nothing_is_there_before_the_item_has_settled(redis):
    gate = asyncio.Event()

    async def slow(n):
        await gate.wait()

    graph = (
        moving("held", None).add_node("slow", slow, kind="non_blocking").add_edge("move", "slow")
    )
    orch = graph.set_loop("move", transactional=True, pool="asyncio").start(redis=redis)
    await orch.queues.push("in", 1)
    await until(lambda: orch.metrics()["move"].nodes["out"].calls == 1)
    assert (await orch.queues.stats("out")).depth == 0
    gate.set()
    await settled(orch, 1)
    assert await popped(orch, "out") == [1]
    await orch.stop()


@live
async def test_a_full_queue_holds_the_whole_loop_up(redis):
    orch = moving("full", None, maxlen=5).start(redis=redis)
    for n in range(200):
        await orch.queues.push("in", n)
    await until(lambda: orch.metrics()["move"].produced >= 5)
    before = -1
    while before != (before := orch.metrics()["move"].produced):
        for _ in range(20):
            await until(lambda: True)
            await asyncio.sleep(0.01)
    assert before < 30, "the loop went on although nobody reads"
    assert (await orch.queues.stats("out")).depth == 5
    got = []
    while len(got) < 200:
        message = await orch.queues.pop("out", 30)
        got.append(message.payload)
        await orch.queues.ack("out", [message.id])
    assert sorted(got) == list(range(200))
    await orch.stop()


@pytest.mark.parametrize("transactional", [True, False])
@live
async def test_dead_letters_of_a_reading_loop_are_offered_again(redis, transactional):
    broken = True

    def work(n):
        if broken:
            raise ValueError(f"no {n}")
        return n

    name = f"replay {transactional}"
    graph = moving(name, work, transactional=transactional, on_error="dead_letter")
    orch = graph.start(redis=redis)
    await orch.queues.push("in", 1)
    await orch.queues.push("in", {"two": 2})
    await settled(orch, 2)
    letters = await orch.queues.dead("move")
    assert [letter["item"] for letter in letters] == [1, {"two": 2}]
    assert set(letters[0]) == {
        "id", "loop", "node", "iteration", "item", "attempts", "error", "traceback", "queue",
        "message_id",
    }  # fmt: skip
    assert (letters[0]["node"], letters[0]["error"]) == ("work", "ValueError: no 1")
    assert "in work" in letters[0]["traceback"]
    broken = False
    orch.resume()
    assert await letters.replay(letters[1]["id"]) == 1
    await settled(orch, 3)
    assert await popped(orch, "out") == [{"two": 2}]
    assert [letter["item"] for letter in await orch.queues.dead("move")] == [1]
    await orch.stop()
    assert await (await orch.queues.dead("move")).replay() == 1
    assert await orch.queues.dead("move") == []


@live
async def test_dead_letters_of_a_loop_that_makes_its_items_go_when_they_have_settled(redis):
    failing, seen = {0, 1}, []

    def work(n):
        if n in failing:
            raise ValueError("no")
        seen.append(n)

    graph = (
        Graph(f"source{time.monotonic_ns()}")
        .add_producer("count", every=0.01)
        .add_node("work", work)
    )
    graph.add_edge("count", "work").set_loop("count", on_error="dead_letter")
    orch = graph.start(redis=redis)
    await orch.wait(5, timeout=30)
    letters = await orch.queues.dead("count")
    assert [letter["item"] for letter in letters] == [0, 1]
    failing.remove(0)
    assert await letters.replay() == 2
    await until(lambda: 0 in seen, "one of them works")
    await until(lambda: orch.metrics()["count"].failed == 3, "the other fails again")
    old = {letter["id"] for letter in letters}
    for _ in range(2000):  # it leaves when the new one is there, and is counted as failed before
        left = await orch.queues.dead("count")
        if old.isdisjoint(letter["id"] for letter in left):
            break
        await asyncio.sleep(0.005)
    assert [letter["item"] for letter in left] == [1]
    assert old.isdisjoint(letter["id"] for letter in left)
    await orch.stop()
    with pytest.raises(LoopStopped, match=r"loop 'count' has ended: orch\.start"):
        await left.replay()


@live
async def test_what_was_not_json_cannot_be_offered_again(redis):
    graph = Graph("lossy").add_producer("count", [{1, 2}], every=0.01)
    graph.add_node("work", lambda _: 1 / 0).add_edge("count", "work")
    orch = graph.set_loop("count", on_error="dead_letter").start(redis=redis)
    await orch.wait(timeout=30)
    letters = await orch.queues.dead("count")
    assert letters[0]["lossy"]
    with pytest.raises(QueueError, match="hold a text in place of an item that was not JSON"):
        await letters.replay()
    await orch.stop()


@pytest.mark.parametrize("when_full", ["block", "drop_newest", "drop_oldest", "error"])
@live
async def test_a_letter_comes_back_once_however_often_it_is_offered(redis, when_full):
    seen, broken = [], True

    def work(n):
        if broken:
            raise ValueError("no")
        seen.append(n)

    graph = Graph(f"once {when_full}").add_producer("none", [])
    graph.add_queue("in", maxlen=3, when_full=when_full).add_edge("none", "in")
    graph.add_queue_reader("move", queue="in", external=True).add_node("work", work).add_edge(
        "move", "work"
    )
    orch = graph.set_loop("move", on_error="dead_letter").start(redis=redis)
    for n in range(8):
        await orch.queues.push("in", n)
        letters = await some_letters(orch, "move", n + 1)
    broken = False
    orch.resume()
    offered = await asyncio.gather(*[letters.replay() for _ in range(3)])
    assert sum(offered) == 8
    assert await letters.replay() == 0
    await until(lambda: len(seen) >= 8)
    await asyncio.sleep(0.1)
    assert sorted(seen) == list(range(8))
    await orch.stop()


@live
async def test_a_letter_of_a_loop_that_makes_its_items_comes_back_once_too():
    seen, gate = [], asyncio.Event()

    async def work(n):
        if n == 0 and not seen:
            seen.append("failed")
            raise ValueError("no")
        await gate.wait()
        seen.append(n)

    graph = Graph("once").add_producer("count", every=0.01).add_node("work", work)
    graph.add_edge("count", "work").set_loop("count", on_error="dead_letter", pool="asyncio")
    orch = graph.start()
    letters = await some_letters(orch, "count", 1)
    assert await letters.replay() == 1
    assert await letters.replay() == 1  # it waits or is at work: it is not offered twice
    gate.set()
    await until(lambda: 0 in seen)
    await some_letters(orch, "count", 0)
    assert await letters.replay() == 0
    await orch.stop()
    assert seen.count(0) == 1


@live
async def test_what_all_have_settled_leaves_a_broadcast_queue_also_with_full_queues_behind(redis):
    seen = []
    graph = (
        Graph("news").add_producer("count", range(40)).add_queue("in", mode="broadcast", maxlen=9)
    )
    graph.add_edge("count", "in")
    for name in "ab":
        graph.add_queue_reader(name, queue="in").add_queue(f"out {name}", maxlen=3)
        graph.add_edge(name, f"out {name}").set_loop(name, transactional=True)
        graph.add_queue_reader(f"end {name}", queue=f"out {name}")
        graph.add_node(f"see {name}", seen.append).add_edge(f"end {name}", f"see {name}")
    orch = graph.start(redis=redis)
    await orch.wait(timeout=30)
    assert sorted(seen) == sorted([*range(40), *range(40)])
    assert (await orch.queues.stats("in")).depth == 0
    await orch.stop()


@pytest.mark.parametrize("pool", ["thread", "process"])
@live
async def test_many_letters_are_offered_in_one_message_and_each_comes_back_once(
    redis, pool, tmp_path
):
    mended, done = tmp_path / "mended", tmp_path / "done"

    def count():
        yield "works"  # a node that never did pauses its loop
        yield from map(str, range(400))
        while True:
            yield None

    def work(n):
        if n != "works" and not mended.exists():
            raise ValueError("no")
        with done.open("a") as file:
            file.write(f"{n}\n")

    graph = Graph(f"many {pool}").add_producer("count", count).add_node("work", work)
    graph.add_edge("count", "work").set_loop("count", on_error="dead_letter", pool=pool)
    orch = graph.start(redis=redis)
    letters = []
    while len(letters) < 400:
        letters = await orch.queues.dead("count", 400)
    mended.touch()
    host = orch._live.loop_runs["count"].host
    asked, command = [], host.command
    host.command = lambda verb, *args: (asked.append(verb), command(verb, *args))
    assert sum(await asyncio.gather(*[letters.replay() for _ in range(3)])) >= 400
    await some_letters(orch, "count", 0)
    assert asked == ["offer"] * 3
    await orch.stop()
    assert Counter(done.read_text().split()) == Counter(["works", *map(str, range(400))])


@live
async def test_a_letter_comes_back_to_a_reader_of_news_that_has_nothing_to_read(redis):
    seen, broken = [], True

    def work(n):
        if broken and n:
            raise ValueError("no")
        seen.append(n)

    graph = Graph("idle").add_producer("count", range(3)).add_queue("in", mode="broadcast")
    graph.add_edge("count", "in").add_queue_reader("read", queue="in", external=True)
    graph.add_node("work", work).add_edge("read", "work").set_loop("read", on_error="dead_letter")
    orch = graph.start(redis=redis)
    letters = await some_letters(orch, "read", 2)
    broken = False
    assert await letters.replay() == 2
    await some_letters(orch, "read", 0)
    assert seen == [0, 1, 2]
    await orch.stop()
