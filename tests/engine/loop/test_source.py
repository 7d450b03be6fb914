"""What does every source do, whatever it takes its items from?"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flownb.engine.loop.queue_source import QueueSource
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
    loop = SimpleNamespace(runtime=SimpleNamespace(wake=lambda: None))
    source = QueueSource(loop, node=None, reader=None)
    for _ in range(2):
        source.offer([(n, Compared(f"{n}-0")) for n in range(1000)])
    assert [item for item, _, _ in source.again] == list(range(1000))
    assert Compared.count < 3000


def test_a_source_that_leaves_out_when_or_what_cannot_be_made():
    assert Source.__abstractmethods__ == {"_make", "due", "enter_call", "rest", "skip_to_now"}
    with pytest.raises(TypeError, match="abstract"):
        Source(None, None)
