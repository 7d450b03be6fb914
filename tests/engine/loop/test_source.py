"""Does a source take a thousand offered items without comparing each with all others?"""

from __future__ import annotations

from types import SimpleNamespace

from flownb.engine.loop.source import Source


class Compared(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    count = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Compared.count += 1
        return str.__eq__(self, other)


def test_offered_letters_are_not_compared_with_each_of_the_others():
    source = Source(SimpleNamespace(runtime=SimpleNamespace(wake=lambda: None)), node=None)
    for _ in range(2):
        source.offer([(n, Compared(f"{n}-0")) for n in range(1000)])
    assert [item for item, _, _ in source.again] == list(range(1000))
    assert Compared.count < 3000
