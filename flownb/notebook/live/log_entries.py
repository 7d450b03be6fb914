"""What do loops say while they run? Prints, log lines, errors and states, as entries.

An entry is what a person reads in one line of a log, with the traceback behind it where
there is one. Everything is cut to what somebody may want to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flownb.errors import told
from flownb.notebook.live.status import state_word
from flownb.notebook.picture.table import table
from flownb.notebook.picture.text import seconds, xml

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flownb.errors import Failure
    from flownb.records.events import Event, LogLine

LONG: Final = 2_000  # characters of a line
TRACE: Final = 8_000  # characters of a traceback: its end says what happened
_STATE: Final = "state"
_COLUMNS: Final = ("second", "loop", "node", "iteration", "level", "text")


class Entry(NamedTuple):
    """One line; `level` is that of the log line, "error", "warning" or "state"."""

    time: float
    loop: str
    node: str
    iteration: int
    level: str
    text: str
    trace: str = ""


def of_lines(lines: Iterable[LogLine]) -> list[Entry]:
    """Turn what nodes printed and logged into entries."""
    return [Entry(x.time, x.loop, x.node, x.iteration, x.level, _text(x.text)) for x in lines]


def of_failures(failures: Iterable[Failure]) -> list[Entry]:
    """Turn failed items into entries with their tracebacks."""
    return [
        Entry(
            f.time, f.loop, f.node, f.iteration, "error",
            _text(told(f.error)), _text(f.traceback[-TRACE:], TRACE),
        )
        for f in failures
    ]  # fmt: skip


def of_events(events: Iterable[Event]) -> list[Entry]:
    """Turn changes of state, retries and timeouts into entries; others say nothing here."""
    return [entry for event in events if (entry := _of_event(event)) is not None]


def _of_event(event: Event) -> Entry | None:
    at = event.time, event.loop, event.node, event.iteration
    if event.kind == "state":
        state, reason = event.data
        return Entry(*at, _STATE, state_word(state) + (f": {_text(reason)}" if reason else ""))
    if event.kind == "retry":
        return Entry(*at, "warning", f"retried: {_text(event.data)}")
    if event.kind == "timeout":
        left = ", its thread was left behind" if event.data else ""
        return Entry(*at, "warning", f"timed out{left}")
    if event.kind == "applied":
        return Entry(*at, _STATE, "edits applied: new items follow the graph as it is now")
    return None


def _text(value: Any, most: int = LONG) -> str:
    """Cut a text, and leave out what no browser can show: half characters, controls."""
    text = str(value)
    kept = "".join(c for c in text[:most] if c in "\n\t" or (c >= " " and not _half(c)))
    return kept + "…" * (len(text) > most)


def _half(c: str) -> bool:
    return "\ud800" <= c <= "\udfff" or c == "\x7f"


def html(entries: Sequence[Entry]) -> str:
    """Write entries as a table, tracebacks folded below it."""
    rows = [
        [seconds(round(e.time, 3)), e.loop, e.node, None if e.iteration < 0 else e.iteration,
         e.level, e.text]
        for e in entries
    ]  # fmt: skip
    traces = [
        f"<details><summary>{xml(e.node)}, iteration {e.iteration}: {xml(e.text)}</summary>"
        f"<pre>{xml_lines(e.trace)}</pre></details>"
        for e in entries
        if e.trace
    ]
    return table(_COLUMNS, rows) + "".join(traces)


def xml_lines(text: str) -> str:
    """Give lines of text as they may stand in markup."""
    return "\n".join(xml(line) for line in text.split("\n"))
