"""What does a run know of itself? Every question is answered from what is known now.

Nothing is asked of a loop: what it told is read, so an answer never stops one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flownb.engine.links import known_node, lanes
from flownb.errors import RunError
from flownb.model.edges import did_you_mean
from flownb.model.shown import Viewed
from flownb.model.status import Status
from flownb.model.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flownb.analysis.explain import Explanation
    from flownb.engine.track import LiveRun, Track
    from flownb.model.records import Failure, LogLine, LoopMetrics
    from flownb.model.workflow import Workflow


class Answers(Viewed):
    """The questions that may be asked of a run."""

    name: str
    workflow: Workflow
    _live: LiveRun
    _version: int

    def status(self) -> Status:
        """Say where each loop stands."""
        return self._status()

    def _status(self, *, timed_out: bool = False) -> Status:
        loops = tuple(t.status() for t in self._live.tracks.values())
        unapplied = self.workflow.version - self._version
        busy = self._live.heartbeat.busy
        return Status(self.name, loops, timed_out, busy, unapplied, self._live.server.describe())

    def metrics(self) -> dict[str, LoopMetrics]:
        """Give the counters of each loop; reading them never stops a loop."""
        return {name: track.metrics() for name, track in self._live.tracks.items()}

    def logs(
        self, *, loop: str | None = None, node: str | None = None, last: int | None = None
    ) -> list[LogLine]:
        """Give the last lines that nodes printed or logged, oldest first.

        All of them, or those of one *loop* or *node*, and of these the *last* so many.
        """
        lines = [
            x for t in self._addressed(loop) for x in list(t.history.logs) if node in {None, x.node}
        ]
        return _last(sorted(lines, key=lambda x: x.time), last)

    def failures(self, loop: str | None = None, *, last: int | None = None) -> list[Failure]:
        """Give the items that failed, oldest first, of one *loop* or all; each keeps 100.

        *last*: only so many.
        """
        found = [f for t in self._addressed(loop) for f in list(t.history.failures)]
        return _last(sorted(found, key=lambda f: f.time), last)

    def outputs(self, node: str, last: int | None = None) -> list[Any]:
        """Give the last outputs of a node, oldest first; its `keep=` says how many are kept.

        A node in several loops has its own in each: those of one loop follow the other's.
        """
        found = [t.outputs.kept for t in self._live.tracks.values()]
        known_node(node, {name: None for kept in found for name in kept})
        return _last([x for kept in found for x in list(kept.get(node, ()))], last)

    def explain(self) -> Explanation:
        """Say who waits for whom, and put what was measured so far beside what is predicted."""
        from flownb.analysis.explain import explain

        return explain(self.workflow, measured=self.metrics())

    def timeline(self, loop: str | None = None) -> Timeline:
        """Give the last node calls and waits of each loop."""
        tracks = self._addressed(loop)
        spans = [s for t in tracks for s in t.history.spans()]
        events = [e for t in tracks for e in list(t.history.events)]
        return Timeline.of_spans(spans, events, lanes(t.manager.plan for t in tracks))

    def _addressed(self, loop: str | None) -> list[Track]:
        if loop is None:
            return list(self._live.tracks.values())
        if loop not in self._live.tracks:
            msg = f"there is no loop {loop!r}{did_you_mean(loop, self._live.tracks)}"
            raise RunError(msg)
        return [self._live.tracks[loop]]


def _last(found: Iterable[Any], last: int | None) -> list[Any]:
    kept = list(found)
    return kept if last is None else kept[-last:] if last else []
