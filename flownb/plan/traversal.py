"""What can be reached in a graph, by which shortest way, and in which order? By node number.

*neighbours* gives for each node the numbers of those that an edge leads to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def reach(
    neighbours: Sequence[Sequence[int]], starts: Iterable[int], *, stop: Sequence[int] = ()
) -> bytearray:
    """Mark what can be reached from *starts* (they included), not passing beyond *stop*.

    >>> list(reach([[1], [2], []], [0], stop=[0, 1, 0]))
    [1, 1, 0]
    """
    seen = bytearray(len(neighbours))
    stack = list(starts)
    for start in stack:
        seen[start] = 1
    while stack:
        node = stack.pop()
        if stop and stop[node]:
            continue
        for other in neighbours[node]:
            if not seen[other]:
                seen[other] = 1
                stack.append(other)
    return seen


def predecessors(
    neighbours: Sequence[Sequence[int]] | Mapping[int, Sequence[int]], starts: Iterable[int]
) -> dict[int, int]:
    """Give for each node the one before it on a shortest way from a start, itself for a start.

    >>> predecessors([[1, 2], [3], [3], []], [0])
    {0: 0, 1: 0, 2: 0, 3: 1}
    """
    before = {start: start for start in starts}
    queue = [*before]
    for v in queue:
        for w in neighbours[v]:
            if w not in before:
                before[w] = v
                queue.append(w)
    return before


def path_to(before: Mapping[int, int], v: int) -> list[int]:
    """Give the path from a start to *v*, of what `predecessors` gave.

    >>> path_to({0: 0, 1: 0, 3: 1}, 3)
    [0, 1, 3]
    """
    found = [v]
    while before[v] != v:
        v = before[v]
        found.append(v)
    return found[::-1]


def topological(
    neighbours: Sequence[Sequence[int]], inside: Sequence[int] | None = None
) -> tuple[list[int], list[int]]:
    """Order the nodes that *inside* marks (default: all), first come first served.

    Gives the order, and the nodes it never comes to: those in cycles, and what lies behind them.

    >>> topological([[1], [2], [], [4], [3]])
    ([0, 1, 2], [3, 4])
    """
    nodes = [v for v in range(len(neighbours)) if inside is None or inside[v]]
    waits = [0] * len(neighbours)
    for v in nodes:
        for w in neighbours[v]:
            waits[w] += 1
    order = [v for v in nodes if not waits[v]]
    for v in order:
        for w in neighbours[v]:
            waits[w] -= 1
            if not waits[w]:
                order.append(w)
    return order, [v for v in nodes if waits[v]]
