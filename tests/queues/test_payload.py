"""What may cross a queue, and does the refusal say where the fault is?"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import decimal
import enum
import json
from collections import OrderedDict, defaultdict, deque
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SecretStr,
    computed_field,
    field_serializer,
    field_validator,
)

from flownb.errors import QueueError
from flownb.jsonable import compare
from flownb.queues import QueueSpec
from flownb.queues.payload import dumps, lenient, loads
from tests.support.queues import drain, key_of, manager, said


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


def test_models_are_dumped_at_any_depth():
    text = dumps({"t": [[1], Day(date=dt.date(2026, 1, 2))]}, queue="q")
    assert json.loads(text) == {"t": [[1], {"date": "2026-01-02", "rain": 0.0}]}


class Colour(enum.StrEnum):
    RED = "red"


class Point(NamedTuple):
    x: int


class Shout(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((1, 2), "payload: a tuple comes back as a list: use list(...), or give the queue model="),
        ({"p": Point(1)}, "payload.p: a Point comes back as a list: use ._asdict() or list(...)"),
        ([Colour.RED], "payload[0]: Colour comes back as str: use .value, or give the queue mo"),
        ([Shout("a")], "payload[0]: Shout comes back as str: use str(...)"),
        (defaultdict(list), "payload: defaultdict comes back as dict: use dict(...)"),
        (OrderedDict(a=1), "payload: OrderedDict comes back as dict: use dict(...)"),
        ([np.float64(1)], "payload[0]: float64 comes back as float: use .item()"),
        ([np.arange(2)], "payload[0]: ndarray is not JSON: use .tolist()"),
        ({Colour.RED: 1}, "payload: the key <Colour.RED: 'red'>: Colour comes back as str"),
        ({(1, 2): 1}, "payload: the key (1, 2) is not a string: give it a name"),
        ({"a": SecretStr("hush")}, "payload.a: a SecretStr is not written"),
    ],
)
def test_what_is_only_equal_to_what_would_come_back_is_refused(data, words):
    with pytest.raises(QueueError) as refused:
        dumps(data, queue="q")
    assert str(refused.value).startswith(f"queue 'q': {words}")


class Login(BaseModel):
    token: SecretStr


class Alias(BaseModel):
    n: int = Field(3, validation_alias="inN", serialization_alias="outN")


class Hidden(BaseModel):
    a: int = 0
    h: int = Field(0, exclude=True)
    _own: int = PrivateAttr(0)


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    a: int

    @computed_field
    @property
    def double(self) -> int:
        return self.a * 2


class Rounded(BaseModel):
    x: float

    @field_serializer("x")
    def rounded(self, x):
        return round(x, 1)


class Twice(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def doubled(cls, x):
        return x * 2


class Base(BaseModel):
    a: int = 0


class Derived(Base):
    b: int = 0


class Holds(BaseModel):
    base: Base = Base()
    many: list[Base] = []
    anything: Any = None
    seconds: float = 0.0
    moment: dt.datetime | None = None
    raw: list[bytes] = []


class Rich(BaseModel):
    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)

    t: tuple[int, str] = (1, "a")
    s: set[int] = {1, 2}
    d: dict[int, dt.date] = {1: dt.date(2026, 1, 1)}
    money: decimal.Decimal = decimal.Decimal("1.50")
    colour: Colour = Colour.RED
    moment: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    point: Point = Point(1)
    plain: Plain = Field(default_factory=Plain)
    queue: deque[int] = deque([1])
    zero: float = -0.0
    raw: bytes = b"ab"
    array: Annotated[np.ndarray, BeforeValidator(np.asarray), PlainSerializer(np.ndarray.tolist)]


def with_private(value):
    made = Hidden()
    made._own = value
    return made


BERLIN = dt.datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("with_model", [False, True])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Login(token="hush"), ".token: a SecretStr is not written: let the node read it"),
        (Alias(inN=1), ".n: 1 comes back as 3"),
        (Hidden(h=2), ".h: 2 comes back as 0"),
        (with_private(5), "._own: 5 comes back as 0"),
        (Rounded(x=0.55), ".x: 0.55 comes back as 0.6"),
        (Twice(x=1), ".x: 2 comes back as 4"),
        (Holds(base=Derived()), ".base: a Derived comes back as a Base: annotate it as Derived"),
        (Holds(many=[Base(), Derived(b=1)]), ".many[1]: a Derived comes back as a Base"),
        (Holds(anything={"x": (1,)}), ".anything.x: (1,) comes back as [1]: use list(...)"),
        (Holds(anything=Colour.RED), ".anything: <Colour.RED: 'red'> comes back as 'red'"),
        (Holds(anything=dt.date(2026, 1, 1)), ".anything: datetime.date(2026, 1, 1) comes back"),
        (Holds(anything=[object]), ".anything[0]: "),
        (Holds.model_construct(seconds=1), ".seconds: 1 comes back as 1.0"),
        (Holds(moment=BERLIN), ".moment: the time zone Europe/Berlin is lost: use .astimezone("),
        (Holds(raw=[b"", b"\xff"]), ".raw[1]: UnicodeDecodeError"),
        (Holds(anything=float("nan")), ".anything: nan comes back as None"),
    ],
)
def test_what_a_model_would_lose_is_refused_with_its_path(value, words, with_model, nested):
    model, data = (type(value) if with_model else None), value
    if nested:
        model, data = (dict[str, list[model]] if with_model else None), {"all": [value]}
    with pytest.raises(QueueError) as refused:
        dumps(data, queue="q", model=model)
    said = str(refused.value)
    assert said.startswith(f"queue 'q': payload{'.all[0]' if nested else ''}{words}")
    assert "hush" not in said


@pytest.mark.parametrize("value", [Alias(), Hidden(a=1), Computed(a=1), Rounded(x=0.5), Holds(),
                                   Rich(more=[1], array=[1, 2])])  # fmt: skip
def test_what_a_model_does_not_lose_is_accepted(value):
    text = dumps(value, queue="q", model=type(value)).encode()
    assert loads(text) == json.loads(dumps(value, queue="q"))
    back = loads(text, model=type(value))
    assert type(back) is type(value)
    compare(value, back)


@pytest.mark.parametrize(("data", "model"), [
    ((1, "a"), tuple[int, str]), ({1}, set[int]), (dt.date(2026, 1, 1), dt.date),
    (Colour.RED, Colour), (Point(1), Point), (Derived(b=1), Base | Derived),
])  # fmt: skip
def test_with_a_model_that_knows_it_any_value_comes_back_as_it_was(data, model):
    back = loads(dumps(data, queue="q", model=model).encode(), model=model)
    assert type(back) is type(data)
    assert back == data


def test_a_derived_model_is_refused_where_the_queue_has_its_base():
    with pytest.raises(QueueError, match="payload: a Derived comes back as a Base"):
        dumps(Derived(b=1), queue="q", model=Base)


def raising(error):
    class Raises(BaseModel):
        x: int = 0

        @field_serializer("x")
        def written(self, x):
            raise error

    return Raises()


@pytest.mark.parametrize("with_model", [False, True])
def test_what_a_serializer_raised_is_the_cause(with_model):
    value = raising(KeyError("k"))
    with pytest.raises(QueueError, match=r"payload\.x: .*KeyError: 'k' \(model Raises\)") as told:
        dumps(value, queue="q", model=type(value) if with_model else None)
    assert isinstance(told.value.__cause__, KeyError)


def test_a_dead_letter_says_whether_its_item_can_be_offered_as_it_was():
    kept = [json.loads(lenient({"item": item})) for item in ([1], (1,), Base(), raising(OSError()))]
    assert [k["item"] for k in kept[:3]] == [[1], [1], {"a": 0}]
    assert [k.get("lossy", False) for k in kept] == [False, True, True, True]


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


async def pushed(queues, queue, fields):
    """What a stranger pushes."""
    words = [b if isinstance(b, str) else b.decode(errors="surrogateescape")
             for pair in fields.items() for b in pair]  # fmt: skip
    await said(queues, "XADD", key_of(queues, queue), "*", *words)


def test_garbage_goes_to_the_dead_letters_of_its_reader_and_reading_goes_on(server):
    async def scenario():
        async with manager(server, QueueSpec("q", model=Day)) as queues:
            await queues.push("q", {"date": "2026-01-01"})
            for fields in GARBAGE:
                await pushed(queues, "q", fields)
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
            await pushed(queues, "q", {"data": b"{"})
            await queues.push("q", "good")
            messages = await asyncio.wait_for(waiting, 30)
            assert [message.payload for message in messages] == ["good"]

    asyncio.run(scenario())


def test_dead_letters_that_are_not_ours_are_shown_as_such(server):
    async def scenario():
        async with manager(server) as queues:
            await said(queues, "XADD", queues._keys.dead("rank"), "*", "data", "[]")
            (letter,) = await queues.dead("rank")
            assert letter["error"] == "not a dead letter of flownb"

    asyncio.run(scenario())


def test_what_is_far_too_large_is_refused_on_both_sides():
    with pytest.raises(QueueError, match=r"queue 'q': payload has 17\.0 million characters, more"):
        dumps("x" * 17_000_000, queue="q")
    with pytest.raises(ValueError, match="bytes are too many"):
        loads(b" " * 70_000_000)
