"""How is a loop driven on an event loop of its own? To its end, and nothing is left.

The thread host does this in a thread of the kernel, the others in another process.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flownb.engine.loop import LoopManager


async def run(manager: LoopManager, origin: float) -> None:
    """Run a loop, then close what it used: its threads, its queues."""
    try:
        await manager.run(origin)
    finally:
        manager.abandoned += await manager.runtime.threads.aclose(manager.moment)
        with contextlib.suppress(Exception):  # Redis may be gone by now
            await manager.runtime.queues.aclose()


def drive(
    manager: LoopManager, event_loop: asyncio.AbstractEventLoop, origin: float
) -> BaseException | None:
    """Run a loop on *event_loop*, which is closed then; give what broke it, if anything did."""

    def complain(_: object, context: dict[str, Any]) -> None:
        """Take what asyncio would print into some cell: it goes to the loop's log."""
        text = str(context.get("exception") or context.get("message"))
        manager.runtime.log(manager.name, -1, "error", f"asyncio: {text}")

    event_loop.set_exception_handler(complain)
    error = None
    try:
        event_loop.run_until_complete(run(manager, origin))
    except BaseException as fault:  # noqa: BLE001 - told by the loop's state
        error = fault
    with contextlib.suppress(Exception):
        event_loop.run_until_complete(_clean_up())
    event_loop.close()
    return error


async def _clean_up() -> None:
    """End what nodes have left on a private event loop: tasks, asynchronous generators."""
    loop = asyncio.get_running_loop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=0.5)
    for task in left:
        # asyncio would print that it was destroyed while pending; the loop's status says so
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
    await loop.shutdown_asyncgens()
