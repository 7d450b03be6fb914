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
    from concurrent.futures import Future

    from flownb.engine.links import Links
    from flownb.engine.orchestrator.loop_run import LiveRun, LoopRun
    from flownb.queues.spec import QueueStats
    from flownb.records.metrics import Status

_LOOK: Final = 0.25
_OFTEN: Final = 0.05  # where bars are drawn
_ANSWER: Final = 1.0


class Forsaken:
    """The readers that get nothing more.

    The loops that fed them were stopped or failed, and their queues are empty.
    """

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
        failed = {name for name, loop_run in loop_runs.items() if _makes_no_more(loop_run)}
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


def _makes_no_more(loop_run: LoopRun) -> bool:
    """Whether it was stopped, an error has ended it, or has paused it and all of it has settled."""
    if loop_run.is_stuck:  # pushes that leave with an ack may follow what has settled
        return not (loop_run.manager.plan.options.transactional or _is_busy(loop_run))
    return loop_run.state in {"error", "stopped"} and _has_ended(loop_run)


class Waiting:
    """One `wait()`: over when each loop has ended, waits for a person or has released so many.

    Nobody waits for a reader that gets nothing more. *to_begin* says whether a loop starts once
    more behind the one that is known.
    """

    def __init__(
        self, live: LiveRun, names: Sequence[str], to_begin: Callable[[LoopRun], bool],
        status: Callable[..., Status], *, iterations: int | None, timeout: float | None,
        progress: bool,
    ) -> None:  # fmt: skip
        self._live, self._names, self._to_begin = live, names, to_begin
        self._status, self._iterations = status, iterations
        self._end = None if timeout is None else time.monotonic() + timeout
        self._bars = Progress([live.loop_runs[n] for n in names], iterations) if progress else None
        self._forsaken: Forsaken | None = None

    def begin(self, stats: Callable[[str], Awaitable[QueueStats]]) -> Future[Status]:
        """Wait as the other requests do; *stats* tells what is left in a queue."""
        requests = self._live.requests
        self._forsaken = Forsaken(self._live.loop_runs, self._live.links, stats)
        requests.counting += self._iterations is not None
        future = requests.add(self._is_over, self._result)
        self._look_beside(future)
        return future

    def _look_beside(self, future: Future[Status]) -> None:
        """Look on the orchestrator's event loop; when that ends, on the one that it has then."""
        if future.done():
            return
        look = self._look(future)
        try:
            beside = asyncio.run_coroutine_threadsafe(look, self._live.home)
        except RuntimeError:  # it has closed: nothing starts any more
            look.close()
            self._bars = None
            return
        future.add_done_callback(lambda _: beside.cancel())
        beside.add_done_callback(lambda _: self._look_beside(future))

    def _is_over(self) -> bool:
        return self._bars is None and self._is_reached()

    def _is_reached(self) -> bool:
        return self._is_late() or all(map(self._is_done, self._names))

    def _is_late(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def _is_done(self, name: str) -> bool:
        loop_run = self._live.loop_runs.get(name)
        if loop_run is None:
            return True
        if self._to_begin(loop_run):
            return False
        idle = self._forsaken is not None and loop_run in self._forsaken
        over = loop_run.has_ended or loop_run.is_stuck or idle
        return over or loop_run.has_released(self._iterations)

    def _result(self) -> Status:
        self._live.requests.counting -= self._iterations is not None
        if not all(map(self._is_done, self._names)):
            return self._status(timed_out=True)
        for name in self._names:
            if (loop_run := self._live.loop_runs.get(name)) is not None:
                loop_run.raise_error()
        return self._status()

    async def _look(self, future: Future[Status]) -> None:
        """Look now and then at what no event tells: the time, and whether a reader is cut off."""
        while not future.done():
            left = _LOOK if self._end is None else self._end - time.monotonic()
            await asyncio.sleep(min(_OFTEN if self._bars else _LOOK, max(left, 0)))
            if self._forsaken is not None:
                await self._forsaken.look()
            if self._bars is not None:
                self._draw(self._bars)
            self._live.requests.look()

    def _draw(self, bars: Progress) -> None:
        """Bring the bars up to date, or end them; here, where their prints are seen."""
        if self._is_reached():
            bars.close()
            self._bars = None
        else:
            bars.look()


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
