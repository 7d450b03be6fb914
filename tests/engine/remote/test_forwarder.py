"""Does a forwarder lose nothing that counts when a notebook does not keep up, within bounds?"""

from __future__ import annotations

import pickle
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownb.engine.observe.history import History, Outputs
from flownb.engine.observe.meter import Meter
from flownb.engine.observe.stream import Stream
from flownb.engine.remote.forwarder import Backlog, Forwarder
from flownb.engine.remote.loop_proxy import LoopProxy
from flownb.errors import Failure
from flownb.records.events import Batch, Event, LogLine, Span
from tests.support.lab import chain


class Notebook:
    """The notebook's end of a forwarder, that fetches when asked to."""

    def __init__(self):
        plan = chain("a").plan("p")
        self.meter, self.history = Meter("p", ["p", "a"]), History()
        self.proxy = LoopProxy(plan, Stream([self.meter, self.history]), Outputs({}))

    def fetch(self, records):
        self.proxy.take(pickle.dumps(records))


def told(what):
    """Give the records of a loop and what they report, as its forwarder makes them."""
    forwarder = Forwarder.__new__(Forwarder)
    forwarder.outputs, forwarder._watched = Outputs({}), False
    records = []
    forwarder._note = lambda record, content: records.append(record)
    forwarder._urgent = type("Never", (), {"set": lambda self: None})()
    stream = Stream([forwarder])
    for x in what:
        (stream.span if isinstance(x, Span) else stream.event)(x)
    return records


def story(items, failing, cancelled, retried):
    """Tell of items that overlap: made in order, settled two later."""
    yield Event(0.0, "state", "p", "", -1, ("starting", ""))
    yield Event(0.0, "state", "p", "", -1, ("running", ""))
    for n in range(items + 2):
        if n < items:
            yield Span("p", "p", n, 0, "work", n, n + 0.25)
            yield Event(n + 0.25, "produced", "p", "p", n)
            if n in retried:
                yield Event(n + 0.3, "retry", "p", "a", n, 1)
                yield Span("p", "a", n, 0, "retry", n + 0.3, n + 0.4)
        if (done := n - 2) >= 0:
            if done in failing:
                failure = Failure("p", "a", done, done, 1, ValueError(done))
                yield Event(n + 0.5, "failed", "p", "a", done, "why")
                yield Event(n + 0.5, "item_failed", "p", "a", done, failure)
            elif done in cancelled:
                yield Event(n + 0.5, "cancelled", "p", "p", done)
            else:
                yield Span("p", "a", done, 0, "work", done + 0.25, n + 0.5)
            yield Event(n + 0.5, "released", "p", "p", done)
            yield Event(n + 0.5, "settled", "p", "p", done)


numbers = st.sets(st.integers(0, 39))


@given(st.integers(1, 40), st.tuples(numbers, numbers, numbers), st.integers(0, 20_000), st.data())
def test_metrics_are_the_same_however_little_was_kept(items, trouble, most, data):
    failing, cancelled, retried = trouble
    records = told(story(items, failing, cancelled - failing, retried))
    at_once, late, backlog = Notebook(), Notebook(), Backlog("p", most)
    at_once.fetch(records)
    for record in records:
        backlog.add(record)
        if data.draw(st.integers(0, 9)) == 0:
            late.fetch(backlog.take())
    late.fetch(backlog.take())
    a, b = (x.meter.snapshot(99.0, x.proxy.slots.figures) for x in (at_once, late))
    assert b.missed == late.meter.missed
    for name in ("produced", "released", "done", "failed", "cancelled", "open", "state", "elapsed"):
        assert getattr(a, name) == getattr(b, name), name
    assert a.working == pytest.approx(b.working)
    for node in ("p", "a"):
        x, y = a.nodes[node], b.nodes[node]
        assert (x.calls, x.failed, x.retries) == (y.calls, y.failed, y.retries)
        assert (x.total, x.p50, x.longest) == pytest.approx((y.total, y.p50, y.longest))
    assert (late.proxy.made, late.proxy._open) == (at_once.proxy.made, at_once.proxy._open)


def test_what_is_kept_is_bounded_and_the_newest():
    backlog = Backlog("p", 40_000)
    for n in range(10_000):
        backlog.add(("span", (*Span("p", "a", n, 0, "work", n, n + 1),), False, None))
    missed, *kept = backlog.take()
    assert missed[0] == "missed"
    assert missed[1].records == 10_000 - len(kept)
    assert [record[1][2] for record in kept] == list(range(10_000 - len(kept), 10_000))
    assert 50 < len(kept) <= 100
    assert backlog.take() == []


def test_what_is_rare_is_kept_longer_and_states_always():
    backlog, last = Backlog("p", 40_000), LogLine(1.0, "p", "a", 7, "info", "last words")
    states = [("event", (0.0, "state", "p", "", -1, (s, ""))) for s in ("starting", "running")]
    log = ("event", (1.0, "log", "p", "a", 7, tuple(last)))
    for record in (*states, log):
        backlog.add(record)
    for n in range(5_000):
        backlog.add(("event", (0.0, "produced", "p", "", n, None)))
    assert backlog.take()[1:4] == [*states, log]


def test_large_contents_weigh_what_they_weigh():
    backlog = Backlog("p", 1_000_000)
    for n in range(100):
        backlog.add(("event", (0.0, "item_failed", "p", "a", n, None)), 100_000)
    missed, *kept = backlog.take()
    assert missed[1].records + len(kept) == 100
    assert 9 <= len(kept) <= 12


def test_batches_that_are_missed_are_counted():
    notebook, backlog = Notebook(), Backlog("p", 5_000)
    for first in range(0, 1000, 100):
        times = [n for i in range(first, first + 100) for n in (i * 10, i * 10 + 4, i * 10 + 6)]
        content = array("q", times).tobytes()
        backlog.add(("batch", ("p", ("p", "a"), first, 0), content, -1), len(content))
    notebook.fetch(backlog.take())
    m = notebook.meter.snapshot(1.0, notebook.proxy.slots.figures)
    assert (m.produced, m.done, m.nodes["a"].calls, notebook.proxy.made) == (1000,) * 3 + (1000,)
    assert m.missed > 0
    assert isinstance(notebook.history.records[-1], Batch)


def test_a_gap_is_told_once():
    notebook = Notebook()
    for _ in range(3):
        backlog = Backlog("p", 0)
        for record in told(story(3, (), (), ())):
            backlog.add(record)
        notebook.fetch(backlog.take())
    texts = [line.text for line in notebook.history.logs]
    assert texts == ["the notebook did not keep up: its timeline of this loop has a gap"]


def test_the_newest_checkpoint_outlives_a_backlog_that_is_full():
    backlog = Backlog("p", most=10_000)
    for number in range(50):
        backlog.add(("checkpoint", (number, "running", number, "x" * 3000)), 3000)
    for number in range(100):
        backlog.add(("event", (0.0, "settled", "p", "", number, None)), 100)
    kept = [record[1][0] for record in backlog.take() if record[0] == "checkpoint"]
    assert kept == [49]
    assert not backlog.take()
