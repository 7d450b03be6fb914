"""In which column, and in which order there, does each node of a picture stand?

The classic layered drawing (Sugiyama): break cycles, put every node one column
behind its farthest source, give long edges a cell in each column that they pass,
and order the columns so that few edges cross. Every choice is by number, so the
same graph gives the same picture in any process.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Pair = tuple[int, int]
_SWEEPS = 8
_PATIENCE = 2  # sweeps without a better picture


@dataclass(slots=True)
class Columns:
    """The cells of a picture: cell i is node i, the cells behind them are way points.

    `chains[e]` are the cells of edge e, first to last; for an edge that runs
    backwards they include a way point in the columns of both of its ends.
    """

    column: list[int]
    chains: list[list[int]]
    backward: list[bool]
    order: list[list[int]] = field(default_factory=list)
    left: list[list[int]] = field(default_factory=list)
    right: list[list[int]] = field(default_factory=list)


def columns(count: int, edges: Sequence[Pair], spans: Sequence[int]) -> Columns:
    """Place *count* nodes; edge e covers at least `spans[e]` columns (1 or 2).

    >>> columns(3, [(0, 1), (1, 2), (0, 2)], [1, 1, 1]).order
    [[0], [1, 3], [2]]
    """
    backward = back_edges(count, edges)
    column = _longest_paths(count, edges, spans, backward)
    cells = Columns(column, [], backward)
    for edge, back in zip(edges, backward, strict=True):
        cells.chains.append(_chain(cells, edge, back=back))
    _link(cells)
    _first_order(cells, count)
    _untangle(cells)
    return cells


def back_edges(count: int, edges: Sequence[Pair]) -> list[bool]:
    """Mark edges whose reversal leaves no cycle, found by a search from the entries.

    >>> back_edges(2, [(0, 1), (1, 0), (1, 1)])
    [False, True, True]
    """
    out = _by_end(count, edges, 0)
    entered = bytearray(count)
    for _, b in edges:
        entered[b] = 1
    back = [False] * len(edges)
    state = bytearray(count)  # 1: on the path of the search, 2: left
    for start in sorted(range(count), key=lambda n: entered[n]):
        if not state[start]:
            _search(start, edges, out, state, back)
    return back


def _search(
    start: int, edges: Sequence[Pair], out: list[list[int]], state: bytearray, back: list[bool]
) -> None:
    state[start] = 1
    stack = [(start, iter(out[start]))]
    while stack:
        node, todo = stack[-1]
        for e in todo:
            target = edges[e][1]
            if state[target] == 1:
                back[e] = True
            elif not state[target]:
                state[target] = 1
                stack.append((target, iter(out[target])))
                break
        else:
            state[node] = 2
            stack.pop()


def _longest_paths(
    count: int, edges: Sequence[Pair], spans: Sequence[int], backward: list[bool]
) -> list[int]:
    out = _by_end(count, edges, 0)
    waiting = [0] * count
    for (_, b), back in zip(edges, backward, strict=True):
        waiting[b] += not back
    column = [0] * count
    ready = [n for n in range(count) if not waiting[n]]
    for node in ready:
        for e in out[node]:
            if backward[e]:
                continue
            target = edges[e][1]
            column[target] = max(column[target], column[node] + spans[e])
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return column


def _by_end(count: int, edges: Sequence[Pair], end: int) -> list[list[int]]:
    lists: list[list[int]] = [[] for _ in range(count)]
    for e, edge in enumerate(edges):
        lists[edge[end]].append(e)
    return lists


def _chain(cells: Columns, edge: Pair, *, back: bool) -> list[int]:
    a, b = cells.column[edge[0]], cells.column[edge[1]]
    passed = range(a, b - 1, -1) if back else range(a + 1, b)
    first = len(cells.column)
    cells.column.extend(passed)
    return [edge[0], *range(first, first + len(passed)), edge[1]]


def _link(cells: Columns) -> None:
    cells.left = [[] for _ in cells.column]
    cells.right = [[] for _ in cells.column]
    for chain, back in zip(cells.chains, cells.backward, strict=True):
        steps = chain[-2:0:-1] if back else chain
        for a, b in pairwise(steps):
            cells.right[a].append(b)
            cells.left[b].append(a)


def _first_order(cells: Columns, count: int) -> None:
    """Fill the columns in the order of a search: what hangs together stays together."""
    cells.order = [[] for _ in range(max(cells.column, default=-1) + 1)]
    turning: list[list[int]] = [[] for _ in cells.column]
    for chain, back in zip(cells.chains, cells.backward, strict=True):
        if back:
            turning[chain[0]].append(chain[1])
            turning[chain[-1]].append(chain[-2])
    seen = bytearray(len(cells.column))
    for start in sorted(range(count), key=lambda n: cells.column[n]):
        stack = [start]
        while stack:
            cell = stack.pop()
            if not seen[cell]:
                seen[cell] = 1
                cells.order[cells.column[cell]].append(cell)
                stack += reversed(cells.right[cell] + turning[cell])


def _untangle(cells: Columns) -> None:
    best, fewest = [list(c) for c in cells.order], crossings(cells)
    stale = 0
    for sweep in range(_SWEEPS):
        if not fewest or stale == _PATIENCE:
            break
        _sweep(cells, forward=sweep % 2 == 0)
        now = crossings(cells)
        stale += 1
        if now < fewest:
            best, fewest, stale = [list(c) for c in cells.order], now, 0
    cells.order = best


def _sweep(cells: Columns, *, forward: bool) -> None:
    near = cells.left if forward else cells.right
    position = _positions(cells)
    for column in cells.order if forward else reversed(cells.order):
        wish = {}
        for cell in column:
            others = near[cell]
            wish[cell] = (
                sum(position[o] for o in others) / len(others) if others else position[cell]
            )
        column.sort(key=wish.__getitem__)
        _number(column, position)


def _positions(cells: Columns) -> list[float]:
    position = [0.0] * len(cells.column)
    for column in cells.order:
        _number(column, position)
    return position


def _number(column: list[int], position: list[float]) -> None:
    # Fractions of the column: columns of different length are comparable.
    for i, cell in enumerate(column):
        position[cell] = (i + 0.5) / len(column)


def crossings(cells: Columns) -> int:
    """Count the pairs of edges that cross between neighbouring columns."""
    place = [0] * len(cells.column)
    for column in cells.order:
        for i, cell in enumerate(column):
            place[cell] = i
    total = 0
    for column in cells.order:
        ends: list[int] = []
        for cell in column:
            targets = sorted(place[o] for o in cells.right[cell])
            total += sum(len(ends) - bisect_right(ends, t) for t in targets)
            for t in targets:
                insort(ends, t)
    return total
