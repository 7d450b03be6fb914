"""Do spans travel whole, once, and in bounded numbers?"""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from flownb.notebook.gantt.span_feed import KINDS, UNIT, Rows, call_of, pieces, portion
from flownb.records.events import Batch, Span


def back(content):
    """Read a portion as the browser does: (row, iteration, start, end, kind)."""
    numbers, found = iter(content["s"]), []
    for row, iteration, start, length, kind in zip(*[numbers] * 5, strict=True):
        begin = content["t"] + start * UNIT
        found.append((row, iteration, begin, begin + length * UNIT, KINDS[kind]))
    return found


def spans_of(times, node="a"):
    return [Span("p", node, i, 0, "work", a, b) for i, (a, b) in enumerate(times)]


def test_spans_come_back_as_they_were():
    rows = Rows()
    spans = [
        Span("p", "p", 0, 0, "work", 1.0, 1.25), Span("p", "a", 0, 0, "limited", 0.5, 1.5),
        Span("p", "p", 0, 0, "wait", 1.25, 9.12345),
    ]  # fmt: skip
    found = back(portion(list(pieces(spans, rows)), 100))
    assert rows.numbers == {("p", "p"): 0, ("p", "a"): 1}
    assert [(r, i, k) for r, i, _, _, k in found] == [
        (0, 0, "work"), (1, 0, "limited"), (0, 0, "wait"),
    ]  # fmt: skip
    for (_, _, start, end, _), span in zip(found, spans, strict=True):
        assert abs(start - span.start) < 1e-5
        assert abs(end - span.end) < 2e-5


def test_rows_keep_their_numbers_when_nodes_come_and_go():
    rows = Rows()
    first = [rows["p", n] for n in "abc"]
    assert [rows["p", n] for n in "cab"] == [first[2], first[0], first[1]]
    assert rows["p", "new"] == 3


def test_a_batch_is_one_block_for_each_node_and_a_short_one_is_its_spans():
    times = [n * 1000 for i in range(10) for n in (10 * i, 10 * i + 3, 10 * i + 9)]
    batch = Batch("p", ("p", "a"), 5, 0, times, [])
    found = back(portion(list(pieces([batch], Rows())), 100))
    assert [(r, i, k) for r, i, _, _, k in found] == [(0, 10, "block"), (1, 10, "block")]
    few = back(portion(list(pieces([batch.last(2)], Rows())), 100))
    assert [(r, i, k) for r, i, _, _, k in few] == [
        (0, 13, "work"), (1, 13, "work"), (0, 14, "work"), (1, 14, "work"),
    ]  # fmt: skip


def test_so_many_that_nobody_could_tell_them_apart_become_blocks_with_a_count():
    spans = spans_of([(i / 1000, i / 1000 + 0.0005) for i in range(5000)])
    content = portion(list(pieces(spans, Rows())), 100)
    (block,) = back(content)
    assert block[1] == 5000
    assert block[4] == "block"
    assert block[2:4] == (0, 4.9995)
    assert "left" not in content


def test_long_calls_are_never_put_together_and_what_is_too_much_is_counted():
    spans = spans_of([(i, i + 2.0) for i in range(500)])
    content = portion(list(pieces(spans, Rows())), 100)
    assert len(back(content)) == 100
    assert back(content)[-1][1] == 499
    assert content["left"] == 400


durations = st.floats(0, 3, allow_nan=False)


@given(st.lists(st.tuples(durations, durations, st.sampled_from("abc"))), st.integers(1, 50))
def test_a_portion_is_bounded_json_and_loses_no_call_that_it_does_not_count(parts, most):
    spans = [Span("p", n, i, 0, "work", a, a + b) for i, (a, b, n) in enumerate(parts)]
    content = portion(list(pieces(spans, Rows())), most)
    assert json.loads(json.dumps(content)) == content
    found = back(content)
    assert len(found) <= most
    calls = sum(i if kind == "block" else 1 for _, i, _, _, kind in found)
    assert calls <= len(spans)
    if "left" not in content:
        assert calls == len(spans)
    assert all(isinstance(n, int) for n in content["s"])


def test_a_push_that_waited_for_room_travels_once_and_as_a_wait():
    push = Span("cam", "shots", 1, 0, "work", 1.0, 2.0)
    room = Span("cam", "shots", 1, 0, "throttled", 1.1, 2.0, 0)
    later = Span("cam", "shots", 2, 0, "work", 3.0, 4.0)
    found = [(p.iteration, KINDS[p.kind]) for p in pieces([push, room, later], Rows())]
    assert found == [(1, "room"), (2, "work")]
    seen = {call_of(later)}  # it was seen to wait, and what the queue says of that comes later
    assert [KINDS[p.kind] for p in pieces([later], Rows(), seen)] == ["room"]
    assert list(pieces([room._replace(iteration=2)], Rows(), seen)) == []
