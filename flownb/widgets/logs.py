"""What do the nodes say? Their prints, log lines and errors, and the states of loops, live."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flownb.engine.observe.history import newer
from flownb.notebook.gantt.span_feed import Rows
from flownb.notebook.live import log_entries
from flownb.notebook.picture.text import clean
from flownb.notebook.repr import page
from flownb.widgets.part import Part
from flownb.widgets.sending import Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.notebook.live.log_entries import Entry
    from flownb.widgets.part import Command

_EVERY: Final = 0.2
_MOST: Final = 100  # entries in a portion: 500 a second, nobody reads more
_SIZE: Final = 12_000  # characters in a portion
_PAST: Final = 400
_STAYS: Final = 60
_SOURCES: Final[tuple[tuple[str, Callable[..., list[Entry]]], ...]] = (
    ("logs", log_entries.of_lines),
    ("failures", log_entries.of_failures),
    ("events", log_entries.of_events),
)


class Logs(Part):
    """The entries of a run, as they come."""

    name: ClassVar[str] = "logs"

    def __init__(self, orch: Orchestrator) -> None:
        self._orch, self._live = orch, orch._live
        self._feed, self._rows = Feed(), Rows()
        self._last: dict[tuple[Any, str], Any] = {}
        self._next = 0.0

    def version(self) -> Hashable:
        """Change with the loops and nodes that speak, and when a page asks for the past.

        Who may speak is named before anybody does: a scene is large, and one name more
        would send it again.
        """
        for loop_run in list(self._live.loop_runs.values()):
            for node in ("", *(node.name for node in loop_run.manager.plan.nodes)):
                self._rows[loop_run.name, node]
        return tuple(self._live.loop_runs), len(self._rows.numbers), self._feed.version

    def commands(self) -> Mapping[str, Callable[[Command], Any]]:
        """Let a page ask for what was before it was opened."""
        return {"recall_logs": self._feed.recall}

    def scene(self) -> dict[str, Any]:
        """Name who speaks, and give the last entries."""
        self._gather()
        past = self._sent(self._entries(_PAST), _PAST, 10 * _SIZE)
        names = [
            {"id": i, "loop": clean(loop, 200), "node": clean(node, 200)}
            for (loop, node), i in self._rows.numbers.items()
        ]
        return {"rows": names} | self._feed.past(past)

    def state(self) -> dict[str, Any]:
        """Give the entries that have come since the last time."""
        now = time.monotonic()
        if now >= self._next or self._orch.is_over():  # then nobody asks once more
            self._next = now + _EVERY
            self._gather()
        return self._feed.state()

    def _gather(self) -> None:
        found: list[Entry] = []
        for loop_run in list(self._live.loop_runs.values()):
            for ring, read in _SOURCES:
                fresh, _ = newer(getattr(loop_run.history, ring), self._last.get((loop_run, ring)))
                if fresh:
                    self._last[loop_run, ring] = fresh[-1]
                    found += read(fresh)
        if found:
            self._feed.add(self._sent(sorted(found, key=_time), _MOST, _SIZE))

    def _sent(self, entries: Sequence[Entry], most: int, size: int) -> dict[str, Any]:
        """Give the last entries, at most so many with so many characters in all."""
        kept: list[list[Any]] = []
        for e in reversed(entries):
            size -= len(e.text) + len(e.trace)
            if len(kept) == most or (size < 0 and kept):
                break
            row = self._rows[e.loop, e.node]
            kept.append([round(e.time, 3), row, e.iteration, e.level, e.text, e.trace])
        left = len(entries) - len(kept)
        return {"e": kept[::-1]} | ({"left": left} if left else {})

    def _entries(self, last: int) -> list[Entry]:
        found: list[Entry] = []
        for loop_run in list(self._live.loop_runs.values()):
            for ring, read in _SOURCES:
                found += read(list(getattr(loop_run.history, ring)))[-last:]
        return sorted(found, key=_time)[-last:]

    def still(self) -> str:
        """Give the last entries as a table."""
        return page(None, [("", log_entries.html(self._entries(_STAYS)))])


def _time(entry: Entry) -> float:
    return entry.time
