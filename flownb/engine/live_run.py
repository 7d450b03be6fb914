"""What do the loops of a live run share, and what may its views look at?

The package's own modules reach it as `orch._live`; no user needs it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from flownb.engine.control import Requests
from flownb.engine.inflight import Gates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flownb.engine.heartbeat import Heartbeat
    from flownb.engine.hosts import Host
    from flownb.engine.links import Links
    from flownb.engine.observe import Guarded
    from flownb.engine.track import Track
    from flownb.model.workflow import Workflow
    from flownb.queues.server import Server
    from flownb.queues.spec import QueueSpec


@dataclass(eq=False, slots=True)
class LiveRun:
    """What a run is made of: its loops, the server of its queues, its event loops.

    `kernel` is the notebook's event loop, if there is one; `home` is where the orchestrator
    lives. Nothing runs before `begin()`. `followers` are views: they hear `ended()`, and
    `follow(event loop)` when the loops run once more.
    """

    name: str
    workflow: Workflow
    namespace: str
    tools: Any
    middleware: tuple[Any, ...]
    watching: list[Guarded]
    specs: Sequence[QueueSpec]
    needs_server: bool
    client: Any
    server: Server
    kernel: asyncio.AbstractEventLoop | None
    home: asyncio.AbstractEventLoop
    heartbeat: Heartbeat
    links: Links
    begin: Callable[[], None]
    on_ended: Callable[[Host], None]
    gates: Gates = field(default_factory=Gates)
    requests: Requests = field(default_factory=Requests)
    tracks: dict[str, Track] = field(default_factory=dict)
    followers: WeakSet[Any] = field(default_factory=WeakSet)
    origin: float = field(default_factory=time.monotonic)

    @property
    def kernel_loop(self) -> asyncio.AbstractEventLoop:
        """Where loops with pool="asyncio" live: the notebook's event loop, if there is one."""
        return self.kernel or self.home
