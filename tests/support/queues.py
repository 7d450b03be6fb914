"""What do the queue tests share? Two queues, a manager, and ways to let things happen."""

from __future__ import annotations

import asyncio

from flownb.queues import QueueManager, QueueSpec
from flownb.queues.redis.exchange import ask

Q = QueueSpec("q")
NEWS = QueueSpec("news", mode="broadcast", readers=("a", "b"))


def manager(server, *specs, consumer="me", graph="g", **more):
    """A manager of graph "g"; without `specs` it has the competing queue "q"."""
    return QueueManager(server, graph=graph, specs=specs or (Q,), consumer=consumer, **more)


async def said(queues, *words):
    """What the server of a manager says to a command."""
    return await ask(queues._to.link.looks, *map(str, words))


def key_of(queues, name):
    """The stream of a queue."""
    return queues._keys.of(queues._specs[name])


async def drain(queues, queue, reader, *, count=100):
    """Everything that is there for `reader`, acked."""
    payloads = []
    while messages := await queues.read(queue, reader=reader, count=count, timeout=0):
        payloads += [message.payload for message in messages]
        await queues.ack(queue, [message.id for message in messages], reader=reader)
    return payloads


async def turns(count):
    """Give the event loop `count` turns: on fakeredis all that can happen has happened then."""
    for _ in range(count):
        await asyncio.sleep(0)
