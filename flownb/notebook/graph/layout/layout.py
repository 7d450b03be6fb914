"""What is the layout of a graph? Where each node stands, and along which way each edge runs.

A pure function of numbers: sizes of boxes and pairs of box numbers go in, rectangles
and paths come out, left to right. `layers` finds the columns; here the cells of a column get
their heights, and both become coordinates. Edges bend only between columns and pass a column in
a row of their own, so no edge ever runs through a box.

Each cell of a column wishes to stand level with its neighbours; cells keep their
order and their distance. The nearest heights that do (least sum of distances) are
an isotonic regression, solved exactly by pooling; medians, not means, so that the
main line of a flow comes out straight instead of almost straight.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from flownb.notebook.graph.layout.layers import Columns, Pair, columns
from flownb.notebook.picture.shapes import Path, Point, Rect, Step, moved, path, s_curve, u_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GAP = 22.0  # between two boxes of a column
BEND = 46.0  # what a curve between two columns needs
TURN = 22.0  # how far an edge that runs backwards swings out
LABEL_HEIGHT = 18.0
_DIRECT = 2  # cells of an edge between neighbouring columns: no way point
_ARROW = 26.0  # straight line left of and right of a label
_ROW = 760.0  # nodes without edges fill rows of this width


@dataclass(frozen=True, slots=True)
class Layout:
    """The picture by numbers: box i is node i, `labels[e]` the middle of e's label."""

    boxes: tuple[Rect, ...]
    routes: tuple[Path, ...]
    labels: tuple[Point | None, ...]
    width: float
    height: float


def layout(
    sizes: Sequence[tuple[float, float]], edges: Sequence[Pair], labels: Sequence[float] = ()
) -> Layout:
    """Lay out a graph; `labels[e]` is the width that the label of edge e needs, or 0.

    >>> layout([(60, 40), (60, 40)], [(0, 1)]).routes
    (((60.0, 20.0), (106.0, 20.0)),)
    """
    labels = labels or [0.0] * len(edges)
    boxes: list[Rect] = [Rect(0, 0, 0, 0)] * len(sizes)
    routes: list[Path] = [()] * len(edges)
    spots: list[Point | None] = [None] * len(edges)
    width = y = 0.0
    parts = _parts(len(sizes), edges)
    for nodes, lines in parts:
        if lines:
            part = _Drawing.of(nodes, lines, sizes, edges, labels)
            y += GAP * bool(y)
            for i, node in enumerate(nodes):
                boxes[node] = part.box(i).moved(0, y)
            for i, e in enumerate(lines):
                routes[e] = moved(part.route(i), 0, y)
                spot = part.label(i)
                spots[e] = spot and (spot[0], spot[1] + y)
            width, y = max(width, part.width), y + part.height
    alone = [nodes[0] for nodes, lines in parts if not lines]
    for node, box in _rows(alone, sizes, max(width, _ROW), y + GAP * bool(y)):
        boxes[node] = box
        width, y = max(width, box.right), max(y, box.bottom)
    return Layout(tuple(boxes), tuple(routes), tuple(spots), width, y)


def _rows(
    nodes: Sequence[int], sizes: Sequence[tuple[float, float]], width: float, top: float
) -> Iterator[tuple[int, Rect]]:
    x = bottom = 0.0
    for node in nodes:
        if x and x + sizes[node][0] > width:
            x, top = 0.0, bottom + GAP
        box = Rect(x, top, *sizes[node])
        bottom = max(bottom, box.bottom)
        x = box.right + GAP
        yield node, box


def components(count: int, edges: Sequence[Pair]) -> list[int]:
    """Number the connected parts: the part of each node, parts in order of first node.

    >>> components(4, [(0, 2), (3, 1)])
    [0, 1, 0, 1]
    """
    near: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        near[a].append(b)
        near[b].append(a)
    part = [-1] * count
    parts = 0
    for start in range(count):
        stack = [start] if part[start] < 0 else []
        parts += bool(stack)
        while stack:
            node = stack.pop()
            if part[node] < 0:
                part[node] = parts - 1
                stack += near[node]
    return part


