"""In which words does a run report what happened?

Spans and events are the one stream that metrics, timelines, logs, observers and
widgets read. Both are tuples: cheap to make, easy to compare, the same in every
process. Times are seconds since the run began, on the run's own clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

LoopState = Literal[
    "created",
    "starting",
    "running",
    "pausing",
    "paused",
    "stopping",
    "stopped",
    "completed",
    "error",
]
NodeState = Literal["idle", "healthy", "retrying", "failing"]
ENDED: Final = frozenset({"stopped", "completed", "error"})


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"

    def __reduce__(self) -> str:
        return "NOTHING"  # in another process, too, there is one only


# The output of a call that failed, and of a wait.
NOTHING: Final = _Nothing()
SpanKind = Literal["work", "wait", "throttled", "limited", "retry"]


class Span(NamedTuple):
    """A stretch of time of one node: `kind` "work" is a call, the others are waits.

    `loop`, `node` and `iteration` say whose; `visit` is 0 unless the node runs again in this
    iteration; `start` and `end` are seconds on the run's clock.

    "wait": the producer waits for its await set; "throttled": for an in-flight slot or, with
    `attempt` 0, for room in a queue (there is such a span of the queue, too); "limited": for a
    `Limit`; "retry": for the next attempt.

    `attempt` counts from 1; 0 is a call of which there was no attempt, because its result
    was in the cache, or a middleware gave one.

    >>> Span("days", "check", 0, 0, "work", 1.0, 1.5, 1).duration
    0.5
    """

    loop: str
    node: str
    iteration: int
    visit: int
    kind: SpanKind
    start: float
    end: float
    attempt: int = 1

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.end - self.start


class Event(NamedTuple):
    """Something that happened at one moment; `data` says more, by `kind`.

    `time` is in seconds on the run's clock; `loop`, `node` ("" if it is of none) and
    `iteration` (-1 if it is of none) say where.

    Kinds: "state" (of the loop), "produced", "released", "settled", "failed" (a
    node, for good), "retry", "timeout", "overrun", "log", "applied", "stepped", "away" (its
    Redis; `data` is where that is, "" when it is back), "received" (a
    message; `data` is the call that pushed it: loop, node, iteration, visit),
    "unsent" (spans and events that were lost with the loop's process; `data` is their number, None
    if nobody knows it),
    "stalled" (a call holds the loop's event loop; `data` is None, then the seconds it took),
    "restarted" (after a crash; `data` is the number of the attempt, from 2), "unread" (a
    message that went to the dead letters without becoming an item; `data` is the `Failure`),
    "lost" (a queue that its server has forgotten; `data` is its name).
    Users' observers hear more, which nobody keeps: "started" (a call of a node; `data` is its
    visit) and "bypassed" (a node to which no way led; told when its item has settled); those
    with `traces`, "began" (a life of the loop; `data` is its name) and "traced" (an item came in
    a trace; `data` is its `traceparent`).
    """

    time: float
    kind: str
    loop: str
    node: str = ""
    iteration: int = -1
    data: Any = None


class Batch(NamedTuple):
    """Many iterations of a loop whose nodes are all short, recorded at once.

    `nodes` starts with the producer; `times` holds row after row of clock readings, one
    row an iteration: its start, then the end of each node, in nanoseconds on the clock
    of which 0 is `origin`. (One flat list: half the price of a list for each row.) The
    producer went on at the reading number `released` of its row.
    """

    loop: str
    nodes: tuple[str, ...]
    first: int
    origin: int
    times: Sequence[int]
    outputs: list[Any]
    released: int = -1

    @property
    def width(self) -> int:
        """How many clock readings make a row."""
        return len(self.nodes) + 1

    @property
    def iterations(self) -> int:
        """How many rows there are."""
        return len(self.times) // self.width

    def last(self, rows: int) -> Batch:
        """Keep the last *rows* iterations, without outputs."""
        kept = min(rows, self.iterations)
        first = self.first + self.iterations - kept
        times = self.times[len(self.times) - kept * self.width :]
        return self._replace(first=first, times=times, outputs=[])

    def columns(self) -> list[Sequence[int]]:
        """Give the starts of all rows, then the ends of each node."""
        return [self.times[i :: self.width] for i in range(self.width)]

    def spans(self) -> Iterator[Span]:
        """Give the "work" span of each call, as if each had been recorded alone."""
        for row in range(self.iterations):
            at = row * self.width
            times = [(t - self.origin) / 1e9 for t in self.times[at : at + self.width]]
            for node, start, end in zip(self.nodes, times, times[1:], strict=False):
                yield Span(self.loop, node, self.first + row, 0, "work", start, end)

    def events(self) -> Iterator[Event]:
        """Give what each item published on its way, as if it had gone alone."""
        moments = ("produced", 1), ("released", self.released), ("settled", -1)
        for row in range(self.iterations):
            times = self.times[row * self.width : (row + 1) * self.width]
            for kind, reading in moments:
                time = (times[reading] - self.origin) / 1e9
                yield Event(time, kind, self.loop, self.loop, self.first + row)


class LogLine(NamedTuple):
    """One line a node printed or logged.

    `time` is in seconds on the run's clock; `loop`, `node` and `iteration` say where it comes
    from, `level` is "info" or another word of `logging`, `text` the line.
    """

    time: float
    loop: str
    node: str
    iteration: int
    level: str
    text: str

    def __str__(self) -> str:
        return (
            f"{self.time:9.3f} {self.loop}/{self.node}[{self.iteration}] {self.level}: {self.text}"
        )


class Swimlane(NamedTuple):
    """What the plan of a `loop` knows of one of its nodes: `slots` are the loop's in flight.

    `detached`: its producer never waits for this `node`; `limit` is the `Limit` it is under, as
    text, "" for none.
    """

    loop: str
    node: str
    detached: bool = False
    limit: str = ""
    slots: int = 0


class Hop(NamedTuple):
    """A message between two loops: the call that pushed it, and who received it when.

    `push` is the span of that call; `node` of `loop` received it at second `time`, for its
    `iteration`.
    """

    push: Span
    loop: str
    node: str
    iteration: int
    time: float


def lines(spans: Iterable[Span]) -> list[int]:
    """Number the lines on which spans of one node stand so that none overlaps another.

    Each takes the first line that is free again when it starts.

    >>> from flownb.records.events import Span
    >>> lines([Span("l", "n", i, 0, "work", i, i + 1.5) for i in range(3)])
    [0, 1, 0]
    """
    free: list[float] = []
    taken = []
    for span in spans:
        line = next((i for i, end in enumerate(free) if end <= span.start + 1e-9), len(free))
        free[line:] = [span.end, *free[line + 1 :]]
        taken.append(line)
    return taken
