"""How long does each node take? As `takes=` declares, else as a run has measured.

What `takes=` declares comes first, then what a run has measured. Attempts that fail and
the waits between them count as often as a run has measured, or as `fail=` says. What
nobody knows counts 0 seconds and is named, so that no prediction hides it. All
reckoning is in whole microseconds, like virtual time, so that a prediction can be
exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from flownb.model.nodes import drawn
from flownb.model.policies import retries

if TYPE_CHECKING:
    from flownb.model.nodes import Node
    from flownb.records.metrics import NodeMetrics

MICRO: Final = 1_000_000
_FEW: Final = 20  # calls
_COLD: Final = 5  # times as long as the others
_DRAWS: Final = 200  # of a `takes=` that is drawn: enough for its mean


@dataclass(frozen=True, slots=True)
class Durations:
    """Microseconds of each node; `unknown`, `measured` and `drawn` name the nodes."""

    us: Mapping[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, nodes: Iterable[Node], measured: Mapping[str, NodeMetrics] | None = None
    ) -> Durations:
        """Collect what is declared, then what is *measured* (by name).

        >>> from flownb.model.nodes import Node
        >>> Durations.of([Node("a", "blocking", takes=0.5), Node("b", "blocking")])
        Durations(us={'a': 500000, 'b': 0}, unknown=('b',), measured=(), drawn=())
        """
        us, unknown, found, drawn = {}, [], [], []
        for node in nodes:
            declared, seen = _declared(node), (measured or {}).get(node.name)
            if declared is None and seen is not None:
                found.append(node.name)
                declared = _typical(seen)
            if declared is None:
                unknown.append(node.name)
            elif callable(node.takes):
                drawn.append(node.name)
            us[node.name] = round(_tried(node, declared or 0.0, seen) * _share(seen) * MICRO)
        return cls(us, tuple(unknown), tuple(found), tuple(drawn))


def _typical(seen: NodeMetrics) -> float:
    """Give the mean of what was measured; of few calls without one that took far longer.

    The first call of a run is often cold: it opens a connection, or imports a module.
    """
    if 1 < seen.calls < _FEW:
        others = (seen.total - seen.longest) / (seen.calls - 1)
        if seen.longest > _COLD * others:
            return others
    return seen.mean


def _share(seen: NodeMetrics | None) -> float:
    """Give the share of calls that were made, and not answered by the node's cache."""
    if seen is None or not seen.cached:
        return 1.0
    made = seen.calls - seen.retries
    return made / (made + seen.cached)


def _tried(node: Node, seconds: float, seen: NodeMetrics | None) -> float:
    """Give the mean seconds of a call with all its attempts, if one takes *seconds*."""
    if not node.retry:
        return seconds
    if seen is not None and 0 < seen.retries < seen.calls:
        return (seconds * seen.calls + seen.backoff) / (seen.calls - seen.retries)
    fails = node.fail if isinstance(node.fail, float) else 0.0
    retry = retries(node.retry)[0]  # which one will count nobody knows before
    waits = [retry.wait(n) + retry.wait_jitter / 2 for n in range(1, retry.attempts)]
    return seconds + sum(fails ** (n + 1) * (wait + seconds) for n, wait in enumerate(waits))


def _declared(node: Node) -> float | None:
    """Give seconds, or None where nobody has said; handing over takes no time of its own."""
    if callable(node.takes):
        rng = Random(0)
        return sum(drawn(node, rng) for _ in range(_DRAWS)) / _DRAWS
    if node.takes is not None:
        return node.takes
    hands_over = node.queue is not None or node.reader is not None
    given = node.kind == "producer" and (node.fn is None or hasattr(node.fn, "__len__"))
    return 0.0 if hands_over or given else None
