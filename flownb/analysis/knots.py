"""Where does a one-shot run go round? Knots, and the edges that lead back.

A *knot* is a strongly connected component: its nodes can all reach each other. A *back
edge* is one that a depth-first walk from the root, in the order of the edges, finds
leading to a node it is still inside. Without its back edges a graph is acyclic; a token
on one starts the next pass of its knot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Edges = frozenset[tuple[int, int]]


def back_edges(succ: Sequence[Sequence[int]], root: int) -> Edges:
    """Find the back edges of what is reachable from *root*; linear and iterative.

    >>> sorted(back_edges([[1], [2], [1, 3], []], 0))
    [(2, 1)]
    """
    found, state = [], bytearray(len(succ))  # 1: inside it, 2: behind us
    state[root] = 1
    stack = [(root, iter(succ[root]))]
    while stack:
        v, ways = stack[-1]
        for w in ways:
            if state[w] == 1:
                found.append((v, w))
            elif not state[w]:
                state[w] = 1
                stack.append((w, iter(succ[w])))
                break
        else:
            state[v] = 2
            stack.pop()
    return frozenset(found)


def knots(succ: Sequence[Sequence[int]]) -> list[int]:
    """Number the knot of each node, -1 for a node that no cycle goes through.

    >>> knots([[1], [2], [1, 3], []])
    [-1, 0, 0, -1]
    """
    import networkx as nx

    graph = nx.DiGraph((v, w) for v, targets in enumerate(succ) for w in targets)
    found = [sorted(k) for k in nx.strongly_connected_components(graph) if len(k) > 1]
    found += [[v] for v, targets in enumerate(succ) if v in targets]
    number = [-1] * len(succ)
    for i, knot in enumerate(sorted(found)):
        for v in knot:
            number[v] = i
    return number


def in_one_piece(order: Sequence[int], succ: Sequence[Sequence[int]], knot: list[int]) -> list[int]:
    """Sort *order* so that each knot stands together; what leads to a knot stands before it.

    *order* is topological without the back edges, *succ* has them left out.
    """
    # one place for each knot, and one for each node that is in none
    place = {v: (v if knot[v] < 0 else ~knot[v]) for v in order}
    inside: dict[int, list[int]] = {}
    for v in order:
        inside.setdefault(place[v], []).append(v)
    waits = dict.fromkeys(inside, 0)
    ways = [(place[v], place[w]) for v in order for w in succ[v] if place[v] != place[w]]
    behind: dict[int, list[int]] = {p: [] for p in inside}
    for a, b in ways:
        waits[b] += 1
        behind[a].append(b)
    ready = [p for p, count in waits.items() if not count]
    for p in ready:
        for q in behind[p]:
            waits[q] -= 1
            if not waits[q]:
                ready.append(q)
    return [v for p in ready for v in inside[p]]
