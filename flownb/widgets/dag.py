"""How does the graph look while it runs? Its own picture, with what happens on it.

A click on a node shows its details: its figures, last error, last outputs and log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter, deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flownb.engine.runtime import running_loop
from flownb.errors import FlowError, told
from flownb.model.document.encode import to_dict
from flownb.notebook.graph.captions import Captions
from flownb.notebook.graph.live_state import (
    LoopNow,
    NodeNow,
    Now,
    QueueNow,
    Says,
    Wait,
    draw_running,
    gathered,
    rooms,
    worst,
)
from flownb.notebook.graph.scene import SPARE, TITLE_SIZE, Box, Line, draw, scene
from flownb.notebook.live.rates import three_digits, two_digits
from flownb.notebook.picture.text import brief, clean, width
from flownb.notebook.repr import page
from flownb.widgets.monitor import Noted, Reading, monitor_of
from flownb.widgets.part import Part, shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping

    from flownb.engine.orchestrator.loop_run import LoopRun
    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.errors import Failure
    from flownb.notebook.graph.scene import Scene
    from flownb.notebook.live.rates import RunRates
    from flownb.queues.send.dead_letters import DeadLetters
    from flownb.records.events import Span
    from flownb.records.metrics import LoopMetrics, NodeMetrics
    from flownb.widgets.part import Command

_CLOSER_EVERY: Final = 0.5  # seconds: a look at one node costs more than one at all of them
_MOST_WAITS: Final = 5
_MOST_SAYS: Final = 20
_SENTENCE: Final = 600  # letters
_LOOKS: Final = 15  # how many of the last looks decide who is waited for
_SHARE: Final = 0.15  # of the time: a shorter wait is not worth a word
_LARGE: Final = 150  # boxes: with more of them loops are folded at first,
_SEVERAL: Final = 4  # if there are so many at least


class Dag(Part):
    """The graph of a run."""

    name: ClassVar[str] = "dag"

    def __init__(self, orch: Orchestrator) -> None:
        self._orch = orch
        many = len(orch.workflow.nodes) > _LARGE and len(orch.workflow.producers) >= _SEVERAL
        self._folded = frozenset(orch.workflow.producers if many else ())
        self._scene = self._drawn()
        self._standing, self._noted = DagState(orch), Noted(orch)
        self._loops: dict[str, list[Any]] = {}
        self._chosen: str | None = None
        self._closer: dict[str, Any] | None = None
        self._closer_at = 0.0
        self._actions = _PanelActions(orch)

    def version(self) -> Hashable:
        """Change with every edit of the graph, and when a loop is folded."""
        return self._orch.workflow.version, self._folded

    def _drawn(self) -> Scene:
        return scene(self._orch.workflow, live=True, folded=self._folded)

    def scene(self) -> dict[str, Any]:
        """Give the picture, and what its shapes stand for."""
        self._scene = found = self._drawn()
        ids, wide = {box.name: box.id for box in found.boxes}, rooms(found.boxes)
        return {
            "title": brief(self._orch.name),
            "spare": SPARE,
            "picture": shapes(draw(found)),
            "boxes": [_box(box, wide[box.id]) for box in found.boxes],
            "lines": [_line(line, ids) for line in found.lines],
            "lanes": [
                {
                    "id": lane.id,
                    "loops": list(lane.loops),
                    "said": round(width(lane.title, TITLE_SIZE)) + 28,
                    "folded": self._folded.issuperset(lane.loops),
                    **asdict(lane.frame),
                }
                for lane in found.lanes
                if lane.loops
            ],
        }

    def look(self) -> None:
        """Take the reading that `state()` or `still()` tells of."""
        self._noted.note()

    def state(self) -> dict[str, Any]:
        """Give every node and queue by the id of its box, every loop by its number, the waits."""
        reading = self._noted.take()
        now = gathered(self._standing.at(reading), self._scene.boxes)
        found = as_state(now, self._scene.homes)
        self._loops = {key: value for key, value in found.items() if key.startswith("loop ")}
        found["over"] = reading.over
        if self._chosen is not None:
            found["detail"] = self._look_closer(self._chosen, reading)
        return found

    def states(self) -> dict[str, Any]:
        """Give each loop with its state of now and its released items."""
        now = self._orch.metrics()
        return {
            key: [name, now[name].state, now[name].released, *others]
            for key, (name, _, _, *others) in self._loops.items()
            if name in now
        }

    def _look_closer(self, node: str, reading: Reading) -> dict[str, Any]:
        old = time.monotonic() >= self._closer_at or reading.over
        if self._closer is None or old:
            counted = reading.rates.last.loops
            self._closer = detail(self._orch, node, counted) | self._actions.look(node)
            self._closer_at = time.monotonic() + _CLOSER_EVERY
        return self._closer

    def select(self, value: Any) -> None:
        """Look closer at the node of that box; None: at none."""
        chosen = next((box.name for box in self._scene.boxes if box.id == value), None)
        self._chosen, self._closer = chosen, None

    def commands(self) -> Mapping[str, Callable[[Command], Any]]:
        """Let loops be folded, and what is chosen be taken in hand: push, try again."""
        return {
            "fold": self._fold,
            "inject": lambda c: self._act(self._actions.push(self._node(), str(c.get("text")))),
            "again": lambda _: self._act(self._actions.again(self._node())),
            "drop": lambda _: self._act(self._actions.drop(self._node())),
        }

    def _fold(self, command: Command) -> None:
        """Fold the loops that are named, or unfold them; without names all of them."""
        known = frozenset(self._orch.workflow.producers)
        asked = known & frozenset(command.get("loops") or known)
        self._folded = self._folded - asked if asked <= self._folded else self._folded | asked

    def _node(self) -> str:
        if self._chosen is None:
            msg = "choose a node first"
            raise FlowError(msg)
        return self._chosen

    def _act(self, action: Coroutine[Any, Any, str]) -> None:
        self._actions.do(action)
        self._closer = None

    def chosen(self) -> dict[str, str]:
        """Name the node that is chosen, and its queue if it is one."""
        if self._chosen is None:
            return {}
        node = self._orch.workflow.nodes.get(self._chosen)
        queue = node.queue.name if node is not None and node.queue is not None else ""
        return {"node": self._chosen} | ({"queue": queue} if queue else {})

    def file(self, kind: str) -> tuple[str, str] | None:
        """Give the graph as JSON."""
        if kind != "json":
            return None
        return json.dumps(to_dict(self._orch.workflow), indent=2), "application/json"

    def is_final(self) -> bool:
        """Whether the queues have told how they stand at the end."""
        return self._noted.monitor.is_final()

    def still(self) -> str:
        """Give the picture of the graph as it stands."""
        return page(draw_running(self._drawn(), self._standing.at(self._noted.take())), [])


def as_state(now: Now, ids: Mapping[str, str]) -> dict[str, Any]:
    """Give every node and queue by the id of its box, every loop by its number, the waits."""
    found: dict[str, Any] = {ids[name]: [*node] for name, node in now.nodes.items() if name in ids}
    found |= {f"gauge {ids[name]}": [*q] for name, q in now.queues.items() if name in ids}
    found |= {f"loop {i}": [name, *loop] for i, (name, loop) in enumerate(now.loops.items())}
    found["waits"] = [
        [w.loop, [ids[n] for n in w.nodes if n in ids], str(w)] for w in now.waits[:_MOST_WAITS]
    ]
    found["says"] = [
        [s.level, clean(s.text, _SENTENCE), s.loop, ids.get(s.node, ""), clean(s.node, _ROOM)]
        for s in now.says[:_MOST_SAYS]
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
        return self.at(self._monitor.look())

    def at(self, reading: Reading) -> Now:
        """Say how it stood at that reading."""
        if reading is not self._reading:
            self._reading, self._now = reading, self._of(reading)
        return self._now

    def _of(self, reading: Reading) -> Now:
        runs = [run for run in self._orch._live.loop_runs.values() if run.name in reading.spans]
        waits = (self._wait(run, reading) for run in runs)
        return Now(
            self._nodes(reading),
            {run.name: self._loop(run, reading) for run in runs},
            self._queues(reading),
            tuple(sorted(filter(None, waits), key=lambda w: -w.seconds)),
            tuple(Says(*alert) for alert in reading.says),
        )

    def _nodes(self, reading: Reading) -> dict[str, NodeNow]:
        """Count what each node did and does, in all loops it belongs to."""
        found: dict[str, dict[str, NodeMetrics]] = {}
        for loop, metrics in reading.rates.last.loops.items():
            for node, known in metrics.nodes.items():
                found.setdefault(node, {})[loop] = known
        return {
            node: NodeNow(
                worst(m.state for m in of.values()),
                sum(m.calls for m in of.values()),
                sum(m.failed for m in of.values()),
                0.0 if reading.over else _calls(node, of, reading.rates),
                sum(m.running for m in of.values()) * (node not in reading.full),
                sum(m.retries for m in of.values()),
                sum(reading.rates.failed(loop, node) for loop in of),
            )
            for node, of in found.items()
        }

    def _loop(self, run: LoopRun, reading: Reading) -> LoopNow:
        m, state = reading.rates.last.loops[run.name], reading.status[run.name].state
        rate = two_digits(reading.rates.rate(run.name, state))
        slots = (m.in_flight, m.max_in_flight)
        reason = clean(reading.status[run.name].reason, _SENTENCE)
        return LoopNow(state, m.released, rate, *slots, m.failed, m.elapsed, reason)

    def _queues(self, reading: Reading) -> dict[str, QueueNow]:
        found = {}
        calls = Counter(s.node for spans in reading.spans.values() for s in spans)
        for node in list(self._orch.workflow.nodes.values()):
            stats = reading.rates.last.queues.get(node.queue.name) if node.queue else None
            if node.queue is not None and stats is not None:
                waiting = calls[node.name] * (node.name in reading.full)
                most = node.queue.maxlen or 0
                found[node.name] = QueueNow(stats.depth, stats.pending, most, waiting)
        return found

    def _wait(self, run: LoopRun, reading: Reading) -> Wait | None:
        """Say for whom a producer waits and how long for each item; None if it hardly does."""
        name, spans = run.name, reading.spans[run.name]
        mine = {s.kind: s for s in spans if s.node == name and s.kind != "work"}
        looks = self._holders.setdefault(name, deque(maxlen=_LOOKS))
        if "wait" in mine and "throttled" not in mine:
            looks.append(_holders(run, spans, mine["wait"].iteration))
        _, waiting, throttled = reading.rates.split(name)
        kind, share = ("throttled", throttled) if throttled > waiting else ("wait", waiting)
        if run.state != "running" or share < _SHARE or (kind == "wait" and not looks):
            return None
        items = reading.rates.rate(name)
        length = max(share / items if items else 0.0, mine[kind].duration if kind in mine else 0.0)
        nodes = Counter(looks).most_common(1)[0][0] if kind == "wait" else _rooms(run, reading)
        return Wait(name, nodes, length, kind)


def _rooms(run: LoopRun, reading: Reading) -> tuple[str, ...]:
    """Name the full queues of a loop in which it waits for room."""
    return tuple(n.name for n in run.manager.plan.nodes if n.name in reading.full)


def _calls(node: str, loops: Iterable[str], rates: RunRates) -> float:
    return two_digits(sum(rates.calls(loop, node) for loop in loops))


def _holders(run: LoopRun, spans: list[Span], iteration: int) -> tuple[str, ...]:
    """Name the awaited nodes that are at work for an item."""
    away = {n.name for n in run.manager.plan.nodes if n.detached}
    names = (s.node for s in spans if s.iteration == iteration and s.node != run.name)
    return tuple(dict.fromkeys(name for name in names if name not in away))


def _box(box: Box, room: float) -> dict[str, Any]:
    kind = box.kind.replace("_", "-")
    about = {"id": box.id, "name": brief(box.name), "kind": kind, "word": box.word, "room": room}
    inside = {"nodes": [clean(name, 200) for name in box.nodes]} if box.nodes else {}
    return about | {"key": clean(box.name, 200)} | inside | asdict(box.frame)


def _line(line: Line, ids: dict[str, str]) -> dict[str, Any]:
    return {
        "id": line.id,
        "source": ids[line.source],
        "target": ids[line.target],
        "style": line.style,
    }


class _PanelActions:
    """Looks into the queue that is chosen, and does what its panel asks for; nothing waits."""

    def __init__(self, orch: Orchestrator) -> None:
        self._orch = orch
        self._messages: tuple[str, list[list[Any]]] = ("", [])
        self._tasks: set[asyncio.Task[None]] = set()
        self._told = ""

    def look(self, node: str) -> dict[str, Any]:
        """Give the oldest messages of a queue, and what came of the last command."""
        options = self._orch.workflow.nodes[node].queue
        said = {"told": self._told} if self._told else {}
        if options is None:
            return said
        if running_loop() is not None and not self._tasks and not self._orch.is_over():
            self._begin(self._peek(options.name))
        queue, found = self._messages
        return said | {"messages": found if queue == options.name else []}

    def do(self, action: Coroutine[Any, Any, str]) -> None:
        """Do it beside all else; its answer is told in the panel."""
        self._told = ""
        self._begin(self._tell(action))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, action: Coroutine[Any, Any, str]) -> None:
        try:
            self._told = await action
        except Exception as error:  # noqa: BLE001 - told in the panel
            self._told = brief(told(error), _ROOM)

    async def _peek(self, queue: str) -> None:
        with contextlib.suppress(Exception):  # the server is away: what was known stays
            found = await self._orch.queues.peek(queue, _OUTPUTS)
            self._messages = queue, [[m.id, m.deliveries, _said(m.payload)] for m in found]

    async def push(self, node: str, text: str) -> str:
        """Push JSON to the queue of a node, or the text itself if it is none."""
        options = self._orch.workflow.nodes[node].queue
        if options is None:
            msg = f"node {node!r} is no queue"
            raise FlowError(msg)
        try:
            data = json.loads(text)
        except ValueError:
            data = text
        await self._orch.queues.push(options.name, data)
        return f"pushed {brief(repr(data))}"

    async def again(self, node: str) -> str:
        """Offer the last failed item of a node to its loop once more."""
        letters, letter = await self._letter(node)
        count = await letters.replay(letter["id"])
        return f"iteration {letter['iteration']} is tried again" if count else "it is gone already"

    async def drop(self, node: str) -> str:
        """Throw the last failed item of a node away."""
        _, letter = await self._letter(node)
        loop, letter_id = letter["loop"], letter["id"]
        await self._orch.queues.discard(loop, letter_id)
        return f"iteration {letter['iteration']} is dropped"

    async def _letter(self, node: str) -> tuple[DeadLetters, dict[str, Any]]:
        for loop in self._orch._live.loop_runs:
            letters = await self._orch.queues.dead(loop, _LETTERS)
            mine = [letter for letter in letters if letter["node"] == node]
            if mine:
                return letters, mine[-1]
        msg = (
            f"no failed item of {node!r} is kept: set_loop(..., on_error='dead_letter') keeps them"
        )
        raise FlowError(msg)


_LETTERS: Final = 1_000  # of a loop: among them a failed item is looked for
_OUTPUTS: Final = 5
_LINES: Final = 20
_ROOM: Final = 300  # letters of an output or a line
_TRACE: Final = 4_000  # the last letters of a traceback


def detail(
    orch: Orchestrator, node: str, counted: Mapping[str, LoopMetrics] | None = None
) -> dict[str, Any]:
    """Give all that is known of a node, as JSON; its figures as *counted*, or those of now."""
    loops = orch.metrics() if counted is None else counted
    known = {loop: m.nodes[node] for loop, m in loops.items() if node in m.nodes}
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
        "kept": orch.workflow.loop_options(last.loop).on_error == "dead_letter",
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
