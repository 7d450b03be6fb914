"""What does a log view show of lines, failures and events, whatever they hold?"""

from __future__ import annotations

from html.parser import HTMLParser

from flownb.errors import Failure
from flownb.notebook.live.log_entries import (
    LONG,
    TRACE,
    Entry,
    html,
    of_events,
    of_failures,
    of_lines,
)
from flownb.records.events import Event, LogLine
from tests.support.lab import boom, chain


def test_lines_keep_who_said_them():
    line = LogLine(1.5, "days", "check", 7, "print", "hello")
    assert of_lines([line]) == [Entry(1.5, "days", "check", 7, "print", "hello")]


def test_what_no_browser_can_show_is_left_out_and_what_is_long_is_cut():
    (entry,) = of_lines([LogLine(0, "l", "n", 0, "print", "a\x00b\ud800c\td" + "x" * 9_999)])
    assert entry.text.startswith("abc\tdxxx")
    assert len(entry.text) <= LONG + 1
    assert entry.text.endswith("…")


def test_a_failure_brings_the_end_of_its_traceback():
    sim = chain(("a", boom, {}), source=[1]).simulate()
    (entry,) = of_failures(sim.failures())
    assert (entry.node, entry.level, entry.text) == ("a", "error", "ValueError: no 1")
    assert "in boom" in entry.trace
    long = Failure("l", "n", 0, None, 1, ValueError("x"), traceback="y" * 50_000 + "the end")
    assert of_failures([long])[0].trace.endswith("the end")
    assert len(of_failures([long])[0].trace) <= TRACE + 1


def test_events_that_a_person_waits_for_are_entries_others_are_not():
    events = [
        Event(0, "state", "days", data=("running", "")),
        Event(1, "produced", "days", "days", 0),
        Event(2, "retry", "days", "check", 0, "ValueError: no"),
        Event(3, "timeout", "days", "check", 0, True),
        Event(4, "state", "days", data=("paused", "check failed")),
        Event(5, "applied", "days", data=3),
        Event(6, "settled", "days", "days", 0),
    ]
    assert [(e.level, e.text) for e in of_events(events)] == [
        ("state", "▶ running"),
        ("warning", "retried: ValueError: no"),
        ("warning", "timed out, its thread was left behind"),
        ("state", "‖ paused: check failed"),
        ("state", "edits applied: new items follow the graph as it is now"),
    ]


def test_the_still_holds_no_markup_but_ours():
    evil = '<script>alert(1)</script>"]]>'
    tags = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.add(tag)
            assert all(name in {"class", "scope"} for name, _ in attrs)

    Reader().feed(html([Entry(0, evil, evil, 1, evil, evil, f"{evil}\n{evil}")]))
    known = {"table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre"}
    assert tags == known
