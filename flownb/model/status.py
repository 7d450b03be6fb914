"""Where do the loops of a run stand? One frozen picture of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flownb.arguments import known
from flownb.model.shown import Shown

if TYPE_CHECKING:
    from flownb.model.records import LoopState


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """Where one `loop` stands; `rate` is released iterations per second since its start.

    `state` is a word, `reason` says why in a sentence, "" when there is nothing to say; `pool`
    is where the loop lives. It has released so many `iterations`; of its items so many are
    `done`, `failed`, and `in_flight`. `failed_ticks` are calls of the producer that failed;
    `last_error` is that of the last failed item. `unread`: messages that went to the dead
    letters because they could not be read, or their readers died of them.
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
