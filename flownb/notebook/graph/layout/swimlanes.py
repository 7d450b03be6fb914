"""How do several flows share one picture? As titled swimlanes, one under the other.

Flow edges stay inside their swimlane. A link that crosses from one to another (a queue) runs
in the free space around them: down from its source into the gap, along it, and
down into its target, or through the gutter on the left if the target is farther away.
All links of one bundle (one queue) share a track, so they read as one line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from flownb.notebook.graph.layout.layout import Layout, layout
from flownb.notebook.picture.shapes import Path, Point, Rect, moved, rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.notebook.graph.layout.layers import Pair

PAD = 16.0  # between the frame of a lane and what it holds
HEAD = 26.0  # what a lane's title needs
_TRACK = 9.0  # between two tracks
_GAP = 14.0  # between two lanes without a track
_RADIUS = 8.0


@dataclass(frozen=True, slots=True)
class Link:
    """A line from one box to another that is no flow edge; *bundle* shares a track."""

    source: int
    target: int
    bundle: int


@dataclass(frozen=True, slots=True)
class Swimlanes:
    """All of a picture by numbers; `lanes[g]` is the frame of group g."""

    boxes: tuple[Rect, ...]
    routes: tuple[Path, ...]
    labels: tuple[Point | None, ...]
    links: tuple[Path, ...]
    lanes: tuple[Rect, ...]
    width: float
    height: float


def lay_swimlanes(  # noqa: PLR0917 - six aligned lists
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[Pair],
    labels: Sequence[float],
    groups: Sequence[int],
    heads: Sequence[float],
    links: Sequence[Link] = (),
) -> Swimlanes:
    """Lay out group by group; `heads[g]` is the width of group g's title, 0 for no frame."""
    return _Stack(sizes, edges, labels, groups, heads, links).done()


_Entry = Literal["above", "left", "gutter"]


class _Way(NamedTuple):
    below: bool  # it leaves through the lower side, not the right one
    entry: _Entry  # where it arrives: from the gap above, beside its column, from the gutter
    gutter: bool  # whether it passes the gutter


