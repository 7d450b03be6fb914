"""How does the graph look while it runs? Its own picture, with what happens on it.

A click on a node shows its details: its figures, last error, last outputs and log.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flownb.errors import FlowError, told
from flownb.notebook.graph.captions import Captions
from flownb.notebook.graph.live_state import LoopNow, NodeNow, Now, Wait, draw_running, rooms
from flownb.notebook.graph.scene import SPARE, Box, Line, draw, scene
from flownb.notebook.live.rates import three_digits, two_digits
from flownb.notebook.picture.text import brief, clean
from flownb.notebook.repr import page
from flownb.widgets.monitor import Reading, monitor_of
from flownb.widgets.part import Part, shapes

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from flownb.engine.orchestrator.loop_run import LoopRun
    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.errors import Failure
    from flownb.records.events import NodeState, Span
    from flownb.records.metrics import NodeMetrics

_CLOSER_EVERY: Final = 0.5  # seconds: a look at one node costs more than one at all of them
_MOST_WAITS: Final = 5
_LOOKS: Final = 15  # how many of the last looks decide who is waited for
_SHARE: Final = 0.15  # of the time: a shorter wait is not worth a word
_WORST: Final[tuple[NodeState, ...]] = ("failing", "retrying", "healthy", "idle")


class Dag(Part):
    """The graph of a run."""

    name: ClassVar[str] = "dag"

    def __init__(self, orch: Orchestrator) -> None:
        self._orch = orch
        self._scene = scene(orch.workflow, live=True)
        self._monitor = monitor_of(orch)
        self._reading = DagState(orch)
        self._chosen: str | None = None
        self._closer: dict[str, Any] | None = None
        self._closer_at = 0.0

    def version(self) -> Hashable:
        """Change with every edit of the graph."""
        return self._orch.workflow.version

    def scene(self) -> dict[str, Any]:
        """Give the picture, and what its shapes stand for."""
        self._scene = found = scene(self._orch.workflow, live=True)
        ids, wide = {box.name: box.id for box in found.boxes}, rooms(found.boxes)
        return {
            "title": brief(self._orch.name),
            "spare": SPARE,
            "picture": shapes(draw(found)),
            "boxes": [_box(box, wide[box.id]) for box in found.boxes],
            "lines": [_line(line, ids) for line in found.lines],
            "lanes": [
                {"id": lane.id, "loops": list(lane.loops), **asdict(lane.frame)}
                for lane in found.lanes
                if lane.loops
            ],
        }

    def state(self) -> dict[str, Any]:
        """Give every node and queue by the id of its box, every loop by its number, the waits."""
        ids = {box.name: box.id for box in self._scene.boxes}
        found = as_state(self._reading.now(), ids)
        found["over"] = self._orch.is_over()
        if self._chosen is not None:
            found["detail"] = self._look_closer(self._chosen)
        return found

    def _look_closer(self, node: str) -> dict[str, Any]:
        old = time.monotonic() >= self._closer_at or self._orch.is_over()
        if self._closer is None or old:
            self._closer = detail(self._orch, node)
            self._closer_at = time.monotonic() + _CLOSER_EVERY
        return self._closer

    def select(self, value: Any) -> None:
        """Look closer at the node of that box; None: at none."""
        chosen = next((box.name for box in self._scene.boxes if box.id == value), None)
        self._chosen, self._closer = chosen, None

    def is_final(self) -> bool:
        """Whether the queues have told how they stand at the end."""
        return self._monitor.is_final()

    def still(self) -> str:
        """Give the picture of the graph as it stands."""
        found = scene(self._orch.workflow, live=True)
        return page(draw_running(found, self._reading.now()), [])


def as_state(now: Now, ids: Mapping[str, str]) -> dict[str, Any]:
    """Give every node and queue by the id of its box, every loop by its number, the waits."""
    found: dict[str, Any] = {ids[name]: [*node] for name, node in now.nodes.items() if name in ids}
    found |= {f"gauge {ids[name]}": [*q] for name, q in now.queues.items() if name in ids}
    found |= {f"loop {i}": [name, *loop] for i, (name, loop) in enumerate(now.loops.items())}
    found["waits"] = [
        [w.loop, [ids[n] for n in w.nodes if n in ids], str(w)] for w in now.waits[:_MOST_WAITS]
    ]
    return found


class DagState:
    """How every node, loop and queue of a run stands, and who waits for whom."""

    def __init__(self, orch: Orchestrator) -> None:
        self._orch, self._monitor = orch, monitor_of(orch)
        self._holders: dict[str, deque[tuple[str, ...]]] = {}
        self._reading: Reading | None = None
        self._now = Now()

    def now(self) -> Now:
        """Say how it stands at the last reading."""
        reading = self._monitor.look()
        if reading is not self._reading:
            self._reading, self._now = reading, self._of(reading)
        return self._now

    def _of(self, reading: Reading) -> Now:
        runs = [run for run in self._orch._live.loop_runs.values() if run.name in reading.spans]
        waits = (self._wait(run, reading.spans[run.name]) for run in runs)
        return Now(
            self._nodes(reading),
            {run.name: self._loop(run, reading) for run in runs},
            self._queues(reading),
            tuple(sorted(filter(None, waits), key=lambda w: -w.seconds)),
        )

    def _nodes(self, reading: Reading) -> dict[str, NodeNow]:
        """Count what each node did and does, in all loops it belongs to."""
        found: dict[str, dict[str, NodeMetrics]] = {}
        for loop, metrics in reading.sample.loops.items():
            for node, known in metrics.nodes.items():
                found.setdefault(node, {})[loop] = known
        every = (span for spans in reading.spans.values() for span in spans)
        running = Counter(span.node for span in every if span.kind == "work")
        return {
            node: NodeNow(
                min((m.state for m in of.values()), key=_WORST.index),
                sum(m.calls for m in of.values()),
                sum(m.failed for m in of.values()),
                0.0 if reading.over else self._calls(node, of),
                running[node],
                sum(m.retries for m in of.values()),
            )
            for node, of in found.items()
        }

    def _calls(self, node: str, loops: Iterable[str]) -> float:
        return two_digits(sum(self._monitor.rates.calls(loop, node) for loop in loops))

    def _loop(self, run: LoopRun, reading: Reading) -> LoopNow:
        m, state = reading.sample.loops[run.name], reading.status[run.name].state
        rate = two_digits(self._monitor.rates.rate(run.name, state))
        slots = (m.in_flight, m.max_in_flight)
        return LoopNow(state, m.released, rate, *slots, m.failed, m.elapsed)

    def _queues(self, reading: Reading) -> dict[str, tuple[int, int, int]]:
        found = {}
        for node in list(self._orch.workflow.nodes.values()):
            stats = reading.sample.queues.get(node.queue.name) if node.queue else None
            if node.queue is not None and stats is not None:
                found[node.name] = (stats.depth, stats.pending, node.queue.maxlen or 0)
        return found

    def _wait(self, run: LoopRun, spans: list[Span]) -> Wait | None:
        """Say for whom a producer waits and how long for each item; None if it hardly does."""
        name = run.name
        mine = {s.kind: s for s in spans if s.node == name and s.kind != "work"}
        looks = self._holders.setdefault(name, deque(maxlen=_LOOKS))
        if "wait" in mine and "throttled" not in mine:
            looks.append(_holders(run, spans, mine["wait"].iteration))
        _, waiting, throttled = self._monitor.rates.split(name)
        kind, share = ("throttled", throttled) if throttled > waiting else ("wait", waiting)
        if run.state != "running" or share < _SHARE or (kind == "wait" and not looks):
            return None
        items = self._monitor.rates.rate(name)
        length = max(share / items if items else 0.0, mine[kind].duration if kind in mine else 0.0)
        nodes = Counter(looks).most_common(1)[0][0] if kind == "wait" else ()
        return Wait(name, nodes, length, kind)


def _holders(run: LoopRun, spans: list[Span], iteration: int) -> tuple[str, ...]:
    """Name the awaited nodes that are at work for an item."""
    away = {n.name for n in run.manager.plan.nodes if n.detached}
    names = (s.node for s in spans if s.iteration == iteration and s.node != run.name)
    return tuple(dict.fromkeys(name for name in names if name not in away))


def _box(box: Box, room: float) -> dict[str, Any]:
    kind = box.kind.replace("_", "-")
    about = {"id": box.id, "name": brief(box.name), "kind": kind, "word": box.word, "room": room}
    return about | asdict(box.frame)


def _line(line: Line, ids: dict[str, str]) -> dict[str, Any]:
    return {
        "id": line.id,
        "source": ids[line.source],
        "target": ids[line.target],
        "style": line.style,
    }


_OUTPUTS: Final = 5
_LINES: Final = 20
_ROOM: Final = 300  # letters of an output or a line
_TRACE: Final = 4_000  # the last letters of a traceback


def detail(orch: Orchestrator, node: str) -> dict[str, Any]:
    """Give all that is known of a node, as JSON."""
    known = {loop: m.nodes[node] for loop, m in orch.metrics().items() if node in m.nodes}
    return {
        "name": brief(node),
        "about": clean(Captions(orch.workflow).tip(node), 500),
        "figures": [[brief(loop), *_figures(m)] for loop, m in known.items()],
        "error": _error(orch, node),
        "outputs": _outputs(orch, node),
        "lines": [brief(str(line), _ROOM) for line in orch.logs(node=node, last=_LINES)],
    }


def _figures(m: NodeMetrics) -> list[Any]:
    """Give state, calls, failed, retries, timeouts, mean, p50, p99, longest."""
    times = (three_digits(x) for x in (m.mean, m.p50, m.p99, m.longest))
    return [m.state, m.calls, m.failed, m.retries, m.timeouts, *times]


def _error(orch: Orchestrator, node: str) -> dict[str, Any] | None:
    mine = [f for f in orch.failures() if node in {f.node, *(name for name, _ in f.errors)}]
    if not mine:
        return None
    last: Failure = mine[-1]
    errors = dict(last.errors)
    error = errors.get(node, last.error)
    return {
        "text": brief(told(error), _ROOM),
        "where": f"iteration {last.iteration} of {brief(last.loop)}, attempt {last.attempts}",
        "traceback": _lines(last.traceback),
    }


def _lines(text: str) -> list[str]:
    return [clean(line, _ROOM) for line in text[-_TRACE:].splitlines()]


def _outputs(orch: Orchestrator, node: str) -> list[str]:
    try:
        kept = orch.outputs(node, last=_OUTPUTS)
    except FlowError:  # no output of it is kept
        return []
    return [_said(value) for value in reversed(kept)]


def _said(value: Any) -> str:
    try:
        return brief(repr(value), _ROOM)
    except Exception as error:  # noqa: BLE001 - the repr is the user's code
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
