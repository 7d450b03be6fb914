"""What may cross a queue, and does the refusal say where the fault is?"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import decimal
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from flownb.errors import QueueError
from flownb.queues import QueueSpec
from flownb.queues.payload import dumps, lenient, loads
from tests.queues.support import drain, manager


class Day(BaseModel):
    date: dt.date
    rain: float = Field(0.0, ge=0)


class Trip(BaseModel):
    model_config = ConfigDict(frozen=True)

    days: tuple[Day, ...]
    name: str = Field(alias="Name")


@dataclasses.dataclass
class Plain:
    x: int = 1


class Array:
    def tolist(self):
        return []


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def ring():
    value = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"days": [0, 1, 2, {"rain": float("nan")}]}, "payload.days[3].rain: NaN is not JSON"),
        (float("inf"), "payload: Infinity is not JSON"),
        ([-float("inf")], "payload[0]: -Infinity is not JSON"),
        ({"a b": {"c": b"x"}}, "payload['a b'].c: bytes is not JSON: decode it"),
        ({"a": {1, 2}}, "payload.a: set is not JSON: use a sorted list"),
        ({"a": [{"b": {1: 2}}]}, "payload.a[0].b: the key 1 is not a string: use '1'"),
        ({None: 1}, "payload: the key None is not a string"),
        ({"a": "\ud800"}, "payload.a: a lone surrogate is not text"),
        ({"\ud800": 1}, "payload: a lone surrogate is not text"),
        ({"a": 10**5000}, "payload.a: an integer this long cannot be read back"),
        ({"a": Array()}, "payload.a: Array is not JSON: use .tolist()"),
        ({"a": Plain()}, "payload.a: Plain is not JSON: use dataclasses.asdict(...)"),
        (dt.date(2026, 1, 1), "payload: date is not JSON: use .isoformat()"),
        (decimal.Decimal(1), "payload: Decimal is not JSON: use str(...) or float(...)"),
        ([object()], "payload[0]: object is not JSON"),
        ([len], "payload[0]: builtin_function_or_method is not JSON"),
        ([Day], "payload[0]: ModelMetaclass is not JSON"),
        (nested(100_000), "payload" + "[0]" * 100 + ": nested deeper than 100 levels"),
        (ring(), "payload" + ".self" * 100 + ": nested deeper than 100 levels, or inside itself"),
    ],
)
def test_what_json_would_lose_is_refused_with_the_path_of_the_field(data, words):
    with pytest.raises(QueueError) as refused:
        dumps(data, queue="wet_days")
    assert str(refused.value).startswith(f"queue 'wet_days': {words}")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False).filter(lambda x: abs(x) != float("inf")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(json_values)
def test_what_is_json_comes_back_as_it_was(data):
    assert loads(dumps(data, queue="q").encode()) == data


def test_tuples_become_lists_and_models_are_dumped_at_any_depth():
    text = dumps({"t": ((1,), Day(date=dt.date(2026, 1, 2)))}, queue="q")
    assert json.loads(text) == {"t": [[1], {"date": "2026-01-02", "rain": 0.0}]}


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": NaN}',
        b"[Infinity]",
        b"[1e999]",
        b'["\\ud800"]',
        b"\xff\xfe",
        b"{",
        b"",
        b"[" * 100_000,
        b"9" * 5000,
        b"\x80\x04\x95.",
    ],
)
def test_what_is_not_json_is_refused_when_it_is_read(text):
    with pytest.raises(ValueError):
        loads(text)


def test_a_dead_letter_keeps_what_it_can_of_anything():
    record = {"item": {"x": float("nan")}, "error": "\ud800", "deep": nested(100_000), "n": 1}
    kept = json.loads(lenient(record))
    assert kept["item"] == "{'x': nan}"
    assert kept["error"] == "'\\ud800'"
    assert kept["n"] == 1


def test_a_model_is_checked_on_push_and_built_on_pop(server):
    async def scenario():
        async with manager(server, QueueSpec("q", model=Trip)) as queues:
            trip = Trip(days=(Day(date=dt.date(2026, 1, 2), rain=1.5),), Name="Rhine")
            await queues.push("q", trip)
            await queues.push("q", {"days": [{"date": "2026-01-03"}], "Name": "Elbe"})
            first, second = await drain(queues, "q", "rank")
            assert first == trip
            assert second.days[0].date == dt.date(2026, 1, 3)

    asyncio.run(scenario())


def test_what_does_not_fit_the_model_is_refused_with_its_path(server):
    async def scenario():
        async with manager(server, QueueSpec("q", model=Trip)) as queues:
            wet = {"days": [{"date": "2026-01-03", "rain": -1}], "Name": "Elbe"}
            with pytest.raises(QueueError, match=r"payload\.days\[0\]\.rain: Input should be gr"):
                await queues.push("q", wet)
            assert (await queues.stats("q")).depth == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("model", [list[int], dict[str, float], Plain])
def test_a_model_may_be_any_type_pydantic_can_check(model):
    data = {list[int]: [1, 2], dict[str, float]: {"a": 1.0}, Plain: Plain(3)}[model]
    assert loads(dumps(data, queue="q", model=model).encode(), model=model) == data


def test_meta_must_be_json_too(server):
    async def scenario():
        async with manager(server) as queues:
            with pytest.raises(QueueError, match=r"queue 'q': meta\.when: date is not JSON"):
                await queues.push("q", 1, meta={"when": dt.date(2026, 1, 1)})

    asyncio.run(scenario())


GARBAGE = [
    {"data": b"\x80\x04\x95."},
    {"data": b"{"},
    {"data": b'{"rain": NaN}'},
    {"data": b'{"date": "never"}'},
    {"other": b"1"},
    {"data": b'{"date": "2026-01-01"}', "meta": b"[]"},
    {b"\xff": b"\xff"},
]


def test_garbage_goes_to_the_dead_letters_of_its_reader_and_reading_goes_on(server):
    async def scenario():
        async with manager(server, QueueSpec("q", model=Day)) as queues:
            await queues.push("q", {"date": "2026-01-01"})
            for fields in GARBAGE:
                await queues._client().xadd("flownb:g:q", fields)
            await queues.push("q", {"date": "2026-01-02"})
            assert [day.date.day for day in await drain(queues, "q", "rank", count=2)] == [1, 2]
            letters = await queues.dead("rank")
            assert len(letters) == len(GARBAGE)
            assert all(letter["loop"] == "rank" for letter in letters)
            assert all("queue 'q', message" in letter["error"] for letter in letters)
            assert letters[2]["item"] == '{"rain": NaN}'
            stats = await queues.stats("q")
            assert (stats.depth, stats.backlog) == (0, 0)

    asyncio.run(scenario())


def test_garbage_alone_does_not_end_a_wait(server):
    async def scenario():
        async with manager(server) as queues:
            await queues.push("q", 0)
            await drain(queues, "q", "rank")
            waiting = asyncio.create_task(queues.read("q", reader="rank", count=1, timeout=None))
            await queues._client().xadd("flownb:g:q", {"data": b"{"})
            await queues.push("q", "good")
            messages = await asyncio.wait_for(waiting, 30)
            assert [message.payload for message in messages] == ["good"]

    asyncio.run(scenario())


def test_dead_letters_that_are_not_ours_are_shown_as_such(server):
    async def scenario():
        async with manager(server) as queues:
            await queues._client().xadd("flownb:g:rank.dead", {"data": b"[]"})
            (letter,) = await queues.dead("rank")
            assert letter["error"] == "not a dead letter of flownb"

    asyncio.run(scenario())


def test_what_is_far_too_large_is_refused_on_both_sides():
    with pytest.raises(QueueError, match=r"queue 'q': payload has 17\.0 million characters, more"):
        dumps("x" * 17_000_000, queue="q")
    with pytest.raises(ValueError, match="bytes are too many"):
        loads(b" " * 70_000_000)
