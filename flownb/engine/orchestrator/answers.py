"""What does a run answer about itself? Status, metrics, logs, timeline: from what is known now.

Nothing is asked of a loop: what it has reported is read, so an answer never stops one.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flownb.arguments import Named, known, newest
from flownb.display import Viewed
from flownb.engine.links import swimlanes
from flownb.records.metrics import Status
from flownb.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flownb.engine.orchestrator.loop_run import LiveRun, LoopRun
    from flownb.errors import Failure
    from flownb.explain.explanation import Explanation
    from flownb.model.workflow import Workflow
    from flownb.records.events import LogLine
    from flownb.records.metrics import LoopMetrics


class Answers(Viewed):
    """The questions that may be asked of a run."""

    name: str
    workflow: Workflow
    _live: LiveRun
    _version: int

    def status(self) -> Status:
        """Say where each loop stands."""
        return self._status()

    def _status(
        self, *, timed_out: bool = False, counted: Mapping[str, LoopMetrics] = MappingProxyType({})
    ) -> Status:
        """Give the status; of the loops *counted* has, as those counters say."""
        loops = tuple(run.status(counted.get(name)) for name, run in self._live.loop_runs.items())
        unapplied = self.workflow.version - self._version
        busy = self._live.heartbeat.busy
        return Status(self.name, loops, timed_out, busy, unapplied, self._live.server.describe())

    def metrics(self) -> dict[str, LoopMetrics]:
        """Give the counters of each loop; reading them never stops a loop."""
        return Named(
            {name: loop_run.metrics() for name, loop_run in self._live.loop_runs.items()}, "loop"
        )

    def logs(
        self, *, loop: str | None = None, node: str | None = None, last: int | None = None
    ) -> list[LogLine]:
        """Give the last lines that nodes printed or logged, oldest first.

        All of them, or those of one *loop* or *node*, and of these the *last* so many.
        """
        if node is not None:
            known("node", node, self._nodes())
        lines = [
            x for t in self._addressed(loop) for x in list(t.history.logs) if node in {None, x.node}
        ]
        return newest(sorted(lines, key=lambda x: x.time), last, "logs()")

    def failures(self, loop: str | None = None, *, last: int | None = None) -> list[Failure]:
        """Give the items that failed, oldest first, of one *loop* or all; each keeps 100.

        *last*: only so many.
        """
        found = [f for t in self._addressed(loop) for f in list(t.history.failures)]
        return newest(sorted(found, key=lambda f: f.time), last, "failures()")

    def outputs(self, node: str, last: int | None = None) -> list[Any]:
        """Give the last outputs of a node, oldest first; its `keep=` says how many are kept.

        A node in several loops has its own in each: those of one loop follow the other's.
        """
        known("node", node, self._nodes())
        found = [t.outputs.kept for t in self._live.loop_runs.values()]
        return newest((x for kept in found for x in list(kept.get(node, ()))), last, "outputs()")

    def explain(self) -> Explanation:
        """Say who waits for whom, and put what was measured so far beside what is predicted."""
        from flownb.explain.explanation import explain

        return explain(self.workflow, measured=self.metrics())

    def timeline(self, loop: str | None = None) -> Timeline:
        """Give the last node calls and waits of each loop."""
        loop_runs = self._addressed(loop)
        spans = [s for t in loop_runs for s in t.history.spans()]
        events = [e for t in loop_runs for e in list(t.history.events)]
        return Timeline.of_spans(spans, events, swimlanes(t.manager.plan for t in loop_runs))

    def _addressed(self, loop: str | None) -> list[LoopRun]:
        if loop is None:
            return list(self._live.loop_runs.values())
        return [self._live.loop_runs[known("loop", loop, self._live.loop_runs)]]

    def _nodes(self) -> list[str]:
        """Name the nodes of all loops."""
        return list(dict.fromkeys(n for t in self._live.loop_runs.values() for n in t.outputs.kept))
