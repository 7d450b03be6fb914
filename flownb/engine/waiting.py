"""When is a wait for loops over?"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from flownb.errors import QueueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.engine.orchestrator import Orchestrator
    from flownb.engine.progress import Progress
    from flownb.engine.track import Track

_LOOK: Final = 0.25
_ANSWER: Final = 1.0


class Forsaken:
    """The readers that get nothing more: an error stopped who fed them, and nothing is left."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._of = orchestrator
        self._next = 0.0
        self._names: set[str] = set()

    def __contains__(self, track: Track) -> bool:
        return track.name in self._names

    async def look(self) -> None:
        """Look again, now and then; a loop that is started once more feeds again."""
        if time.monotonic() < self._next:
            return
        self._next, tracks = time.monotonic() + _LOOK, self._of.tracks
        failed = {name for name, track in tracks.items() if _has_failed(track)}
        ended = failed | {name for name, track in tracks.items() if track.has_ended}
        readers = self._of.links.forsaken(ended, failed) & tracks.keys()
        self._names = {name for name in readers if await self._is_idle(tracks[name])}

    async def _is_idle(self, track: Track) -> bool:
        queue = track.manager.plan.reads
        if track.state != "running" or queue is None:
            return False
        with contextlib.suppress(QueueError, TimeoutError):  # it is away, or hangs
            async with asyncio.timeout(_ANSWER):
                stats = await self._of.queues.stats(queue)
            return not (stats.depth or track.metrics().in_flight)
        return False


def _has_failed(track: Track) -> bool:
    """Whether an error has ended it, or has paused it and nothing of it is under way."""
    return track.state == "error" or (track.is_stuck and not track.metrics().in_flight)


async def until_over(
    orchestrator: Orchestrator,
    tracks: Sequence[Track],
    iterations: int | None,
    timeout: float | None,
    bars: Progress | None,
) -> bool:
    """Wait until each loop has ended, waits for a person or has released so many items.

    Nobody waits for a reader that an error cut off. False if *timeout* seconds went by before.
    """
    forsaken = Forsaken(orchestrator)
    end = None if timeout is None else time.monotonic() + timeout
    try:
        while not all(
            t.has_ended or t.is_stuck or t in forsaken or t.has_released(iterations) for t in tracks
        ):
            if end is not None and time.monotonic() >= end:
                return False
            if bars is not None:
                bars.look()
            await asyncio.sleep(0.01)
            await forsaken.look()
    finally:
        if bars is not None:
            bars.close()
    return True
