"""What do all endpoints share? The store, the tools, what runs, and the live feeds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection  # noqa: TC002 - FastAPI reads it

from flownb.engine.orchestrator.generations import running
from flownb.errors import UnknownName, did_you_mean
from flownb.server import path_names  # noqa: F401 - "{graph:name}" in routes
from flownb.server.feed import Feed, LoopReader, RunReader
from flownb.server.schemas import StepOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.model.tools import ToolRegistry
    from flownb.server.run_manager import Graphs, RunManager
    from flownb.server.security import Caps
    from flownb.stores.base import Store

_LOOK: float = 0.1  # seconds between two looks at what is streamed
_FEEDS = 1_000


@dataclass(eq=False)
class Services:
    """The parts of one app. Orchestrators are found by name: a graph that is started again, too.

    `serves_all`: every graph that runs in this process, not only those that were given.
    """

    store: Store
    tools: ToolRegistry
    graphs: Graphs
    runs: RunManager
    caps: Caps
    orchestrators: dict[str, Orchestrator]
    serves_all: bool
    streams: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    _feeds: dict[tuple[str, ...], Feed] = field(default_factory=dict)

    def running(self) -> dict[str, Orchestrator]:
        """Give the orchestrators that are served, the newest generation of each."""
        now = running()
        found = {name: now.get(name, orch) for name, orch in self.orchestrators.items()}
        return now | found if self.serves_all else found

    def orchestrator(self, graph: str) -> Orchestrator:
        """Give one; UnknownName says which there are."""
        found = self.running()
        if graph not in found:
            msg = f"no graph {graph!r} runs here{did_you_mean(graph, found)}"
            raise UnknownName(msg)
        return found[graph]

    def patience(self, wait: float) -> float:
        """Give for how long an answer may wait for something, of the seconds asked for."""
        return min(wait, 0.9 * self.caps.timeout)

    # -- live ------------------------------------------------------------------

    def loop_feed(self, graph: str, *, detail: bool) -> Feed:
        """Give what happens in the loops of a graph; of all graphs for ""."""
        key = ("loops", graph, str(detail))
        return self._feed(key, partial(_all_loops, self, graph, detail=detail))

    def run_feed(self, run_id: str) -> Feed:
        """Give what happens in a one-shot run."""
        live, is_open = partial(self.runs.live, run_id), partial(self.runs.is_open, run_id)
        kept = partial(_kept_steps, self.store, run_id)
        return self._feed(("run", run_id), lambda: RunReader(run_id, live, is_open, kept).read)

    def _feed(self, key: tuple[str, ...], reader: Any) -> Feed:
        known = self._feeds.get(key)
        if known is None or known.log.is_over:
            for old in [k for k, feed in self._feeds.items() if feed.is_idle][: -_FEEDS or None]:
                del self._feeds[old]
            known = self._feeds[key] = Feed(reader(), _LOOK)
        if self.closing.is_set():
            known.close()
        return known

    def close_feeds(self) -> None:
        """Let everybody who listens go."""
        self.closing.set()
        for feed in self._feeds.values():
            feed.close()


class _AllLoops:
    """Reads the loops of one graph, or of all that run."""

    def __init__(self, services: Services, graph: str, *, detail: bool) -> None:
        self._services, self._graph, self._detail = services, graph, detail
        self._readers: dict[str, LoopReader] = {}

    def read(self) -> tuple[list[tuple[str, Any]], bool]:
        """Give what is new in all of them."""
        names = [self._graph] if self._graph else list(self._services.running())
        news: list[tuple[str, Any]] = []
        for name in names:
            if name not in self._readers:
                orch = partial(self._orch, name)
                self._readers[name] = LoopReader(name, orch, detail=self._detail)
            news += self._readers[name].read()[0]
        return news, False

    def _orch(self, name: str) -> Orchestrator | None:
        return self._services.running().get(name)


def _all_loops(services: Services, graph: str, *, detail: bool) -> Any:
    return _AllLoops(services, graph, detail=detail).read


def _kept_steps(store: Store, run_id: str) -> Sequence[tuple[str, Any]]:
    """Give what a store knows of a run that is over, as news."""
    record = store.runs.load(run_id)
    at = {"run_id": run_id, "graph": record.graph}
    steps = [("step", {**at, **StepOut.of_step(step).model_dump()}) for step in record.steps]
    end = {"status": record.status, "error": record.error, "state": record.state}
    return [*steps, ("status", {**at, **end})]


def _services(connection: HTTPConnection) -> Services:
    found: Services = connection.app.state.services
    return found


Shared = Annotated[Services, Depends(_services)]


async def aside(call: Any, *args: Any, **options: Any) -> Any:
    """Call what waits for a disk or a server, in a thread."""
    return await asyncio.to_thread(call, *args, **options)
