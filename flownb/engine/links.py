"""Which loops feed which over the queues of a graph, and which readers get nothing more?"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from flownb.errors import NodeFailed
from flownb.plan.await_sets import Flow
from flownb.plan.traversal import reach
from flownb.queues.spec import QueueSpec
from flownb.records.events import Swimlane

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from flownb.model.policies import Limit
    from flownb.model.workflow import Workflow
    from flownb.plan.loop_plan import LoopPlan
    from flownb.records.events import LoopState


class Links:
    """Tells when everyone who pushes to a queue has completed; any thread may ask."""

    def __init__(self, plans: Sequence[LoopPlan]) -> None:
        self._plans = {p.loop: p for p in plans}
        self._completed: set[str] = set()
        self._reported: set[str] = set()
        self._lock = threading.Lock()

    def completed(self, loop: str) -> None:
        """Note that *loop* pushes nothing any more."""
        with self._lock:
            self._completed.add(loop)

    def unfed(self) -> list[str]:
        """Give the reader loops that nobody feeds any more, each once."""
        with self._lock:
            unfed = [p.loop for p in self._plans.values() if self._is_unfed(p)]
            news = [loop for loop in unfed if loop not in self._reported]
            self._reported.update(news)
            return news

    def add(self, plan: LoopPlan) -> None:
        """Take in how a loop is now that was changed while the others run."""
        with self._lock:
            self._plans[plan.loop] = plan

    def again(self, plan: LoopPlan) -> None:
        """Take in a loop that begins, maybe once more: it has not completed yet."""
        with self._lock:
            self._plans[plan.loop] = plan
            self._completed.discard(plan.loop)
            self._reported.discard(plan.loop)

    def _is_unfed(self, plan: LoopPlan) -> bool:
        writers = self._writers(plan)
        return bool(writers) and writers <= self._completed

    def _writers(self, plan: LoopPlan) -> set[str]:
        """Name the loops that feed a reader, none where others may feed it, too."""
        reader = plan.nodes[0].node.reader
        if reader is None or reader.external:
            return set()
        writers = [p for p in self._plans.values() if reader.queue in p.writes]
        outside = any(_is_external(p, reader.queue) for p in writers)
        return set() if outside else {p.loop for p in writers}

    def feeders(self, there: Container[str]) -> dict[str, set[str]]:
        """Name who feeds each reader; who is not *there* any more and has completed does not."""
        with self._lock:
            gone = {loop for loop in self._completed if loop not in there}
            return {p.loop: self._writers(p) - gone for p in self._plans.values()}


def pushes_no_more(loop: str, state: LoopState, error: BaseException | None) -> bool:
    """Whether a loop that has ended has made all that it ever will: to its end, or its source's."""
    own = isinstance(error, NodeFailed) and error.node == loop
    return state == "completed" or (state == "error" and own)


def _is_external(plan: LoopPlan, queue: str) -> bool:
    return any(
        n.node.queue.external for n in plan.nodes if n.node.queue and n.node.queue.name == queue
    )


def uses_queues(plans: Iterable[LoopPlan]) -> bool:
    """Whether a loop reads, pushes, or may send dead letters."""
    return any(
        n.node.queue or n.node.reader or _may_bury(n.node.on_error) for p in plans for n in p.nodes
    ) or any(_may_bury(p.options.on_error) for p in plans)


def _may_bury(on_error: Any) -> bool:
    return on_error == "dead_letter" or callable(on_error)


def queue_specs(workflow: Workflow) -> list[QueueSpec]:
    """Describe every queue of a graph to the hosts that will use it."""
    readers: dict[str, list[str]] = {}
    for node in workflow.nodes.values():
        if node.reader:
            readers.setdefault(node.reader.queue, []).extend(_loops_of(workflow, node.name))
    keys = {n.reader.queue: n.reader.key for n in workflow.nodes.values() if n.reader}
    specs = {name: QueueSpec(name, readers=tuple(r), key=keys[name]) for name, r in readers.items()}
    for node in workflow.nodes.values():
        q = node.queue
        if q:
            specs[q.name] = QueueSpec(
                q.name, q.mode, q.maxlen, q.when_full, q.model, tuple(readers.get(q.name, ())),
                key=q.key or keys.get(q.name), codec=q.codec,
            )  # fmt: skip
    return list(specs.values())


def _loops_of(workflow: Workflow, reader: str) -> list[str]:
    """Name the loops a reader reads for: its own, or those it stands in the middle of."""
    if reader in workflow.producers:
        return [reader]
    flow = Flow.of(workflow)
    before = reach(flow.pred, [flow.index[reader]])
    return [loop for loop in workflow.producers if before[flow.index[loop]]]


def swimlanes(plans: Iterable[LoopPlan]) -> tuple[Swimlane, ...]:
    """Tell a timeline what the plans know of each node; the root of a run once is none."""
    return tuple(
        Swimlane(p.loop, n.name, n.detached, _limit(n.node.limit), p.options.max_in_flight)
        for p in plans
        for n in (p.nodes if p.once is None else p.nodes[1:])
    )


def _limit(limit: Limit | None) -> str:
    return "" if limit is None else repr(limit)
