"""How fast does another task queue take a trivial task through a Redis? One of them a process.

The programs that test_queue_peers.py starts, each in an interpreter that has the peer: nothing
of flownb or pytest is imported here. A peer is a function from the server's socket to two
calls: `push(count)` sends so many messages, `work()` is the worker, for ever. Results are off,
messages are JSON where the peer lets one choose, and the settings are the quickest found, of
those that its users have. The worker has this process, who pushes has another: in two threads
of one process each of them was slower, by a third to a half.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import version

Push = Callable[[int], object]
Work = Callable[[], object]
Made = tuple[Push, Work]

WARM_UP = 50  # messages before the clock starts: imports, connections and scripts are paid
TOGETHER = 100  # messages sent at a time, where the peer can


def messages(count: int) -> list[dict]:
    return [{"day": n, "rain": n / 2, "place": "Ulm"} for n in range(count)]


def batches(count: int) -> Iterator[list[dict]]:
    whole = messages(count)
    return (whole[first : first + TOGETHER] for first in range(0, count, TOGETHER))


class Counter:
    """Counts the messages that are through, in any thread, and can be waited for."""

    def __init__(self) -> None:
        self._numbers, self._expected = itertools.count(1), -1
        self._reached = threading.Event()

    def expect(self, number: int) -> None:
        self._expected = number
        self._reached.clear()

    def add(self) -> None:
        if next(self._numbers) == self._expected:
            self._reached.set()

    def wait(self) -> None:
        self._reached.wait()


counter = Counter()


def node(item: dict) -> None:
    """Do next to nothing."""
    assert item["place"] == "Ulm"
    counter.add()


async def async_node(item: dict) -> None:
    node(item)


def gathered(send: Callable[[dict], Awaitable]) -> Push:
    """Make a push of a coroutine function, on an event loop of its own."""

    async def push(count: int) -> None:
        for batch in batches(count):
            await asyncio.gather(*(send(item) for item in batch))

    event_loop = asyncio.new_event_loop()
    return lambda count: event_loop.run_until_complete(push(count))


# -- the peers, as their users write them --------------------------------------------


def arq(path: str) -> Made:
    from arq.connections import ArqRedis, RedisSettings
    from arq.worker import Worker, func
    from redis.asyncio import BlockingConnectionPool, UnixDomainSocketConnection

    kind = UnixDomainSocketConnection
    pool = BlockingConnectionPool(TOGETHER, connection_class=kind, path=path)

    async def task(_: dict, item: dict) -> None:
        node(item)

    async def work() -> None:
        worker = Worker(
            [func(task, name="task")], redis_settings=RedisSettings(unix_socket_path=path),
            max_jobs=100, poll_delay=0.01, keep_result=0, handle_signals=False,
        )  # fmt: skip
        await worker.async_run()

    client = ArqRedis(pool)
    return gathered(lambda item: client.enqueue_job("task", item)), lambda: asyncio.run(work())


def celery(path: str) -> Made:
    from celery import Celery

    app = Celery("peer", broker=f"redis+socket://{path}")
    app.conf.update(
        task_ignore_result=True, task_publish_retry=False, worker_prefetch_multiplier=100,
        worker_disable_rate_limits=True, worker_enable_remote_control=False,
        worker_redirect_stdouts=False,  # else what this program prints goes to celery's log
    )  # fmt: skip
    task = app.task(name="node")(node)
    worker = app.Worker(
        pool="solo", concurrency=1, quiet=True, loglevel="ERROR", without_gossip=True,
        without_mingle=True, without_heartbeat=True,
    )  # fmt: skip
    return lambda count: [task.delay(item) for item in messages(count)], worker.start


def dramatiq(path: str) -> Made:
    from dramatiq import Worker, actor, set_broker
    from dramatiq.brokers.redis import RedisBroker
    from redis import Redis

    broker = RedisBroker(client=Redis(unix_socket_path=path), middleware=[])
    set_broker(broker)
    task = actor(node)

    def work() -> None:
        worker = Worker(broker, worker_threads=2)  # one, or more: slower
        worker.queue_prefetch = 1_000  # as the variable dramatiq_queue_prefetch does
        worker.start()
        threading.Event().wait()

    return lambda count: [task.send(item) for item in messages(count)], work


def huey(path: str) -> Made:
    from huey import RedisHuey
    from redis import ConnectionPool, UnixDomainSocketConnection

    pool = ConnectionPool(connection_class=UnixDomainSocketConnection, path=path)
    app = RedisHuey("peer", connection_pool=pool, results=False)
    task = app.task()(node)
    worker = app.create_consumer(workers=1, periodic=False, initial_delay=0.001)
    return lambda count: [task(item) for item in messages(count)], worker.run


def rq(path: str) -> Made:
    from redis import Redis
    from rq import Queue, SimpleWorker
    from rq.serializers import JSONSerializer

    queue = Queue(connection=Redis(unix_socket_path=path), serializer=JSONSerializer)
    worker = SimpleWorker(
        [queue], connection=Redis(unix_socket_path=path), serializer=JSONSerializer
    )

    def push(count: int) -> None:
        for batch in batches(count):
            queue.enqueue_many(
                [Queue.prepare_data(node, args=(item,), result_ttl=0) for item in batch]
            )

    return push, lambda: worker.work(logging_level="ERROR")


def taskiq(path: str) -> Made:
    from taskiq.receiver import Receiver
    from taskiq_redis import ListQueueBroker  # quicker than its RedisStreamBroker, which acks

    here, there = (ListQueueBroker(f"unix://{path}") for _ in range(2))
    task = there.task(task_name="node")(async_node)  # plain functions hop to a thread: slower
    here.task(task_name="node")(async_node)

    async def work() -> None:
        here.is_worker_process = True
        await here.startup()
        await Receiver(
            here, max_async_tasks=100, max_prefetch=100, validate_params=False, run_startup=False
        ).listen(asyncio.Event())

    return gathered(task.kiq), lambda: asyncio.run(work())


PEERS = {
    "arq": arq, "celery": celery, "dramatiq": dramatiq, "huey": huey, "rq": rq, "taskiq": taskiq,
}  # fmt: skip


# -- what the test calls: python -c "import queue_peers; queue_peers.FUNCTION(...)" --------


def versions(name: str) -> None:
    """Print what would run, or fail with the name of what is not installed."""
    also = ["taskiq-redis"] if name == "taskiq" else []
    print(", ".join(f"{package} {version(package)}" for package in [name, *also, "redis"]))


def push_when_told(name: str, path: str, items: int) -> None:
    push, _ = PEERS[name](path)
    push(WARM_UP)
    print("ready", flush=True)
    sys.stdin.readline()
    push(items)


def rate(name: str, path: str, items: int) -> None:
    """Print how many messages a second go from the push to the end of the node."""
    _, work = PEERS[name](path)
    threading.Thread(target=_measure, args=(name, path, items), daemon=True).start()
    work()


def _measure(name: str, path: str, items: int) -> None:
    counter.expect(WARM_UP)
    code = f"import queue_peers; queue_peers.push_when_told({name!r}, {path!r}, {items})"
    pusher = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert pusher.stdout.readline() == "ready\n"
    counter.wait()
    counter.expect(WARM_UP + items)
    begun = time.perf_counter()
    pusher.communicate("go\n")
    counter.wait()
    print(items / (time.perf_counter() - begun), flush=True)
    os._exit(0)  # workers have no other end that is quick
