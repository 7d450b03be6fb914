"""How long does each node take, and who says so?

What `takes=` declares comes first, then what a run has measured. What nobody knows
counts 0 seconds and is named, so that no prediction hides what it does not know. All
reckoning is in whole microseconds, like virtual time, so that a prediction can be
exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flownb.model.nodes import Node

MICRO: Final = 1_000_000
_DRAWS: Final = 200  # of a `takes=` that is drawn: enough for its mean


@dataclass(frozen=True, slots=True)
class Durations:
    """Microseconds of each node; `unknown`, `measured` and `drawn` name the nodes."""

    us: Mapping[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()

    @classmethod
    def of(cls, nodes: Iterable[Node], measured: Mapping[str, float] | None = None) -> Durations:
        """Collect what is declared, then what is *measured* (mean seconds by name).

        >>> from flownb.model.nodes import Node
        >>> Durations.of([Node("a", "blocking", takes=0.5), Node("b", "blocking")])
        Durations(us={'a': 500000, 'b': 0}, unknown=('b',), measured=(), drawn=())
        """
        us, unknown, found, drawn = {}, [], [], []
        for node in nodes:
            declared = _declared(node)
            if declared is None and measured and node.name in measured:
                found.append(node.name)
                declared = measured[node.name]
            if declared is None:
                unknown.append(node.name)
            elif callable(node.takes):
                drawn.append(node.name)
            us[node.name] = round((declared or 0.0) * MICRO)
        return cls(us, tuple(unknown), tuple(found), tuple(drawn))


def _declared(node: Node) -> float | None:
    """Give seconds, or None where nobody has said; handing over takes no time of its own."""
    if callable(node.takes):
        rng = Random(0)
        return sum(node.takes(rng) for _ in range(_DRAWS)) / _DRAWS
    if node.takes is not None:
        return node.takes
    hands_over = node.queue is not None or node.reader is not None
    given = node.kind == "producer" and (node.fn is None or hasattr(node.fn, "__len__"))
    return 0.0 if hands_over or given else None
