"""How many messages does a reader fetch at once? What keeps it busy for a moment.

A reader that knows nothing yet fetches one, then twice as many each time, up to 500. How long
it has a message in hand is measured: what it fetches takes it a tenth of a second at most, so
that others that read find something too, and half its lease at most.
"""

from __future__ import annotations

from typing import Final

_MOST: Final = 500  # messages; more make no exchange cheaper
_MOMENT: Final = 0.1  # seconds; an exchange takes a hundredth of it
_NEWS: Final = 0.2  # how much the last measurement counts


class Pace:
    """How long a reader works on a message, in seconds; `now` is a clock's.

    >>> pace = Pace()
    >>> pace.began(0.0)
    >>> [pace.count(30) for _ in range(3)]
    [1, 2, 4]
    >>> pace.settled(4, 0.1)
    >>> pace.count(30)
    4
    """

    def __init__(self) -> None:
        self._next, self._each = 1, 0.0
        self._since: float | None = None

    def began(self, now: float) -> None:
        """Messages came into an empty hand."""
        self._since = now

    def settled(self, count: int, now: float) -> None:
        """So many are out of it."""
        if self._since is None or not count:
            return
        each = (now - self._since) / count
        self._each = each if not self._each else self._each + _NEWS * (each - self._each)
        self._since = now

    def count(self, lease: float) -> int:
        """How many to fetch now."""
        fits = _MOST if not self._each else int(min(lease / 2, _MOMENT) / self._each)
        count = max(1, min(self._next, _MOST, fits))
        self._next = min(2 * self._next, _MOST)
        return count
