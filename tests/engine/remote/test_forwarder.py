"""Does a forwarder lose nothing that counts when a notebook does not keep up, within bounds?"""

from __future__ import annotations

import pickle
from array import array
from collections import Counter
from dataclasses import fields, replace

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
        self.proxy = LoopProxy(plan, self.meter, [self.history], Outputs({}))

    def fetch(self, records):
        self.proxy.take(pickle.dumps(records))


def told(what, note):
    """Have *note* called with what a loop reports, as its forwarder makes records of it."""
    forwarder = Forwarder.__new__(Forwarder)
    forwarder.outputs, forwarder._watched = Outputs({}), False
    forwarder._note = lambda record, content: note(record)
    forwarder._urgent = type("Never", (), {"set": lambda self: None})()
    stream = Stream([forwarder])
    for x in what:
        publish(stream, x)


def publish(stream, x):
    if isinstance(x, Batch):
        stream.batch(x)
    else:
        (stream.span if isinstance(x, Span) else stream.event)(x)


def story(items, met):
    """Tell of items that overlap: made in order, settled two later; *met*: what they meet."""
    yield Event(0.0, "state", "p", "", -1, ("starting", ""))
    yield Event(0.0, "state", "p", "", -1, ("running", ""))
    for n in range(items + 2):
        if n < items:
            yield Span("p", "p", n, 0, "work", n, n + 0.25)
            yield Event(n + 0.25, "produced", "p", "p", n)
            yield Span("p", "p", n, 0, "wait", n + 0.25, n + 0.5)
        if (done := n - 2) >= 0:
            yield from _end(met.get(done, ""), done, n + 0.5)
            yield Event(n + 0.5, "released", "p", "p", done)
            yield Event(n + 0.5, "settled", "p", "p", done)


def _end(what, n, now):
    match what:
        case "failed":
            yield Event(now, "failed", "p", "a", n, "why")
            failure = Failure("p", "a", n, n, 1, ValueError(n))
            yield Event(now, "item_failed", "p", "a", n, failure)
        case "cancelled":
            yield Event(now, "cancelled", "p", "p", n)
        case "retry":
            yield Event(now, "retry", "p", "a", n, 1)
            yield Span("p", "a", n, 0, "retry", now - 0.1, now)
        case "timeout":
            yield Event(now, "timeout", "p", "a", n, True)
        case "cached":
            yield Span("p", "a", n, 0, "work", now, now, 0)
        case "batch":
            times = [round(now * 1e9) + x for x in (0, 300, 700, 1000, 1200, 1500)]
            yield Batch("p", ("p", "a"), n, 0, times, [1, 2], 1)
        case "":
            yield Span("p", "a", n, 0, "work", n + 0.25, now)
        case kind:
            yield Event(now, kind, "p", "a", n)


MET = (
    "failed", "cancelled", "retry", "timeout", "cached", "batch", "abandoned", "dropped",
    "overrun", "tick_failed", "unread", "restarted", "stepped",
)  # fmt: skip
stories = st.builds(
    story, st.integers(1, 12), st.dictionaries(st.integers(0, 11), st.sampled_from(MET))
)


@given(stories.map(list), st.integers(0, 20_000), st.data())
def test_metrics_are_the_same_at_home_and_away_however_little_was_kept(what, most, data):
    here, there, backlog = Meter("p", ["p", "a"]), Notebook(), Backlog("p", most)
    for x in what:
        publish(Stream([here]), x)
        told([x], backlog.add)
        if data.draw(st.integers(0, 9)) == 0:
            there.fetch(backlog.take())
    there.fetch(backlog.take())
    a, b = (m.snapshot(99.0, there.proxy.slots.figures) for m in (here, there.meter))
    same_metrics(a, replace(b, missed=0))
    assert there.meter.began == here.began
    assert there.proxy.made == a.produced


