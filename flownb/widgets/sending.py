"""How does a view send what is new, and how much may all views send? Portions, in one budget.

A connection carries what all views on a page send, so they share one `Budget` of so much a
second: after much has been sent every view waits until that is made up for.

What a view sends is a state; a portion is a key in it that appears, is sent, and goes
again, numbered, after some seconds. A page that was not there asks for what was before: see
`Feed.past`.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

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
_STAY: Final = 1.0  # seconds
_RECALL: Final = 0.5  # seconds between two answers to pages that ask for the past


class Feed:
    """The portions of one part; `version` changes when a page has asked for the past."""

    def __init__(self) -> None:
        self.number = 0
        self.version = 0
        self._portions: deque[tuple[float, str, Any]] = deque()
        self._recalled = float("-inf")

    def add(self, content: Any) -> None:
        """Send *content* with the next state."""
        self.number += 1
        self._portions.append((time.monotonic(), f"c{self.number}", content))

    def state(self) -> dict[str, Any]:
        """Give the portions that are still to be seen."""
        old = time.monotonic() - _STAY
        while self._portions and self._portions[0][0] < old:
            self._portions.popleft()
        return {key: content for _, key, content in self._portions}

    def recall(self, _: Any = None) -> None:
        """Have the past sent: a page has been opened."""
        now = time.monotonic()
        if now - self._recalled > _RECALL:
            self._recalled = now
            self.version += 1

    def past(self, content: Any) -> dict[str, Any]:
        """Say what was before, and up to which portion."""
        return {"upto": self.number, "past": content}
