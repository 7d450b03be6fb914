"""Where does a loop stand in its source? All items below one are done, and some beyond it.

Detached work lets items finish out of order, so the position is a frontier and the few
ranges that are done beyond it; at most as many as items may be in flight.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Position:
    """The items of a source that are done, by their number from 0.

    >>> position = Position()
    >>> for number in (0, 2, 3, 1, 7): position.done(number)
    >>> position.first, position.beyond
    (4, [(7, 8)])
    """

    __slots__ = ("beyond", "first")

    def __init__(self, first: int = 0, beyond: Iterable[Iterable[int]] = ()) -> None:
        self.first = first
        """The frontier: every item below it is done, this one is not."""
        self.beyond = [(start, stop) for start, stop in beyond]
        """Half-open ranges of items that are done beyond it, in order."""

    def done(self, start: int, stop: int | None = None) -> None:
        """Note that item *start* is done, or all from *start* up to *stop*."""
        end = start + 1 if stop is None else stop
        if start != self.first:
            self._insert(start, end)
            return
        self.first = end
        while self.beyond and self.beyond[0][0] == self.first:
            self.first = self.beyond.pop(0)[1]

    def _insert(self, start: int, stop: int) -> None:
        at = bisect.bisect(self.beyond, (start, stop))
        if at < len(self.beyond) and self.beyond[at][0] == stop:
            stop = self.beyond.pop(at)[1]
        if at and self.beyond[at - 1][1] == start:
            start = self.beyond.pop(at - 1)[0]
            at -= 1
        self.beyond.insert(at, (start, stop))

    def covers(self, number: int) -> bool:
        """Whether that item is done."""
        return number < self.first or any(start <= number < stop for start, stop in self.beyond)

    @property
    def end(self) -> int:
        """The number behind the last item that is done."""
        return self.beyond[-1][1] if self.beyond else self.first
