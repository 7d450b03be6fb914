"""When is a wait for loops over?"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.engine.progress import Progress
    from flownb.engine.track import Track


async def until_over(
    tracks: Sequence[Track], iterations: int | None, timeout: float | None, bars: Progress | None
) -> bool:
    """Wait until each loop has ended, waits for a person or has released so many items.

    False if *timeout* seconds went by before.
    """
    end = None if timeout is None else time.monotonic() + timeout
    try:
        while not all(t.has_ended or t.is_stuck or t.has_released(iterations) for t in tracks):
            if end is not None and time.monotonic() >= end:
                return False
            if bars is not None:
                bars.look()
            await asyncio.sleep(0.01)
    finally:
        if bars is not None:
            bars.close()
    return True
