"""How does a view send what is new, once? In numbered portions that stay for some seconds.

What a view tells is a state; a portion is a key in it that appears, is sent, and goes
again. A page that was not there asks for what was before: see `Feed.past`.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

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
