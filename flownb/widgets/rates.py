"""How fast does something count at present? Over the last two seconds, not since the start."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_WINDOW: Final = 2.0  # seconds
_STEP: Final = 0.2  # seconds between two readings that are kept


class Rates:
    """Rates of many counters, read at a few moments that all share.

    >>> now = [0.0]
    >>> rates = Rates(clock=lambda: now[0])
    >>> for second in range(5):
    ...     now[0] = float(second)
    ...     found = rates.take({"check": 10 * second})
    >>> found
    {'check': 10.0}
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._readings: deque[tuple[float, dict[str, float]]] = deque()

    def take(self, counters: dict[str, float]) -> dict[str, float]:
        """Take a reading; give what each counter gains a second, 0 for a new one."""
        now = self._clock()
        if not self._readings or now - self._readings[-1][0] >= _STEP:
            self._readings.append((now, counters))
        while len(self._readings) > 1 and now - self._readings[1][0] >= _WINDOW:
            self._readings.popleft()
        then, before = self._readings[0]
        span = now - then
        if span <= 0:
            return dict.fromkeys(counters, 0.0)
        return {
            name: _tidy((value - before.get(name, value)) / span)
            for name, value in counters.items()
        }


def _tidy(rate: float) -> float:
    """Keep three digits: more would only flicker."""
    return float(f"{max(0.0, rate):.3g}")
