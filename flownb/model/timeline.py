"""What happened when? The spans of a run, in the order of their start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from flownb.model.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flownb.model.records import Span


@dataclass(frozen=True, slots=True, repr=False)
class Timeline(Shown):
    """Node calls and waits of a run; times are seconds on the run's clock.

    >>> from flownb.model.records import Span
    >>> Timeline((Span("days", "check", 0, 0, "work", 0.5, 2.0),))
    Timeline(1 span, 1 node, 0.5..2 s)
    """

    spans: tuple[Span, ...] = ()

    @classmethod
    def of_spans(cls, spans: Iterable[Span]) -> Self:
        """Collect spans; those that start together keep the order they came in.

        >>> Timeline.of_spans([]).duration
        0.0
        """
        return cls(tuple(sorted(spans, key=lambda s: s.start)))

    @property
    def start(self) -> float:
        """When the first span starts."""
        return min((s.start for s in self.spans), default=0.0)

    @property
    def end(self) -> float:
        """When the last span ends."""
        return max((s.end for s in self.spans), default=0.0)

    @property
    def duration(self) -> float:
        """Seconds from the first start to the last end."""
        return self.end - self.start

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """The (loop, node) pairs that occur, loop by loop, in order of appearance."""
        loops = dict.fromkeys(s.loop for s in self.spans)
        pairs = dict.fromkeys((s.loop, s.node) for s in self.spans)
        return tuple(pair for loop in loops for pair in pairs if pair[0] == loop)

    def of(self, *, loop: str | None = None, node: str | None = None) -> Timeline:
        """Give the part that belongs to a loop, to a node, or to both."""
        return Timeline(
            tuple(s for s in self.spans if loop in {None, s.loop} and node in {None, s.node})
        )

    def __len__(self) -> int:
        return len(self.spans)

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)
