"""Does a queue with `codec="msgpack"` bring back what went in, and run nothing?"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import decimal
import pickle
import uuid
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from flownb import Graph
from flownb.errors import QueueError
from flownb.jsonable import Refused
from flownb.queues import QueueSpec, register_type
from flownb.queues.msgpack import dumps, loads
from tests.support.queues import drain, manager

DAY = datetime.datetime(2026, 2, 3, 4, 5, 6, 7)  # noqa: DTZ001 - one without a zone, too
UTC = DAY.replace(tzinfo=datetime.UTC)


@dataclass
class Pixel:
    x: int
    raw: bytes


class Doc(BaseModel):
    at: datetime.datetime
    body: bytes


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**62), 2**62), st.text(), st.binary(max_size=40),
    st.floats(allow_nan=False), st.datetimes(), st.dates(), st.times(), st.timedeltas(),
    st.uuids(), st.decimals(allow_nan=False),
)  # fmt: skip
VALUES = st.recursive(LEAVES, lambda s: st.lists(s, max_size=4) | st.dictionaries(st.text(), s))


@given(VALUES)
def test_any_value_of_the_types_it_knows_comes_back_as_it_went(value):
    assert loads(dumps(value)) == value


def test_messages_with_bytes_cross_every_server(server):
    went = {"raw": b"\x00\xff\r\n$", "at": [DAY, UTC], "id": uuid.UUID(int=7), "é": "ü"}
    went["price"] = decimal.Decimal("1.50")

    async def scenario():
        specs = (
            QueueSpec("q", codec="msgpack"),
            QueueSpec("pixels", codec="msgpack", model=Pixel),
            QueueSpec("docs", codec="msgpack", model=Doc),
        )
        async with manager(server, *specs) as queues:
            await queues.push("q", went, meta={"n": 1})
            await queues.push("pixels", Pixel(1, b"\xff"))
            await queues.push("docs", Doc(at=UTC, body=b"\xfe"))
            (message,) = await queues.read("q", reader="a", count=1, timeout=0)
            assert (message.payload, message.meta) == (went, {"n": 1})
            assert await drain(queues, "pixels", "a") == [Pixel(1, b"\xff")]
            assert await drain(queues, "docs", "a") == [Doc(at=UTC, body=b"\xfe")]

    asyncio.run(scenario())


def test_arrays_and_their_numbers_keep_their_type():
    array = np.arange(6, dtype="<i2").reshape(2, 3)
    came = loads(dumps({"a": array, "x": np.float32(1.5)}))
    assert (came["a"].dtype, came["a"].tolist()) == (array.dtype, array.tolist())
    assert type(came["x"]) is np.float32


def test_tables_of_arrow_come_back():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"n": [1, 2], "s": ["a", None]})
    assert loads(dumps(table)).equals(table)


class Login(BaseModel):
    token: SecretStr


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [(1, 2)]}, ".a[0]: a tuple comes back as a list: use list(...)"),
        ({"a": {1: 2}}, ".a: the key 1 is not a string: use '1'"),
        ([Pixel(1, b"")], "[0]: Pixel is not known to it: use dataclasses.asdict(...)"),
        (Doc(at=UTC, body=b""), ": Doc comes back as a dict: give the queue model="),
        (np.array([object()]), ": a ndarray cannot be written: Object arrays cannot be saved"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused_with_its_place(value, said):
    async def scenario():
        async with manager(None, QueueSpec("q", codec="msgpack")) as queues:
            with pytest.raises(QueueError) as refused:
                await queues.push("q", value)
            assert f"queue 'q': payload{said}" in str(refused.value)

    asyncio.run(scenario())


def test_a_secret_is_refused_with_its_place():
    with pytest.raises(Refused) as refused:
        dumps(Login(token="t"), model=Login)
    assert refused.value.path == ".token"


class Point:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(other) is Point and other.x == self.x

    __hash__ = None


def test_a_registered_type_comes_back_and_its_name_stands_for_one_class():
    register_type(Point, "test.Point", lambda p: str(p.x).encode(), lambda b: Point(int(b)))
    assert loads(dumps([Point(3)])) == [Point(3)]
    with pytest.raises(QueueError, match="stands for Point"):
        register_type(Pixel, "test.Point", bytes, bytes)


@given(st.binary(max_size=60) | VALUES.map(lambda v: pickle.dumps(v)))
def test_strange_bytes_are_a_value_or_a_value_error(data):
    with contextlib.suppress(ValueError):
        loads(data)


def test_a_queue_whose_codec_changed_still_reads_what_waits_in_it(server):
    async def scenario():
        async with manager(server, QueueSpec("q")) as queues:
            await queues.push("q", {"old": 1})
        async with manager(server, QueueSpec("q", codec="msgpack")) as queues:
            await queues.push("q", {"new": b"2"})
            assert await drain(queues, "q", "a") == [{"old": 1}, {"new": b"2"}]

    asyncio.run(scenario())


def test_loops_hand_on_bytes_live_and_simulated():
    graph = Graph("bytes").add_producer("p", [b"\xff", b""]).add_queue("q", codec="msgpack")
    graph.add_edge("p", "q").add_queue_reader("r", queue="q").add_node("n", keep=9)
    graph.add_edge("r", "n")
    assert graph.simulate().outputs("n") == [b"\xff", b""]

    async def live():
        orch = graph.start()
        await orch.wait(timeout=30)
        return orch.outputs("n")

    assert asyncio.run(live()) == [b"\xff", b""]
