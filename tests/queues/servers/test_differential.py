"""Does fakeredis behave like a real server, whatever a program does with its queues?

Hypothesis writes programs of push, read, ack, close and stats; each runs on both.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flownb.queues import QueueSpec, open_server
from tests.support.queues import manager

SPECS = (
    QueueSpec("free"),
    QueueSpec("newest", maxlen=3, when_full="drop_newest"),
    QueueSpec("oldest", maxlen=3, when_full="drop_oldest"),
    QueueSpec("news", mode="broadcast", readers=("a", "b")),
    QueueSpec("ticker", mode="broadcast", readers=("a", "b"), maxlen=3, when_full="drop_oldest"),
)
queues = st.sampled_from([spec.name for spec in SPECS])
readers = st.sampled_from(["a", "b", "manual"])
hosts = st.sampled_from(["x", "y"])
steps = st.one_of(
    st.tuples(st.just("push"), hosts, queues, st.integers(1, 4)),
    st.tuples(st.just("read"), hosts, queues, readers, st.integers(1, 4)),
    st.tuples(st.just("ack"), hosts, queues, readers, st.integers(0, 3)),
    st.tuples(st.just("bury"), hosts, queues, readers),
    st.tuples(st.just("replay"), hosts, readers),
    st.tuples(st.just("settle"), hosts, queues, readers, queues),
    st.tuples(st.just("stats"), hosts, queues),
    st.tuples(st.just("reopen"), hosts),
    st.tuples(st.just("clear"), hosts, queues),
)


class Program:
    """Runs steps on a server and notes what a user can see, ids as numbers."""

    def __init__(self, server):
        self.server = server
        self.hosts = {}
        self.held = {}
        self.names = {}
        self.seen = []

    async def run(self, program):
        for step in program:
            self.seen.append((step, await getattr(self, step[0])(*step[1:])))
        for spec in SPECS:
            self.seen.append(await self.stats("x", spec.name))
        for host in self.hosts.values():
            await host.aclose()
        return self.seen

    def host(self, name):
        if name not in self.hosts:
            self.hosts[name] = manager(self.server, *SPECS, consumer=name)
        return self.hosts[name]

    def name(self, queue, entry_id):
        """Ids differ between servers; the order in which they turn up does not."""
        return entry_id and self.names.setdefault((queue, entry_id), len(self.names))

    async def push(self, host, queue, count):
        payloads = range(len(self.seen) * 10, len(self.seen) * 10 + count)
        pushes = [self.host(host).push(queue, n) for n in payloads]
        return [self.name(queue, entry_id) for entry_id in await asyncio.gather(*pushes)]

    async def read(self, host, queue, reader, count):
        messages = await self.host(host).read(queue, reader=reader, count=count, timeout=0)
        self.held.setdefault((queue, reader), []).extend(messages)
        return [(self.name(queue, m.id), m.payload, m.deliveries) for m in messages]

    async def ack(self, host, queue, reader, at):
        held = self.held.get((queue, reader), [])
        ids = [message.id for message in held[at : at + 2]]
        del held[at : at + 2]
        await self.host(host).ack(queue, ids, reader=reader)

    async def bury(self, host, queue, reader):
        held = self.held.get((queue, reader), [])
        if held:
            await self.host(host).dead_letter(
                held.pop(),
                loop=reader,
                record={"n": len(self.seen), "item": len(self.seen)},
                reader=reader,
            )
        return [letter["n"] for letter in await self.host(host).dead(reader)]

    async def replay(self, host, reader):
        letters = await self.host(host).dead(reader)
        return await letters.replay(*[letter["id"] for letter in letters[:2]])

    async def settle(self, host, queue, reader, target):
        """Ack a message and push another in one step, as a transactional loop does."""
        held = self.held.get((queue, reader), [])
        if held:
            queues = self.host(host)
            push = queues.hold(target, len(self.seen))
            return await queues.settle(held.pop(), [push], reader=reader)
        return None

    async def stats(self, host, queue):
        return await self.host(host).stats(queue)

    async def reopen(self, host):
        await self.host(host).aclose()
        del self.hosts[host]

    async def clear(self, host, queue):
        return await self.host(host).clear(queue)


def check(figures):
    """What holds for the figures of any queue on any server."""
    assert 0 <= figures.backlog <= figures.depth <= figures.pushed
    assert all(group.lag >= 0 and group.pending >= 0 for group in figures.groups)


def programs(count):
    """Run a test over that many programs."""
    own = settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    return lambda test: own(given(program=st.lists(steps, max_size=25))(test))


@pytest.mark.redis
@programs(200)
def test_any_program_sees_the_same_on_both(real_server_url, program):
    compare(real_server_url, program)


@pytest.mark.redis
@pytest.mark.nightly
@pytest.mark.timeout(600)
@programs(2_000)
def test_two_thousand_programs_see_the_same_on_both(real_server_url, program):
    compare(real_server_url, program)


def compare(real_server_url, program):
    """Run a program on both; nobody may see a difference."""

    async def both():
        real = open_server(real_server_url)
        link = real.connect()
        await link.looks.exchange([("FLUSHALL",)])
        await link.aclose()
        return (
            await Program(open_server()).run(program),
            await Program(real).run(program),
        )

    fake, real = asyncio.run(both())
    assert fake == real
    for figures in fake[-len(SPECS) :]:
        check(figures)
