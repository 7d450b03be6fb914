"""When is `orch.wait()` over, and how far is it? When all loops have ended or released enough.

A reader that is idle because its writers were stopped or failed is not waited for
(`Forsaken`). `Progress` draws a bar for each loop: tqdm's own, in a notebook its widget.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import QueueError
from flownb.records.events import ENDED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from flownb.engine.links import Links
    from flownb.engine.orchestrator.loop_run import LoopRun
    from flownb.queues.spec import QueueStats

_LOOK: Final = 0.25
_ANSWER: Final = 1.0


class Forsaken:
    """The readers that get nothing more: an error stopped who fed them, and nothing is left."""

    def __init__(
        self, loop_runs: Mapping[str, LoopRun], links: Links,
        stats: Callable[[str], Awaitable[QueueStats]],
    ) -> None:  # fmt: skip
        self._loop_runs, self._links, self._stats = loop_runs, links, stats
        self._next = 0.0
        self._names: set[str] = set()

    def __contains__(self, loop_run: LoopRun) -> bool:
        return loop_run.name in self._names

    async def look(self) -> None:
        """Look again, now and then; a loop that is started once more feeds again."""
        if time.monotonic() < self._next:
            return
        self._next, self._names = time.monotonic() + _LOOK, set()
        with contextlib.suppress(QueueError, TimeoutError):  # it is away, or hangs
            async with asyncio.timeout(_ANSWER):
                self._names = await self._find()

    async def _find(self) -> set[str]:
        """Look at the feeders first: what they have pushed is then in the queue, or was."""
        loop_runs, found, news = dict(self._loop_runs), set[str](), {""}
        failed = {name for name, loop_run in loop_runs.items() if _has_failed(loop_run)}
        ended = failed | {name for name, loop_run in loop_runs.items() if _has_ended(loop_run)}
        feeders = self._links.feeders(loop_runs)
        while news:
            left = feeders.keys() & loop_runs.keys() - ended - found
            cut = [r for r in left if feeders[r] <= ended | found and feeders[r] & (failed | found)]
            news = {name for name in cut if await self._is_idle(loop_runs[name])}
            found |= news
        return found

    async def _is_idle(self, loop_run: LoopRun) -> bool:
        """Whether it runs and has settled all; a queue that is acked early cannot show it."""
        reader = loop_run.manager.plan.nodes[0].node.reader
        if loop_run.state != "running" or reader is None or reader.ack != "done":
            return False
        stats = await self._stats(reader.queue)
        own = next((group for group in stats.groups if group.group == loop_run.name), None)
        return not (stats.depth if own is None else own.backlog) and not _is_busy(loop_run)


def _is_busy(loop_run: LoopRun) -> bool:
    metrics = loop_run.metrics()
    return bool(metrics.open or metrics.in_flight)


def _has_ended(loop_run: LoopRun) -> bool:
    """Whether it has ended and sent all, and is not about to begin once more."""
    host = loop_run.host
    is_last = loop_run.next is None and not host.manager.life.restarting
    return is_last and host.manager.life.state in ENDED and host.ended.done()


def _has_failed(loop_run: LoopRun) -> bool:
    """Whether an error has ended it, or has paused it and nothing of it is under way."""
    if loop_run.is_stuck:  # pushes that leave with an ack may follow what has settled
        return not (loop_run.manager.plan.options.transactional or _is_busy(loop_run))
    return loop_run.state == "error" and _has_ended(loop_run)


async def until_over(
    forsaken: Forsaken,
    loop_runs: Sequence[LoopRun],
    iterations: int | None,
    timeout: float | None,
    bars: Progress | None,
) -> bool:
    """Wait until each loop has ended, waits for a person or has released so many items.

    Nobody waits for a reader that an error cut off. False if *timeout* seconds went by before.
    """
    end = None if timeout is None else time.monotonic() + timeout
    try:
        while not all(
            t.has_ended or t.is_stuck or t in forsaken or t.has_released(iterations)
            for t in loop_runs
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


class Progress:
    """Bars that follow how many items the loops of a run have released."""

    def __init__(self, loop_runs: Sequence[LoopRun], iterations: int | None) -> None:
        bar = _bar()
        self._bars: list[tuple[LoopRun, Any]] = [
            (loop_run, bar(total=iterations, desc=loop_run.name, unit="item"))
            for loop_run in loop_runs
        ]

    def look(self) -> None:
        """Bring every bar up to date; tqdm decides when to draw."""
        for loop_run, bar in self._bars:
            released = loop_run.released
            bar.update((released if bar.total is None else min(released, bar.total)) - bar.n)

    def close(self) -> None:
        """End the bars, where they stand."""
        self.look()
        for _, bar in self._bars:
            bar.close()


def _bar() -> Any:
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # no thread that outlives the run: we look often enough

    return Bar