@dataclass(slots=True)
class _Stack:
    sizes: Sequence[tuple[float, float]]
    edges: Sequence[Pair]
    labels: Sequence[float]
    groups: Sequence[int]
    heads: Sequence[float]
    links: Sequence[Link]
    nodes: list[list[int]] = field(default_factory=list)
    lines: list[list[int]] = field(default_factory=list)
    boxes: list[Rect] = field(default_factory=list)
    parts: list[Layout] = field(default_factory=list)
    frames: list[Rect] = field(default_factory=list)
    gaps: list[list[int]] = field(default_factory=list)
    gutter: list[int] = field(default_factory=list)
    shift: list[float] = field(default_factory=list)

    def done(self) -> Swimlanes:
        self._lay_parts()
        self._shift()
        ways = [self._way(link) for link in self.links]
        self._stack()
        links = tuple(self._link(a, way) for a, way in zip(self.links, ways, strict=True))
        routes: list[Path] = [()] * len(self.edges)
        spots: list[Point | None] = [None] * len(self.edges)
        for g, part in enumerate(self.parts):
            dx, dy = self._origin(g)
            for i, e in enumerate(self.lines[g]):
                routes[e] = moved(part.routes[i], dx, dy)
                spot = part.labels[i]
                spots[e] = spot and (spot[0] + dx, spot[1] + dy)
        right = max((f.right for f in self.frames), default=0.0)
        bottom = (
            self._gap_top(len(self.frames)) + self._gap_height(len(self.frames))
            if self.frames
            else 0.0
        )
        return Swimlanes(
            tuple(self.boxes), tuple(routes), tuple(spots), links, tuple(self.frames), right, bottom
        )

    def _lay_parts(self) -> None:
        count = len(self.heads)
        self.gaps = [[] for _ in range(count + 1)]
        self.nodes = [[n for n, g in enumerate(self.groups) if g == k] for k in range(count)]
        self.lines = [
            [e for e, (a, _) in enumerate(self.edges) if self.groups[a] == k] for k in range(count)
        ]
        for nodes, lines in zip(self.nodes, self.lines, strict=True):
            at = {node: i for i, node in enumerate(nodes)}
            pairs = [(at[self.edges[e][0]], at[self.edges[e][1]]) for e in lines]
            sizes = [self.sizes[n] for n in nodes]
            self.parts.append(layout(sizes, pairs, [self.labels[e] for e in lines]))
        self.boxes = [Rect(0, 0, 0, 0)] * len(self.groups)
        for nodes, part in zip(self.nodes, self.parts, strict=True):
            for node, box in zip(nodes, part.boxes, strict=True):
                self.boxes[node] = box

    def _shift(self) -> None:
        """Move a lane to the right where its reader then stands below its queue."""
        widest = max((p.width for p in self.parts), default=0.0)
        self.shift = [0.0] * len(self.parts)
        for link in self.links:
            a, b = self.groups[link.source], self.groups[link.target]
            if b == a + 1 and not self.shift[b]:
                wish = self._x(link.source) - self._x(link.target)
                self.shift[b] = max(0.0, min(wish, widest - self.parts[b].width))

    def _x(self, node: int) -> float:
        return self.boxes[node].middle[0] + self.shift[self.groups[node]]

    # -- which way a link takes ------------------------------------------------

    def _way(self, link: Link) -> _Way:
        """Choose the shortest way that crosses no box and no title."""
        a, b = self.groups[link.source], self.groups[link.target]
        box, others = self.boxes[link.target], self.parts[b].boxes
        leftmost = all(o.x >= box.x or not _share_rows(o, box) for o in others)
        above = self._free(link.target, down=False) and self._x(link.target) > self.heads[b]
        direct = b == a + 1 and above
        entry: _Entry = "above" if above else "left"
        if leftmost and not direct:
            entry = "gutter"
        way = _Way(self._free(link.source, down=True), entry, entry == "gutter" or b != a + 1)
        _note(self.gaps[a + 1], link.bundle)
        if way.gutter:
            _note(self.gutter, link.bundle)
        if entry != "gutter":
            _note(self.gaps[b], link.bundle)
        return way

    def _free(self, node: int, *, down: bool) -> bool:
        """Whether no box of its lane stands below (or above) a box."""
        box = self.boxes[node]
        return not any(
            (o.y > box.y) is down and o is not box and o.x < box.right and box.x < o.right
            for o in self.parts[self.groups[node]].boxes
        )

    # -- where everything comes to stand -----------------------------------------

    def _stack(self) -> None:
        width = max(
            (
                max(p.width + s, h) + 2 * PAD
                for p, s, h in zip(self.parts, self.shift, self.heads, strict=True)
            ),
            default=0.0,
        )
        left = (len(self.gutter) + 1) * _TRACK if self.gutter else 0.0
        for g, part in enumerate(self.parts):
            head = HEAD if self.heads[g] else 0.0
            top = self._gap_top(g) + self._gap_height(g)
            self.frames.append(Rect(left, top, width, head + part.height + 2 * PAD - head / 4))
        for g, nodes in enumerate(self.nodes):
            for node in nodes:
                self.boxes[node] = self.boxes[node].moved(*self._origin(g))

    def _origin(self, g: int) -> Point:
        frame = self.frames[g]
        return frame.x + PAD + self.shift[g], frame.bottom - PAD - self.parts[g].height

    def _gap_top(self, gap: int) -> float:
        return self.frames[gap - 1].bottom if gap else 0.0

    def _gap_height(self, gap: int) -> float:
        tracks = len(self.gaps[gap])
        outer = gap in {0, len(self.parts)}
        return (tracks + 1) * _TRACK + 4 if tracks else (0.0 if outer else _GAP)

    def _track(self, gap: int, bundle: int) -> float:
        return self._gap_top(gap) + 2 + (self.gaps[gap].index(bundle) + 1) * _TRACK

    def _link(self, link: Link, way: _Way) -> Path:
        a, b = self.groups[link.source], self.groups[link.target]
        box = self.boxes[link.target]
        points = self._leave(link.source, self._track(a + 1, link.bundle), below=way.below)
        if way.gutter:
            x = (self.gutter.index(link.bundle) + 1) * _TRACK
            points.append((x, points[-1][1]))
            end = box.middle[1] if way.entry == "gutter" else self._track(b, link.bundle)
            points.append((x, end))
        if way.entry == "gutter":
            points.append((box.x, box.middle[1]))
        else:
            points += self._arrive(link.target, points[-1][1], above=way.entry == "above")
        return rounded(points, _RADIUS)

    def _leave(self, node: int, track: float, *, below: bool) -> list[Point]:
        box = self.boxes[node]
        if below:
            return [(box.middle[0], box.bottom), (box.middle[0], track)]
        x = max(o.right for o in self._column(node)) + 12
        return [(box.right, box.middle[1]), (x, box.middle[1]), (x, track)]

    def _arrive(self, node: int, track: float, *, above: bool) -> list[Point]:
        box = self.boxes[node]
        if above:
            return [(box.middle[0], track), (box.middle[0], box.y)]
        x = min(o.x for o in self._column(node)) - 14
        return [(x, track), (x, box.middle[1]), (box.x, box.middle[1])]

    def _column(self, node: int) -> list[Rect]:
        box = self.boxes[node]
        lane = [self.boxes[n] for n in self.nodes[self.groups[node]]]
        return [o for o in lane if o.x < box.right and box.x < o.right]


def _share_rows(a: Rect, b: Rect) -> bool:
    return a.y < b.bottom and b.y < a.bottom


def _note(tracks: list[int], bundle: int) -> None:
    if bundle not in tracks:
        tracks.append(bundle)