def same_metrics(a, b):
    """Sums of times may differ in the last digit: they were added up in another order."""
    for x, y in ((a, b), *((a.nodes[name], b.nodes[name]) for name in a.nodes)):
        for name in (f.name for f in fields(x) if f.name != "nodes"):
            found, wanted = getattr(y, name), getattr(x, name)
            exact = not isinstance(wanted, float)
            assert found == (wanted if exact else pytest.approx(wanted)), name


@given(stories.map(list), st.integers(0, 2_000), st.data())
def test_a_checkpoint_comes_with_the_counters_of_its_moment(what, most, data):
    here, there, backlog = Meter("p"), Notebook(), Backlog("p", most)
    wanted, found, here_only = {}, {}, Counter(state=9, log=9)
    there.history.on_checkpoint = lambda n: found.update({n: there.meter.counts.copy()})
    for n, x in enumerate(what):
        publish(Stream([here]), x)
        told([x], backlog.add)
        if data.draw(st.integers(0, 5)) == 0:
            backlog.add(("checkpoint", n))
            wanted[n] = here.counts.copy()
        if data.draw(st.integers(0, 9)) == 0:
            there.fetch(backlog.take())
    there.fetch(backlog.take())
    assert max(found, default=0) == max(wanted, default=0)  # the newest, if not all
    for n, counts in found.items():
        assert counts - here_only == wanted[n] - here_only


def test_what_is_kept_is_bounded_and_the_newest():
    backlog = Backlog("p", 40_000)
    for n in range(10_000):
        backlog.add(("span", (*Span("p", "a", n, 0, "work", n, n + 1),), None))
    counted, *kept = backlog.take()
    assert counted[0] == "meter"
    assert counted[1]["missed"] == 10_000 - len(kept)
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
    counted, *kept = backlog.take()
    assert counted[1]["missed"] + len(kept) == 100
    assert 9 <= len(kept) <= 12


def test_batches_that_are_missed_are_counted():
    notebook, backlog = Notebook(), Backlog("p", 5_000)
    for first in range(0, 1000, 100):
        times = [n for i in range(first, first + 100) for n in (i * 10, i * 10 + 4, i * 10 + 6)]
        batch = Batch("p", ("p", "a"), first, 0, array("q", times), [], -1)
        backlog.add(("batch", batch), 8 * len(times))
    notebook.fetch(backlog.take())
    m = notebook.meter.snapshot(1.0, notebook.proxy.slots.figures)
    assert (m.produced, m.done, m.nodes["a"].calls, notebook.proxy.made) == (1000,) * 3 + (1000,)
    assert m.missed > 0
    assert isinstance(notebook.history.records[-1], Batch)


def test_a_gap_is_told_once():
    notebook = Notebook()
    for _ in range(3):
        backlog = Backlog("p", 0)
        told(story(3, {}), backlog.add)
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


@given(stories.map(list), st.data())
def test_what_was_not_sent_when_a_process_died_is_counted_and_told(what, data):
    marks, there = [0], Notebook()
    backlog = Backlog("p", mark=marks.append)
    sent = unsent = 0
    for x in what:
        told([x], backlog.add)
        unsent += len(list(x.spans())) if isinstance(x, Batch) else 1
        if data.draw(st.integers(0, 5)) == 0:
            there.fetch(backlog.take())
            sent, unsent = sent + unsent, 0
    under_way = len(there.meter.began)
    there.proxy.cut_off(marks[-1])
    there.proxy.conclude(RuntimeError("killed"))
    events = [e.data for e in there.history.events if e.kind == "unsent"]
    assert events == [unsent] * bool(unsent)
    m = there.meter.snapshot(99.0, there.proxy.slots.figures)
    assert (m.unsent, m.open) == (unsent, 0)
    texts = [line.text for line in there.history.logs]
    assert len(texts) == bool(unsent) + bool(under_way)
    assert all(
        str(number) in text
        for number, text in zip(filter(None, (unsent, under_way)), texts, strict=True)
    )
