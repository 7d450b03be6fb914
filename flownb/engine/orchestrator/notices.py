"""Which callbacks are called when a run needs a person? Those given to `orch.on`.

A worker thread looks at the run a few times a second and calls them: no loop waits for a
callback, and a callback may take its time. It ends with the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from flownb.arguments import Rule, checked, word
from flownb.errors import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flownb.records.metrics import LoopMetrics

log = logging.getLogger("flownb")
NoticeKind: TypeAlias = Literal["failed", "paused", "queue_full", "behind", "completed"]
_KINDS: Final = word("failed", "paused", "queue_full", "behind", "completed")
_CALLBACK: Final = Rule("give a function of one notice", callable)
_LOOK: Final = 0.2  # seconds between two looks
_AGAIN: Final = 10.0  # seconds until the same notice is given once more


class Notice(NamedTuple):
    """Something that needs a person: `kind` is the word given to `on`, `text` a sentence.

    `graph`, `loop` and `node` say where ("" where it is of none); `data` is the `Failure` of a
    "failed", else None.
    """

    kind: NoticeKind
    graph: str
    loop: str
    node: str
    text: str
    data: Any = None

    def __str__(self) -> str:
        return self.text


class Notices:
    """The callbacks of one run, and the thread that calls them."""

    def __init__(self, orch: Any) -> None:
        self._orch = orch
        self._callbacks: list[tuple[NoticeKind, Callable[[Notice], Any]]] = []
        self._states: dict[str, str] = {}
        self._failed: dict[str, int] = {}
        self._metrics: dict[str, LoopMetrics] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, kind: NoticeKind, callback: Callable[[Notice], Any]) -> Callable[[], None]:
        """Have a callback called; give what ends that."""
        kind = checked("on()", "kind", kind, _KINDS)
        callback = checked("on()", "callback", callback, _CALLBACK)
        given = kind, callback
        with self._lock:
            self._callbacks.append(given)
            if self._thread is None or not self._thread.is_alive():
                name = f"flownb notices {self._orch.name}"
                self._thread = threading.Thread(target=self._watch, name=name, daemon=True)
                self._thread.start()

        def end() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(given)

        return end

    def _watch(self) -> None:
        while True:
            over = self._orch.is_over()
            for notice in self._looked():
                self._tell(notice)
            with self._lock:
                if over or not self._callbacks:
                    self._thread = None
                    return
            time.sleep(_LOOK)

    def _tell(self, notice: Notice) -> None:
        for kind, callback in list(self._callbacks):
            if kind == notice.kind:
                try:
                    callback(notice)
                except Exception:
                    log.exception("a callback for %r raised", kind)

    # -- looking ---------------------------------------------------------------

    def _looked(self) -> Iterator[Notice]:
        graph, metrics = self._orch.name, self._orch.metrics()
        for loop in self._orch.status().loops:
            yield from self._failures(loop.loop, loop.failed)
            before, self._states[loop.loop] = self._states.get(loop.loop), loop.state
            if loop.state == before:
                pass
            elif loop.state == "paused":
                why = loop.reason or "it was asked to"
                yield Notice("paused", graph, loop.loop, "", f"{loop.loop} is paused: {why}")
            elif loop.state == "completed":
                said = f"{loop.loop} has completed: {loop.done:,} done, {loop.failed:,} failed"
                yield Notice("completed", graph, loop.loop, "", said)
            elif loop.state == "error":
                said = f"{loop.loop} has ended with an error: {loop.reason}"
                yield Notice("failed", graph, loop.loop, "", said)
            yield from self._behind(loop.loop, metrics.get(loop.loop))
        yield from self._full()

    def _failures(self, loop: str, failed: int) -> Iterator[Notice]:
        new, self._failed[loop] = failed - self._failed.get(loop, 0), failed
        if new <= 0:
            return
        for failure in self._orch.failures(loop, last=new):
            said = f"{failure.node} ({loop}, iteration {failure.iteration}): {told(failure.error)}"
            yield Notice("failed", self._orch.name, loop, failure.node, said, failure)

    def _behind(self, loop: str, now: LoopMetrics | None) -> Iterator[Notice]:
        before = self._metrics.get(loop)
        if now is None or (before is not None and not self._is_due("behind", loop)):
            return
        self._metrics[loop] = now
        ticks = None if before is None else now.missed_since(before)
        if ticks is not None:
            self._told["behind", loop] = time.monotonic()
            said = f"{loop} is behind: it missed {ticks[0]:,} of {ticks[1]:,} ticks"
            yield Notice("behind", self._orch.name, loop, "", said)

    def _full(self) -> Iterator[Notice]:
        live = self._orch._live
        bounded = [spec for spec in live.specs if spec.maxlen is not None]
        if not bounded or not any(kind == "queue_full" for kind, _ in self._callbacks):
            return
        for spec in bounded:
            depth = self._depth(spec.name) if self._is_due("queue_full", spec.name) else None
            if depth is not None and spec.is_full(depth):
                self._told["queue_full", spec.name] = time.monotonic()
                said = f"queue {spec.name} is full ({depth:,} messages): add a reader"
                yield Notice("queue_full", self._orch.name, "", spec.name, said)

    def _depth(self, queue: str) -> int | None:
        asked = self._orch.queues.stats(queue)
        try:
            done = asyncio.run_coroutine_threadsafe(asked, self._orch._live.home)
        except RuntimeError:  # the run is over, and its event loop closed
            asked.close()
            return None
        try:
            return int(done.result(1.0).depth)
        except Exception:  # noqa: BLE001 - its server is away: nobody knows
            done.cancel()
            return None

    def _is_due(self, kind: str, name: str) -> bool:
        return time.monotonic() - self._told.get((kind, name), -_AGAIN) >= _AGAIN
