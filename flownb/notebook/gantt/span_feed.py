"""How do spans travel to a live timeline? As few numbers, bounded by what is new.

A portion holds what has ended since the last one: five integers for each span. Where so
many calls end that nobody could tell them apart, neighbours in a row travel as one block
with a count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flownb.records.events import Batch, Span
from flownb.records.timeline import is_full, room_waits

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

UNIT: Final = 1e-5  # seconds
KINDS: Final = ("work", "wait", "throttled", "limited", "retry", "block", "room")
_BLOCK: Final = KINDS.index("block")
ROOM: Final = KINDS.index("room")  # a wait for room in a full queue, not for a slot
_FEW: Final = 3  # rows of a batch that are still shown one by one
_CLOSE: Final = 0.01  # seconds: shorter calls that are closer may become one block
_WIDER: Final = 4


class Piece:
    """A span, or a block of many short ones, in one row."""

    __slots__ = ("count", "end", "iteration", "kind", "row", "start")

    def __init__(
        self, row: int, iteration: int, start: float, end: float, kind: int, *, count: int = 1
    ) -> None:
        self.row, self.iteration, self.start, self.end = row, iteration, start, end
        self.kind, self.count = kind, count

    def takes(self, other: Piece, close: float) -> bool:
        """Take in the next one of its row, if both are short and close; say whether it did."""
        near = other.start - self.end < close and other.end - other.start < close
        if not near or (self.count == 1 and self.end - self.start >= close):
            return False
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)
        self.count += other.count
        return True

    def numbers(self, base: float) -> tuple[int, int, int, int, int]:
        """Give row, iteration (of a block: how many), start, length, kind."""
        start, end = round((self.start - base) / UNIT), round((self.end - base) / UNIT)
        if self.count > 1:
            return self.row, self.count, start, end - start, _BLOCK
        return self.row, self.iteration, start, end - start, self.kind


class Rows:
    """Gives each (loop, node) a number that stays the same as long as the view lives."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, str], int] = {}

    def __getitem__(self, pair: tuple[str, str]) -> int:
        return self.numbers.setdefault(pair, len(self.numbers))


Call = tuple[str, str, int]


def call_of(span: Span) -> Call:
    """Give loop, node and iteration of a span, whether it has ended or not."""
    return span[:3]


def pieces(
    records: Iterable[Span | Batch], rows: Rows, pushes: Container[Call] = ()
) -> Iterator[Piece]:
    """Turn records into pieces; a batch of many short iterations is one block for each node.

    *pushes* were seen to wait for room in a full queue, see also `room_waits`.
    """
    found = list(records)
    told = room_waits([r for r in found if isinstance(r, Span)])
    for record in found:
        if isinstance(record, Span):
            span = told.get(record, record)
            if span is not None and not (is_full(record) and call_of(record) in pushes):
                yield _piece(span, rows, pushes)
        elif record.iterations <= _FEW:
            yield from _calls(record, rows)
        else:
            yield from _blocks(record, rows)


def _piece(span: Span, rows: Rows, pushes: Container[Call]) -> Piece:
    waits = span.kind == "throttled" and not span.attempt
    waits |= span.kind == "work" and call_of(span) in pushes
    kind = ROOM if waits else KINDS.index(span.kind)
    return Piece(rows[span.loop, span.node], span.iteration, span.start, span.end, kind)


def _calls(batch: Batch, rows: Rows) -> Iterator[Piece]:
    numbers = [rows[batch.loop, node] for node in batch.nodes]
    for i in range(batch.iterations):
        at = i * batch.width
        times = [(t - batch.origin) / 1e9 for t in batch.times[at : at + batch.width]]
        for row, start, end in zip(numbers, times, times[1:], strict=False):
            yield Piece(row, batch.first + i, start, end, 0)


def _blocks(batch: Batch, rows: Rows) -> Iterator[Piece]:
    ends, origin = batch.columns(), batch.origin
    for node, first, last in zip(batch.nodes, ends, ends[1:], strict=False):
        start, end = (first[0] - origin) / 1e9, (last[-1] - origin) / 1e9
        yield Piece(rows[batch.loop, node], batch.first, start, end, 0, count=batch.iterations)


def portion(found: Sequence[Piece], most: int) -> dict[str, Any]:
    """Give at most *most* pieces as one flat list of integers, `UNIT` each, from second "t" on.

    Where there are more, neighbours become blocks; if that is not enough only the last ones
    are there, and "left" says how many are not.
    """
    kept, close = list(found), _CLOSE
    while len(kept) > most and close < 1:
        kept, close = _merged(kept, close), close * _WIDER
    left, kept = max(0, len(kept) - most), kept[-most:]
    base = round(min((p.start for p in kept), default=0.0), 3)
    numbers = [n for piece in kept for n in piece.numbers(base)]
    return {"t": base, "s": numbers} | ({"left": left} if left else {})


def _merged(found: Sequence[Piece], close: float) -> list[Piece]:
    kept: list[Piece] = []
    last: dict[tuple[int, int], Piece] = {}
    for p in found:
        before = last.get((p.row, p.kind))
        if before is None or not before.takes(p, close):
            fresh = Piece(p.row, p.iteration, p.start, p.end, p.kind, count=p.count)
            last[p.row, p.kind] = fresh
            kept.append(fresh)
    return kept