def _parts(count: int, edges: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
    part = components(count, edges)
    parts: list[tuple[list[int], list[int]]] = [([], []) for _ in range(max(part, default=-1) + 1)]
    for node, p in enumerate(part):
        parts[p][0].append(node)
    for e, (a, _) in enumerate(edges):
        parts[part[a]][1].append(e)
    return parts


@dataclass(slots=True)
class _Drawing:
    """One connected part: its cells, their sizes, and the sides of the columns."""

    cells: Columns
    sizes: list[tuple[float, float]]
    labels: list[float]
    height_of: list[float]
    x0: list[float]
    x1: list[float]
    bend: list[float]
    width: float
    height: float

    @classmethod
    def of(
        cls,
        nodes: Sequence[int],
        lines: Sequence[int],
        sizes: Sequence[tuple[float, float]],
        edges: Sequence[Pair],
        labels: Sequence[float],
    ) -> _Drawing:
        local = {node: i for i, node in enumerate(nodes)}
        pairs = [(local[edges[e][0]], local[edges[e][1]]) for e in lines]
        names = [labels[e] for e in lines]
        cells = columns(len(nodes), pairs, _spans(pairs, names))
        drawing = cls(cells, [sizes[n] for n in nodes], names, [], [], [], [], 0.0, 0.0)
        drawing._give_way_points_a_size()
        drawing._find_heights()
        drawing._find_sides()
        return drawing

    def _give_way_points_a_size(self) -> None:
        self.sizes += [(0.0, 0.0)] * (len(self.cells.column) - len(self.sizes))
        for chain, label in zip(self.cells.chains, self.labels, strict=True):
            if label and len(chain) > _DIRECT:
                self.sizes[chain[1]] = (label, LABEL_HEIGHT)

    def _find_heights(self) -> None:
        cells, sizes = self.cells, self.sizes
        count = _real(cells)
        weight = [1 if c < count else 3 for c in range(len(sizes))]

        def apart(a: int, b: int) -> float:
            gap = GAP if a < count and b < count else GAP / 2 + 3
            return (sizes[a][1] + sizes[b][1]) / 2 + gap

        heights = align(cells.order, cells.left, cells.right, apart, weight)
        top = min(h - s[1] / 2 for h, s in zip(heights, sizes, strict=True))
        self.height_of = [h - top for h in heights]
        self.height = max(h + s[1] / 2 for h, s in zip(self.height_of, sizes, strict=True))

    def _find_sides(self) -> None:
        column = self.cells.column
        turns = [
            c[i]
            for c, b in zip(self.cells.chains, self.cells.backward, strict=True)
            if b
            for i in (0, -1)
        ]
        x = TURN + 6 if any(column[t] == 0 for t in turns) else 0.0
        for i, order in enumerate(self.cells.order):
            self.x0.append(x)
            self.x1.append(x + max(self.sizes[c][0] for c in order))
            self.bend.append(self._bend(i))
            x = self.x1[i] + self.bend[i] + self._label_room(i)
        last = len(self.cells.order) - 1
        self.width = self.x1[-1] + (TURN + 6 if any(column[t] == last for t in turns) else 0.0)

    def _bend(self, i: int) -> float:
        """Steep edges get a little more room, so that they stay curves."""
        rises = [
            abs(self.height_of[a] - self.height_of[b])
            for a in self.cells.order[i]
            for b in self.cells.right[a]
        ]
        return BEND + min(60.0, max(rises, default=0.0) // 8)

    def _label_room(self, i: int) -> float:
        labels = zip(self.cells.chains, self.labels, strict=True)
        room = [w for c, w in labels if len(c) == _DIRECT and self.cells.column[c[0]] == i]
        return max((w + _ARROW for w in room if w), default=0.0)

    def box(self, cell: int) -> Rect:
        """Give a node's rectangle, in the middle of its column."""
        i, (w, h) = self.cells.column[cell], self.sizes[cell]
        return Rect((self.x0[i] + self.x1[i] - w) / 2, self.height_of[cell] - h / 2, w, h)

    def label(self, e: int) -> Point | None:
        """Give the middle of an edge's label: on its first way point, or before its arrow."""
        chain, width = self.cells.chains[e], self.labels[e]
        if not width:
            return None
        if len(chain) > _DIRECT:
            return self.box(chain[1]).middle
        end = self.x0[self.cells.column[chain[1]]]
        return end - width / 2 - _ARROW * 0.6, self.height_of[chain[1]]

    def route(self, e: int) -> Path:
        """Lead edge e from the right side of its source to the left side of its target."""
        chain = self.cells.chains[e]
        first, last = self.box(chain[0]), self.box(chain[-1])
        steps = self._backward(chain) if self.cells.backward[e] else self._forward(chain)
        end = (last.x, last.middle[1])
        return path((first.right, first.middle[1]), [*steps, end])

    def _forward(self, chain: Sequence[int]) -> Iterator[Step]:
        for a, b in pairwise(chain):
            i = self.cells.column[a]
            start = (self.x1[i], self.height_of[a])
            yield start
            yield s_curve(start, (self.x1[i] + self.bend[i], self.height_of[b]))
            yield (self.x0[i + 1], self.height_of[b])

    def _backward(self, chain: Sequence[int]) -> Iterator[Step]:
        at = self.cells.column
        first, last = at[chain[0]], at[chain[-1]]
        start = (self.x1[first], self.height_of[chain[0]])
        yield start
        yield u_turn(start, (start[0], self.height_of[chain[1]]), TURN)
        for a, b in pairwise(chain[1:-1]):
            i = at[b]
            corner = (self.x1[i] + self.bend[i], self.height_of[a])
            yield corner
            yield s_curve(corner, (self.x1[i], self.height_of[b]))
        turn = (self.x0[last], self.height_of[chain[-2]])
        yield turn
        yield u_turn(turn, (turn[0], self.height_of[chain[-1]]), -TURN)


def _real(cells: Columns) -> int:
    return len(cells.column) - sum(len(c) - 2 for c in cells.chains)


def _spans(pairs: Sequence[Pair], labels: Sequence[float]) -> list[int]:
    """A labelled edge into a join takes two columns: its label stands in the middle one."""
    entering: dict[int, int] = {}
    for _, b in pairs:
        entering[b] = entering.get(b, 0) + 1
    return [
        2 if label and entering[b] > 1 else 1 for (_, b), label in zip(pairs, labels, strict=True)
    ]


_SWEEPS = 4


def align(
    order: Sequence[Sequence[int]],
    left: Sequence[Sequence[int]],
    right: Sequence[Sequence[int]],
    apart: Callable[[int, int], float],
    weight: Sequence[int],
) -> list[float]:
    """Give the middle height of every cell; `apart(a, b)` is what two neighbours need."""
    offsets = [_offsets(column, apart) for column in order]
    height = [0.0] * len(left)
    for column, offset in zip(order, offsets, strict=True):
        for cell, o in zip(column, offset, strict=True):
            height[cell] = o
    for sweep in range(_SWEEPS + 1):
        near = left if sweep % 2 == 0 else right
        steps = list(zip(order, offsets, strict=True))
        for column, offset in steps if sweep % 2 == 0 else reversed(steps):
            wishes = [
                _wish(cell, near[cell], height, weight) - o
                for cell, o in zip(column, offset, strict=True)
            ]
            fitted = monotone(wishes, [weight[c] for c in column])
            for cell, value, o in zip(column, fitted, offset, strict=True):
                height[cell] = value + o
    return height


def monotone(wishes: Sequence[float], weights: Sequence[int]) -> list[float]:
    """Give the rising numbers that are nearest to *wishes*, in summed distance.

    >>> monotone([3.0, 1.0, 2.0, 9.0], [1, 1, 1, 1])
    [2.0, 2.0, 2.0, 9.0]
    """
    blocks: list[tuple[list[float], int]] = []
    for wish, weight in zip(wishes, weights, strict=True):
        values, members = [wish] * weight, 1
        while blocks and _upper(blocks[-1][0]) > _upper(values):
            before, more = blocks.pop()
            values, members = _merged(before, values), members + more
        blocks.append((values, members))
    return [_upper(values) for values, members in blocks for _ in range(members)]


def _offsets(column: Sequence[int], apart: Callable[[int, int], float]) -> list[float]:
    offset = [0.0] * len(column)
    for i in range(1, len(column)):
        offset[i] = offset[i - 1] + apart(column[i - 1], column[i])
    return offset


def _wish(
    cell: int, others: Sequence[int], height: Sequence[float], weight: Sequence[int]
) -> float:
    if not others:
        return height[cell]
    return _median(sorted(height[o] for o in others for _ in range(weight[o])))


def _median(values: Sequence[float]) -> float:
    return values[(len(values) - 1) // 2]


def _upper(values: Sequence[float]) -> float:
    # The first of a pool wished for the larger number: of two arms the first is straight.
    return values[len(values) // 2]


def _merged(a: list[float], b: list[float]) -> list[float]:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    for value in shorter:
        insort(longer, value)
    return longer
