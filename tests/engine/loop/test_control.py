"""Does a loop take a thousand offered items without comparing each with all others?"""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

from flownb.engine.loop.control import Control


class Compared(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    count = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Compared.count += 1
        return str.__eq__(self, other)


def test_offered_letters_are_not_compared_with_each_of_the_others():
    loop = Control()
    loop.runtime = SimpleNamespace(wake=lambda: None)
    loop.source = SimpleNamespace(again=deque())
    for _ in range(2):
        loop.offer([(n, Compared(f"{n}-0")) for n in range(1000)])
    assert [item for item, _, _ in loop.source.again] == list(range(1000))
    assert Compared.count < 3000
