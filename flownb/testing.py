"""How is a workflow tested? In virtual time, by what it did and when: a pytest plugin.

Installed with flownb, so every pytest run has the fixtures `virtual_time`, `recorder`
and `queues`. The two assertions compare whole timelines and say where they differ.

>>> from flownb import Graph
>>> graph = Graph("g").add_producer("p", [1], takes=1).add_node("n", takes=2).add_edge("p", "n")
>>> assert_timeline(graph.simulate(), "p[0] 0..1  n[0] 1..3")
>>> assert_released_at(graph.simulate(), "p", [3])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from flownb.engine.observe.stream import Observer
from flownb.engine.runtime import Clock
from flownb.engine.simulation.virtual_loop import VirtualLoop
from flownb.notebook.picture.text import seconds
from flownb.records.events import NOTHING
from flownb.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from flownb.engine.simulation.simulate import Simulation
    from flownb.queues.manager import QueueManager
    from flownb.queues.spec import QueueSpec
    from flownb.records.events import Event, Span

T = TypeVar("T")


class VirtualTime:
    """Runs coroutines on a clock that jumps; `now` is in seconds since the test began."""

    def __init__(self) -> None:
        self.event_loop = VirtualLoop()

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* to its end, however long that takes on the virtual clock.

        Raises DeadlockError when it waits for what can never happen.
        """
        return self.event_loop.run_until_complete(work)

    @property
    def now(self) -> float:
        """Virtual seconds that have passed."""
        return self.event_loop.time()


class Recorder(Observer):
    """An observer that keeps everything: `graph.use(recorder)`."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.events: list[Event] = []
        self.outputs: dict[str, list[Any]] = {}

    def on_span(self, span: Span, output: Any) -> None:
        """Keep the span, and what a call returned."""
        self.spans.append(span)
        if output is not NOTHING:
            self.outputs.setdefault(span.node, []).append(output)

    def on_event(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)

    def kinds(self, loop: str | None = None) -> list[str]:
        """Give the kinds of the events, in order."""
        return [e.kind for e in self.events if loop in {None, e.loop}]


@pytest.fixture
def virtual_time() -> Iterator[VirtualTime]:
    """Run coroutines in virtual time: `virtual_time(work())`, then `virtual_time.now`."""
    time = VirtualTime()
    yield time
    time.event_loop.run_until_complete(time.event_loop.shutdown_asyncgens())
    time.event_loop.close()


@pytest.fixture
def recorder() -> Recorder:
    """Record what a graph does: `graph.use(recorder)`."""
    return Recorder()


@pytest.fixture
def queues(virtual_time: VirtualTime) -> Iterator[Callable[..., QueueManager]]:
    """Make queues in virtual time, on an in-process server: `queues("wet_days")`."""
    from flownb.queues.manager import QueueManager
    from flownb.queues.servers.fake import LocalServer

    server, made = LocalServer(), list["QueueManager"]()
    clock = Clock(virtual_time.event_loop, 0.0, virtual=True)

    def make(*specs: str | QueueSpec, consumer: str = "test") -> QueueManager:
        made.append(
            QueueManager(
                server,
                graph="test",
                specs=map(_spec, specs),
                consumer=consumer,
                clock=clock,
                patient=True,
            )
        )
        return made[-1]

    yield make
    for manager in made:
        virtual_time(manager.aclose())
    server.close()


def _spec(queue: str | QueueSpec) -> QueueSpec:
    from flownb.queues.spec import QueueSpec

    return QueueSpec(queue) if isinstance(queue, str) else queue


def assert_timeline(
    run: Simulation | Timeline,
    expected: str,
    *,
    loop: str | None = None,
    kinds: Iterable[str] = ("work",),
) -> None:
    """Compare the spans of a run with text: `node[iteration] start..end`, in any layout.

    Only spans of these *kinds* count; a wait is written `node[0]~wait 1..2`. Instant
    calls (start = end) may be left out of *expected* all together, or all be there.
    """
    timeline = run if isinstance(run, Timeline) else run.timeline
    spans = [s for s in timeline.spans if s.kind in set(kinds) and loop in {None, s.loop}]
    wanted = _words(expected)
    found = [_told(s) for s in spans]
    if not set(wanted) & {_told(s) for s in spans if not s.duration}:
        found = [_told(s) for s in spans if s.duration]
    _compare(sorted(found), sorted(wanted), "timeline")


def assert_released_at(run: Simulation, loop: str, expected: Iterable[float]) -> None:
    """Compare the seconds at which the producer of *loop* was released, item by item."""
    found = [seconds(t) for t in run.releases(loop)]
    _compare(found, [seconds(t) for t in expected], f"releases of {loop!r}")


def _compare(found: list[str], wanted: list[str], what: str) -> None:
    if found == wanted:
        return
    missing = [w for w in wanted if w not in found]
    extra = [f for f in found if f not in wanted]
    lines = [f"{what} differs:"]
    lines += [f"  expected, not found: {m}" for m in missing]
    lines += [f"  found, not expected: {e}" for e in extra]
    if not missing and not extra:
        lines.append(f"  found    {found}\n  expected {wanted}")
    raise AssertionError("\n".join(lines))


def _words(text: str) -> list[str]:
    parts = text.split()
    if len(parts) % 2:
        msg = f"write each span as 'node[iteration] start..end'; {parts[-1]!r} stands alone"
        raise ValueError(msg)
    return [f"{a} {b}" for a, b in zip(parts[::2], parts[1::2], strict=True)]


def _told(span: Span) -> str:
    kind = "" if span.kind == "work" else f"~{span.kind}"
    name = span.node.replace(" ", "_")
    visit = f".{span.visit}" if span.visit else ""
    when = f"{seconds(span.start)}..{seconds(span.end)}"
    return f"{name}[{span.iteration}{visit}]{kind} {when}"


__all__ = ["Recorder", "VirtualTime", "assert_released_at", "assert_timeline"]
