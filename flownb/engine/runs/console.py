"""What does a cell show while it waits for a run? Prints and bars; a helper thread runs it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import queue
import threading
from typing import TYPE_CHECKING, Any

from flownb.engine.prints import captured
from flownb.engine.single_thread import has_threads, run_nested

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.runs.execution import Execution
    from flownb.records.events import Event
    from flownb.records.workflow_run import WorkflowRun


class RunDisplay:
    """Shows, where a run was called, what its nodes print, and a bar if one is wanted."""

    def __init__(self, graph: str, total: int, *, progress: bool) -> None:
        self._bar: Any = None
        self.counts = progress
        if progress:
            from tqdm.auto import tqdm

            class Bar(tqdm):  # type: ignore[misc]
                monitor_interval = 0  # no thread that stays behind

            self._bar = Bar(total=total, desc=graph, unit="node")

    def show(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "log":
            if event.data.level in {"print", "stderr"}:
                print(event.data.text)  # noqa: T201 - the node's own print
        elif self._bar is not None:
            self._bar.set_postfix_str(event.node, refresh=False)
            self._bar.total = max(self._bar.total, self._bar.n + 1)  # a cycle calls more often
            self._bar.update()

    def close(self, run: WorkflowRun) -> None:
        """End the bar: a run that has completed is whole, also if it bypassed some nodes."""
        if self._bar is not None:
            if run.status == "completed":
                self._bar.total = self._bar.n
            self._bar.refresh()
            self._bar.close()


async def run_here(make: Callable[..., Execution], shower: RunDisplay) -> WorkflowRun:
    """Run on the event loop that runs already, showing in the cell that awaits it."""
    context = contextvars.copy_context()
    execution = make(on_event=lambda event: context.run(shower.show, event), calls=shower.counts)
    try:
        with captured():
            return await execution.go()
    finally:
        shower.close(execution.run)


def run_in_thread(make: Callable[..., Execution], shower: RunDisplay) -> WorkflowRun:
    """Run on an event loop of its own in a helper thread, and show meanwhile.

    Where there are no threads, it runs inside the event loop that runs here.
    """
    if not has_threads():
        return run_nested(run_here(make, shower))
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    execution = make(on_event=events.put, calls=shower.counts)
    helper = _HelperThread(execution, functools.partial(events.put, None))
    helper.start()
    try:
        while (event := events.get()) is not None:
            shower.show(event)
        helper.join()
    except BaseException:
        helper.cancel()
        raise
    finally:
        shower.close(execution.run)
    if helper.error is not None:
        raise helper.error
    return execution.run


class _HelperThread(threading.Thread):
    """The thread of one synchronous run, with an event loop of its own."""

    def __init__(self, execution: Execution, ended: Callable[[], None]) -> None:
        super().__init__(name=f"flownb run {execution.plan.graph}", daemon=True)
        self.execution, self._ended = execution, ended
        self.error: BaseException | None = None
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        """Run it to its end, whatever that is."""
        try:
            with captured(), asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001 - raised again where run() was called
            self.error = error
        finally:
            self._ended()

    async def _main(self) -> None:
        self._task = asyncio.current_task()
        await self.execution.go()

    def cancel(self) -> None:
        """Cancel the run, as an interrupt of the cell asks for, and wait a moment for its end."""
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # it ended in this very moment
                self._loop.call_soon_threadsafe(self._task.cancel)
        self.join(2.0)
