"""Where does the server come from, and what is said when it is not there?"""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys

import fakeredis
import pytest

from flownb.errors import QueueError
from flownb.queues import open_server
from tests.support.queues import drain, manager, said


def test_importing_the_queues_loads_no_client_library():
    loaded = "print([m for m in ('redis', 'fakeredis', 'pydantic') if m in sys.modules])"
    code = (
        "import sys, flownb.queues\n"
        "flownb.queues.QueueManager(graph='g', specs=[], consumer='me')\n" + loaded
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (None, "fakeredis in this kernel"),
        ("redis://example.org", "redis://example.org:6379"),
        ("redis://user:secret@example.org:7000/3", "redis://example.org:7000/3"),
        ("rediss://:secret@example.org", "rediss://example.org:6379"),
        ("unix://:secret@/run/r.sock?db=1", "unix:///run/r.sock"),
    ],
)
def test_a_server_describes_itself_without_its_password(url, shown):
    server = open_server(url)
    assert server.describe() == shown
    assert "secret" not in repr(manager(server))


def test_a_wrong_url_is_refused_without_its_password():
    with pytest.raises(QueueError, match="example") as refused:
        open_server("http://me:secret@example.org?password=secret")
    assert "secret" not in str(refused.value)


@pytest.mark.redis
def test_a_refused_password_is_told_without_it(real_server_url):
    with pytest.raises(QueueError, match="invalid username") as refused:
        open_server(real_server_url.replace("unix://", "unix://me:secret@")).check("graph 'g'")
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(refused.value.__cause__)


def test_something_that_is_no_client_is_refused():
    with pytest.raises(QueueError, match="redis= is a dict: give a URL"):
        open_server({})


def test_nobody_at_the_address_is_one_clear_error():
    async def scenario():
        async with manager(open_server("redis://:secret@127.0.0.1:1")) as queues:
            for call in (
                queues.push("q", 1),
                queues.pop("q"),
                queues.ack("q", ["1-0"]),
                queues.stats("q"),
                queues.clear("q"),
                queues.dead("rank"),
                queues.dead_letter(None, loop="rank", record={}),
            ):
                with pytest.raises(
                    QueueError, match=r"no usable Redis at redis://127\.0\.0\.1:1 \("
                ) as error:
                    await call
                assert "start it there" in str(error.value)
                assert "secret" not in str(error.value)

    asyncio.run(scenario())


def test_a_stream_that_is_something_else_is_one_clear_error(server):
    async def scenario():
        async with manager(server) as queues:
            await queues.dead("rank")
            await said(queues, "SET", "flownb:{g}:q", "text")
            for call in (queues.push("q", 1), queues.pop("q", timeout=0), queues.stats("q")):
                with pytest.raises(
                    QueueError, match=r"queue .q.: .* refused: .*wrong kind of value"
                ):
                    await call

    asyncio.run(scenario())


@pytest.mark.redis
def test_a_given_client_tells_where_its_server_is(real_server_url):
    from redis import Redis
    from redis import asyncio as redis_asyncio

    async def exchange(server):
        async with manager(server) as queues:
            await queues.push("q", 1)
            assert await drain(queues, "q", "rank") == [1]

    for kind in (Redis, redis_asyncio.Redis):
        client = kind.from_url(real_server_url)
        server = open_server(client)
        assert server.describe() == real_server_url
        asyncio.run(exchange(pickle.loads(pickle.dumps(server))))
        if kind is Redis:
            client.close()


@pytest.mark.parametrize("named", [True, False])
def test_a_given_fakeredis_client_is_used_as_it_is(named):
    from fakeredis import FakeRedis, FakeServer

    async def exchange():
        fake = FakeRedis(server=FakeServer()) if named else FakeRedis()
        async with (
            manager(open_server(fake)) as queues,
            manager(open_server(fake), consumer="y") as other,
        ):
            waiting = asyncio.create_task(queues.pop("q"))
            await asyncio.sleep(0)
            await other.push("q", "hello")
            assert (await waiting).payload == "hello"
            assert fake.xlen("flownb:{g}:q") == 1
        fake.close()

    asyncio.run(exchange())


def test_a_loop_in_another_process_cannot_use_a_fake_in_this_one():
    with pytest.raises(QueueError, match="another process cannot reach"):
        open_server(fakeredis.FakeRedis(), need_other_process=True)


def test_each_server_in_the_kernel_starts_empty():
    async def scenario():
        async with manager(open_server()) as queues:
            await queues.push("q", 1)
        async with manager(open_server()) as queues:
            assert await queues.pop("q", timeout=0) is None

    asyncio.run(scenario())


@pytest.mark.redis
@pytest.mark.parametrize("protocol", [2, 3])
def test_both_protocols_of_redis_read_the_same(real_server_url, protocol):
    async def exchange():
        async with manager(open_server(f"{real_server_url}?protocol={protocol}")) as queues:
            await queues.push("q", 1, meta={"n": 1})
            (message,) = await queues.read("q", reader="rank", count=5, timeout=None)
            assert (message.payload, message.meta) == (1, {"n": 1})
            assert (await queues.stats("q")).pending == 1
            await queues.ack("q", [message.id], reader="rank")

    asyncio.run(exchange())
