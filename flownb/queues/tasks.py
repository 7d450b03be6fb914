"""How does a task end that talks to a server which may hang?"""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN: Final = 0.2  # seconds


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task, as often as it takes, and wait for its end.

    redis-py does not hear of a cancellation that comes while it connects, and asks the
    server once more on its way out of a WATCH: then it has to be told again.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN)
