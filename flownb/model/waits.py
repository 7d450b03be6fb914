"""For whom did it wait? Read from the spans of a run, in words.

A producer's wait ends when the last awaited node of that item ends, so whoever ended
last before the release is the one it waited for. Where the spans do not hold the
answer (a history that lost its beginning) the words stay general.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from flownb.model.records import Lane, Span

_SAME: Final = 1e-9  # seconds
_NAMES: Final = 3


class Reasons:
    """Says of each span of a timeline what it is: work, or a wait and for whom."""

    def __init__(
        self,
        spans: Iterable[Span],
        lanes: Iterable[Lane] = (),
        detached: Collection[tuple[str, str]] = (),
    ) -> None:
        self._lanes = {(lane.loop, lane.node): lane for lane in lanes}
        self._detached = detached
        self._work: dict[tuple[str, int], list[Span]] = {}
        for span in spans:
            pair = (span.loop, span.node)
            if span.kind == "work" and pair not in self._detached:
                self._work.setdefault((span.loop, span.iteration), []).append(span)

    def of(self, span: Span) -> str:
        """Say what a span is.

        >>> from flownb.model.records import Span
        >>> check = Span("days", "check", 0, 0, "work", 1.0, 4.0)
        >>> wait = Span("days", "days", 0, 0, "wait", 1.0, 4.0)
        >>> Reasons((check, wait)).of(wait)
        'waits for check'
        """
        lane = self._lanes.get((span.loop, span.node))
        if span.kind == "wait":
            return f"waits for {self.awaited(span)}"
        if span.kind == "throttled":
            return f"throttled: {_items(lane.slots)} in flight" if lane else "waits for a slot"
        if span.kind == "limited":
            return f"limited by {lane.limit}" if lane and lane.limit else "waits for a limit"
        if span.kind == "retry":
            return f"next attempt in {span.duration:.6g} s"
        return self._works(span)

    def _works(self, span: Span) -> str:
        again = f", visit {span.visit}" if span.visit else ""
        again += f", attempt {span.attempt}" if span.attempt > 1 else ""
        away = ", detached" if (span.loop, span.node) in self._detached else ""
        return f"works{away}{again}"

    def awaited(self, wait: Span) -> str:
        """Name who ended last before this wait of a producer ended."""
        others = [
            s
            for s in self._work.get((wait.loop, wait.iteration), ())
            if s.node != wait.node and wait.start - _SAME <= s.end <= wait.end + _SAME
        ]
        last = max((s.end for s in others), default=0.0)
        final = [s for s in others if s.end >= last - _SAME]
        busy = [s for s in final if s.duration]  # a push that took no time held nobody up
        names = list(dict.fromkeys(s.node for s in busy or final))
        if not names:
            return "its await set"
        if len(names) > _NAMES:
            names[_NAMES:] = [f"{len(names) - _NAMES} more"]
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"
