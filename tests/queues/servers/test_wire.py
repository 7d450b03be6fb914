"""Does a wire say and hear every byte, and is an answer that is lost never taken for another's?"""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as Gone
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as Late

from flownb.queues import open_server
from flownb.queues.redis.exchange import ask
from tests.support.queues import manager, said

pytestmark = [pytest.mark.redis, pytest.mark.wallclock]
ODD = b"\x00\xff\r\n$3\r\n".decode(errors="surrogateescape")


def talk(server, *exchanges):
    async def scenario():
        link = server.connect()
        try:
            return [await link.line.exchange(commands) for commands in exchanges]
        finally:
            await link.aclose()

    return asyncio.run(scenario())


def test_any_bytes_go_and_come_and_an_error_is_the_reply_of_its_command(server):
    key = "tést"
    (replies,) = talk(server, [("SET", key, ODD), ("LLEN", key), ("GET", key), ("DEL", key)])
    assert isinstance(replies.pop(1), ResponseError)
    assert replies == [b"OK", ODD.encode(errors="surrogateescape"), 1]


def test_all_servers_give_the_replies_of_resp2(server):
    add = ("XADD", "s", "1-1", "data", "7")
    (replies,) = talk(server, [add, ("XRANGE", "s", "-", "+"), ("GET", "none"), ("DEL", "s")])
    assert replies == [b"1-1", [[b"1-1", [b"data", b"7"]]], None, 1]


def test_what_was_watched_is_watched_in_its_session_only(real_server_url):
    async def scenario():
        link = open_server(real_server_url).connect()
        line = link.line
        await line.exchange([("WATCH", "k")])
        session, number = line.session, line.number
        await ask(link.looks, "CLIENT", "KILL", "ID", str(number))
        multi = [("MULTI",), ("SET", "k", "1"), ("EXEC",)]
        with pytest.raises(Gone):
            await line.exchange(multi, session=session)
        with pytest.raises(Gone):
            await line.exchange(multi, session=session)
        assert await ask(link.looks, "EXISTS", "k") == 0
        await link.aclose()

    asyncio.run(scenario())


def test_after_an_exchange_that_was_cut_short_the_next_hears_its_own_answer(real_server_url):
    async def scenario():
        link = open_server(f"{real_server_url}?socket_timeout=0.2").connect()
        for error in (Late, asyncio.CancelledError):
            block = link.line.exchange([("BLPOP", "none", "0.5")])
            with pytest.raises(error):
                await (block if error is Late else _cancelled(block))
            assert await ask(link.line, "ECHO", "mine") == b"mine"
        await link.aclose()

    asyncio.run(scenario())


async def _cancelled(work):
    task = asyncio.create_task(work)
    await asyncio.sleep(0.05)
    task.cancel()
    await task


def test_who_may_not_come_in_is_told_so_and_its_password_is_not(real_server_url):
    async def scenario():
        url = real_server_url.replace("unix://", "unix://nobody:hunter22@")
        async with manager(open_server(url)) as queues:
            with pytest.raises(Exception, match="queue 'q'") as refused:
                await queues.push("q", 1)
            assert "hunter22" not in str(refused.value)
        async with manager(open_server(f"{real_server_url}?client_name=me&db=3")) as queues:
            assert await said(queues, "CLIENT", "GETNAME") == b"me"
            assert b"db=3" in await said(queues, "CLIENT", "INFO")

    asyncio.run(scenario())
