"""Where do the loops of a run stand? One frozen picture of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from flownb.arguments import known
from flownb.display import Shown

if TYPE_CHECKING:
    from flownb.records.events import LoopState, NodeState

_BEHIND: Final = 0.05  # of the ticks that a loop may miss


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """Where one `loop` stands; `rate` is released iterations per second since its start.

    `state` is a word, `reason` says why in a sentence, "" when there is nothing to say; `pool`
    is where the loop lives. It has released so many `iterations`; of its items so many are
    `done`, `failed`, and `in_flight`. `failed_ticks` are calls of the producer that failed;
    `last_error` is that of the last failed item. `unread`: messages that went to the dead
    letters because they could not be read, or their readers died of them. `unsent`: calls,
    events and log lines that were lost with a process of the loop, before it had sent them.
    """

    loop: str
    state: LoopState
    pool: str
    reason: str = ""
    iterations: int = 0
    done: int = 0
    failed: int = 0
    failed_ticks: int = 0
    in_flight: int = 0
    rate: float = 0.0
    last_error: str = ""
    unread: int = 0
    unsent: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Status(Shown):
    """Where all loops stand, at one moment: `status["days"]` is one loop's `LoopStatus`.

    `graph` is the name of the graph, `loops` holds one for each loop; `server` says where the
    queues are.
    `timed_out`: a `wait` ended because of its timeout; `kernel_busy`: seconds for
    which the notebook's event loop was late because a cell or node held it;
    `unapplied`: edits of the graph that the running loops do not know yet.
    """

    graph: str
    loops: tuple[LoopStatus, ...]
    timed_out: bool = False
    kernel_busy: float = 0.0
    unapplied: int = 0
    server: str = ""

    def __getitem__(self, loop: str) -> LoopStatus:
        by_name = {s.loop: s for s in self.loops}
        return by_name[known("loop", loop, by_name)]

    @property
    def failed(self) -> int:
        """How many items have failed in all."""
        return sum(s.failed for s in self.loops)

    @property
    def errors(self) -> int:
        """How many items, calls of a producer and messages failed, and loops by themselves."""
        counts = [s.failed + s.failed_ticks + s.unread for s in self.loops]
        return sum(n or s.state == "error" for n, s in zip(counts, self.loops, strict=True))


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """What one `node` did so far; durations in seconds, `backoff` those between attempts.

    `calls` counts attempts; `cached` how often a kept result was given instead (`cache=`,
    or a middleware that answers itself). Of the attempts so many `failed`, were `retries` of
    others, ended as `timeouts`; `abandoned` are those that could not be ended and go on
    unseen, `running` those at work now. They took `total` seconds in all, `longest` the
    longest one; half of them took at most `p50`, 99 of 100 at most `p99`. `state` is "idle",
    "healthy", "retrying" or "failing".
    """

    node: str
    state: NodeState = "idle"
    calls: int = 0
    failed: int = 0
    retries: int = 0
    timeouts: int = 0
    abandoned: int = 0
    running: int = 0
    total: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    longest: float = 0.0
    backoff: float = 0.0
    cached: int = 0

    @property
    def mean(self) -> float:
        """Mean length of a call in seconds, 0 before the first."""
        return self.total / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class LoopMetrics:
    """What one `loop` did so far; `state` says where it stands, `nodes` has its nodes by name.

    Items: `produced` by the producer; `released`, it went on to the next one; then `done`,
    `failed` or `cancelled`, and `open` until that is known: `produced` is the sum of these four.
    `dropped` items, of which a part did not start for want of a slot, are done too.
    `in_flight` have detached work that is not finished, `peak_in_flight` were the most so far,
    `max_in_flight` may be. `overruns`: ticks of `every=` that were missed, as they fell into
    an iteration. `elapsed`: seconds since the start. `failed_ticks`: calls of the producer
    that failed, and so made no item. `working`, `waiting`, `throttled`
    are the producer's seconds: making items, waiting for its await set, waiting
    for an in-flight slot. `p50` and `p99`: seconds from when an item was made until
    all of its work was done, detached work too. `restarts`: attempts after a crash.
    `missed`: spans and events of a loop elsewhere that the timeline does not show, because
    the notebook did not fetch them in time; the counters know of them. `unread`: messages
    that went to the dead letters because they could not be read, or their readers died of them.
    `unsent`: spans and events that were lost with a process of the loop, before it had sent them:
    the counters do not know of them either.
    """

    loop: str
    state: LoopState = "created"
    produced: int = 0
    released: int = 0
    done: int = 0
    failed: int = 0
    dropped: int = 0
    cancelled: int = 0
    open: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    max_in_flight: int = 64
    overruns: int = 0
    failed_ticks: int = 0
    restarts: int = 0
    missed: int = 0
    working: float = 0.0
    waiting: float = 0.0
    throttled: float = 0.0
    elapsed: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    nodes: Mapping[str, NodeMetrics] = field(default_factory=dict)
    unread: int = 0
    unsent: int = 0

    @property
    def rate(self) -> float:
        """Released iterations per second since the loop started."""
        return self.released / self.elapsed if self.elapsed else 0.0

    def missed_since(self, before: LoopMetrics) -> tuple[int, int] | None:
        """Give the ticks missed, and all of them, since *before*; None unless that is too many.

        A loop is behind that misses more than one, and more than 5 %.

        >>> LoopMetrics("days", produced=90, overruns=10).missed_since(LoopMetrics("days"))
        (10, 100)
        >>> LoopMetrics("days", produced=99, overruns=1).missed_since(LoopMetrics("days"))
        """
        missed = self.overruns - before.overruns
        ticks = missed + self.produced - before.produced
        return (missed, ticks) if missed > 1 and missed > _BEHIND * ticks else None
