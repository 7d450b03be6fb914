"""How much may all views of a kernel send? So much a second together, whatever they show.

A connection carries what all views on a page say, so they share one account: who has
sent a lot makes every view wait until that has been paid for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

RATE: Final = 180_000.0  # bytes a second, of all views
_AHEAD: Final = 0.25  # seconds' worth that may be sent before it is paid for


class Budget:
    """Bytes a second that many share.

    >>> now = [0.0]
    >>> budget = Budget(rate=1_000, clock=lambda: now[0])
    >>> budget.spend(2_000)
    >>> budget.wait()
    1.75
    >>> now[0] = 2.0
    >>> budget.wait()
    0.0
    """

    def __init__(self, rate: float = RATE, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._paid_at = clock()

    def spend(self, size: int) -> None:
        """Note that so many bytes were sent."""
        self._paid_at = max(self._paid_at, self._clock()) + size / self._rate

    def wait(self) -> float:
        """Give the seconds until the next may send."""
        return max(0.0, self._paid_at - _AHEAD - self._clock())


shared: Final = Budget()
