"""Does parsing many replies at once give what the parser gives, or nothing at all?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flownb.queues.redis.exchange import Short, batch_of_entries, batch_of_texts, parse
from flownb.queues.redis.streams import _read_from

ID = b"1795263360786-%d"
# What would lead astray who only looks at line ends.
TEXTS = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"", b"\r\n", b"$1\r\nq", b"a\r\n$4\r\nmeta", b"*2\r\n$3\r\n1-0", b"data"]),
)


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def entry(number: int, fields: list[bytes]) -> bytes:
    return b"*2\r\n%b*%d\r\n%b" % (bulk(ID % number), len(fields), b"".join(map(bulk, fields)))


def answer(stream: list[list[bytes]], head: bytes) -> bytes:
    rows = b"".join(entry(i, fields) for i, fields in enumerate(stream))
    return b"%b%b*%d\r\n%b" % (head, bulk(b"q"), len(stream), rows)


def parsed(data: bytes) -> object:
    try:
        reply, end = parse(data, 0, ValueError)
    except Short:
        return None
    return _read_from(reply) if end == len(data) else None


HEADS = [b"%1\r\n", b"*1\r\n*2\r\n"]
OURS = st.one_of(
    TEXTS.map(lambda text: [b"data", text]),
    st.tuples(TEXTS, TEXTS).map(lambda both: [b"data", both[0], b"meta", both[1]]),
    st.lists(TEXTS, min_size=2, max_size=4).filter(lambda fields: len(fields) % 2 == 0),
)


@pytest.mark.parametrize("head", HEADS, ids=["RESP3", "RESP2"])
@pytest.mark.parametrize("fields", [[b"data", b"7"], [b"data", b"{}", b"meta", b"{}"]])
def test_what_we_have_pushed_is_read_at_a_glance(head, fields):
    data = answer([fields] * 3, head)
    assert batch_of_entries(data) == [parsed(data)]


@settings(max_examples=1000)
@given(st.lists(OURS, min_size=1, max_size=4), st.sampled_from(HEADS), st.integers(0, 400))
def test_of_any_stream_a_glance_sees_all_or_nothing(stream, head, cut):
    data = answer(stream, head)
    data = data[: len(data) - cut] if cut < len(data) else data
    seen = batch_of_entries(data)
    assert seen is None or seen == [parsed(data)]


@given(st.lists(TEXTS.map(bulk) | st.sampled_from([b":1\r\n", b"$-1\r\n", b"+OK\r\n"]), max_size=4))
def test_of_any_texts_a_glance_sees_all_or_nothing(replies):
    data, at, found = b"".join(replies), 0, []
    for _ in replies:
        reply, at = parse(data, at, ValueError)
        found.append(reply)
    assert batch_of_texts(data, len(replies)) in (None, found)


def test_a_hundred_ids_are_read_at_a_glance():
    ids = [ID % i for i in range(100)]
    assert batch_of_texts(b"".join(map(bulk, ids)), 100) == ids
