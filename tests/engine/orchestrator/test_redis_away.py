"""Do live loops wait while their Redis is away, say so, and lose nothing?"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

import pytest

from flownb import Graph
from flownb.errors import QueueError, QueueUnavailable
from flownb.queues import open_server
from tests.support.live import live, until
from tests.support.queues import manager
from tests.support.servers import RestartableServer
from tests.support.standstill import Stopwatch

pytestmark = [pytest.mark.wallclock, pytest.mark.redis]


@pytest.fixture
def durable():
    """A real server of one test, with an append-only file."""
    with RestartableServer() as server:
        yield server


def passing(name, numbers, seen, *, pool="thread", every=0.002):
    graph = Graph(name).add_producer("count", numbers, every=every)
    graph.add_queue("line", kind="blocking").add_edge("count", "line")
    graph.add_queue_reader("read", queue="line").add_node("see", seen.append)
    return graph.add_edge("read", "see").set_loop("read", pool=pool).set_loop("count", pool=pool)


async def restarts(durable, times, *, hang=0.0):
    """Kill (or hang) the server again and again under two loops; what they saw."""
    seen, count = [], 150 * times
    orch = passing("restarts", range(count), seen).start(redis=durable.url)
    waits = []
    for n in range(times):
        await until(lambda n=n: len(seen) > 100 * n, "something seen", 20)
        if hang:
            durable.signal(signal.SIGSTOP)
            await asyncio.sleep(hang)
            durable.signal(signal.SIGCONT)
        else:
            durable.kill()
            await asyncio.sleep(0.1)
            durable.start()
        before = len(seen)
        with Stopwatch() as wait:
            await until(lambda before=before: len(seen) > before or len(seen) >= count, "more", 30)
        waits.append(wait.seconds)
    status = await orch.wait(timeout=60)
    assert {s.state for s in status.loops} == {"completed"}
    await orch.stop()
    doubles = sum(n - 1 for n in Counter(seen).values())
    print(f"{times} times: back after {max(waits):.2f} s at most, {doubles} doubles of {count}")
    assert set(seen) == set(range(count))
    assert doubles <= 20 * times
    assert sorted(waits)[len(waits) // 2] < 2, "the machine is busy, but not always"
    assert max(waits) < 10


@live
async def test_of_five_restarts_loops_notice_nothing_but_the_wait(durable):
    await restarts(durable, 5)


@live
async def test_a_server_that_hangs_is_waited_for(durable):
    await restarts(durable, 1, hang=1)


@pytest.mark.nightly
@pytest.mark.timeout(300)
@live
async def test_of_fifty_restarts_loops_notice_nothing_but_the_wait(durable):
    await restarts(durable, 50)


@pytest.mark.nightly
@pytest.mark.timeout(300)
@live
async def test_a_server_that_hangs_for_longer_than_any_timeout_is_waited_for(durable):
    await restarts(durable, 4, hang=6)


@pytest.mark.parametrize("pool", ["asyncio", "thread", "process"])
@live
async def test_the_status_says_since_when_redis_is_away(durable, pool):
    seen = []
    orch = passing(f"away {pool}", None, seen, pool=pool, every=0.01).start(redis=durable.url)
    await until(lambda: orch.metrics()["read"].done > 3, "some items")
    durable.kill()
    await until(lambda: all(s.reason for s in orch.status().loops), "reasons")
    for status in orch.status().loops:
        assert status.state == "running"
        assert status.reason.startswith("redis is away since ")
        assert status.reason.endswith(f" s ({durable.url})")
    durable.start()
    await until(lambda: not any(s.reason for s in orch.status().loops), "no reasons")
    done = orch.metrics()["read"].done
    await until(lambda: orch.metrics()["read"].done > done + 3, "more items")
    told = [line.text for line in orch.logs(loop="read") if "redis" in line.text]
    assert told == [f"redis is away ({durable.url}): waiting for it", "redis is back"]
    await orch.stop()


@live
async def test_stop_works_while_redis_is_away(durable):
    orch = passing("stopped", None, [], every=0.01).start(redis=durable.url)
    await until(lambda: orch.metrics()["read"].done > 3)
    durable.kill()
    await until(lambda: all(s.reason for s in orch.status().loops))
    with Stopwatch() as stop:
        await orch.stop(grace=0.5)
    assert stop.seconds < 2.5
    durable.start()


@live
async def test_stop_takes_little_more_than_its_grace_while_redis_hangs(durable):
    """Items at work, pushes that wait for room, acks on their way: nobody hears of them."""
    graph = Graph("hanging").add_producer("count", every=0.002)
    graph.add_queue("line", kind="blocking", maxlen=5).add_edge("count", "line")
    graph.add_queue_reader("read", queue="line").add_node("see", lambda n: n)
    graph.add_queue("out", external=True).add_edge("read", "see", "out")
    orch = graph.set_loop("read", transactional=True).start(redis=durable.url)
    await until(lambda: orch.metrics()["read"].done > 3, "some items", 20)
    durable.signal(signal.SIGSTOP)
    await asyncio.sleep(0.2)
    with Stopwatch() as stop:
        await orch.stop(grace=0.5)
    durable.signal(signal.SIGCONT)
    assert stop.seconds < 0.5 + 1.2


@live
async def test_all_parts_of_a_goodbye_that_nobody_hears_share_one_second(durable):
    queues = manager(open_server(durable.url), consumer="me", patient=True)
    await queues.push("q", 1)
    await queues.push("q", 2)
    first, _ = await queues.read("q", reader="read", count=2, timeout=0)
    durable.signal(signal.SIGSTOP)
    ack = asyncio.create_task(queues.ack("q", [first.id], reader="read"))
    await asyncio.sleep(0.05)
    with Stopwatch() as close:
        await queues.aclose()
    durable.signal(signal.SIGCONT)
    assert close.seconds < 1.5  # the ack, and that the other message is free: 2 s
    with pytest.raises(QueueError, match="closed"):
        await ack


@live
async def test_an_absence_at_the_start_is_one_clear_error_or_the_fallback_asked_for():
    graph = passing("absent", range(3), seen := [])
    with pytest.raises(QueueUnavailable) as absent:
        graph.start(redis="redis://:secret@127.0.0.1:1")
    assert str(absent.value).startswith(
        "graph 'absent': no usable Redis at redis://127.0.0.1:1 (ConnectionError): start it there"
    )
    orch = graph.start(redis=["redis://:secret@127.0.0.1:1", None])
    assert orch.status().server == "fakeredis in this kernel"
    await orch.wait(timeout=30)
    assert seen == [0, 1, 2]
    with pytest.raises(QueueUnavailable, match=r"nobody answers at redis://127\.0\.0\.1:1: start"):
        graph.start(redis=["redis://:secret@127.0.0.1:1"])
