"""Which shapes is the picture of a workflow made of, and in which order are they drawn? A `Scene`.

`scene` turns a workflow into boxes, lines and swimlanes with all coordinates, so that the
static SVG, the figure, the live view and a test look at the same thing. Shapes are
numbered (n0, e0, q0), never named after what users type. `draw` draws swimlanes first, then
lines, then boxes, then the legend.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from flownb.notebook.graph.captions import AWAITED, DETACHED, IDLE, NEXT, Captions, edge_label
from flownb.notebook.graph.layout.folded import lay_folded
from flownb.notebook.graph.layout.given_places import lay_given
from flownb.notebook.graph.layout.swimlanes import Link, lay_swimlanes
from flownb.notebook.picture.shapes import (
    Group,
    Look,
    Mark,
    Path,
    Picture,
    Rect,
    Writing,
    arrow,
    outline,
    rim,
    round_box,
)
from flownb.notebook.picture.text import brief, shorten, width

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from flownb.model.policies import AwaitPolicy
    from flownb.model.workflow import Workflow
    from flownb.notebook.graph.layout.swimlanes import Swimlanes
    from flownb.notebook.picture.shapes import Point

NAME_SIZE: Final = 13.0
WORD_SIZE: Final = 11.0
TITLE_SIZE: Final = 12.0
QUEUED: Final = "queued"
SPARE: Final = 244.0  # pixels beside a title: state, rate, in flight, and two buttons
_HEIGHT: Final = (48.0, 58.0)  # still, live: a badge covers the lower edge
_WIDTH: Final = (84.0, 104.0)  # at least; a badge is as wide as the room between its neighbours
_ROOM: Final = (180.0, 230.0)  # for the name, for the words under it
LOOKS: Final = {"folded": Look("#d9d9d9", "#4d4d4d", 1.75)}
_TOLD: Final = 20  # nodes that the tip of a folded loop names
_SIDE: Final = {"if": 22.0, "queue": 20.0, "queue_reader": 20.0, "producer": 20.0}
_LINE_WORDS: Final = {
    AWAITED: "the producer waits for this",
    DETACHED: "the producer does not wait",
    IDLE: "belongs to no loop",
    NEXT: "runs next",
    QUEUED: "through a queue",
}


@dataclass(frozen=True, slots=True)
class Box:
    """A node: `name` in full, `label` as it fits, `word` what it is to its producer.

    Of a folded loop, which is one box, `nodes` names all that it stands for.
    """

    id: str
    name: str
    kind: str
    label: str
    word: str
    badge: str
    tip: str
    held: bool
    frame: Rect
    outline: Path
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """An edge, or a queue between two loops; `style` says whether the producer waits."""

    id: str
    source: str
    target: str
    style: str
    path: Path
    label: str
    spot: Point | None
    tip: str


@dataclass(frozen=True, slots=True)
class Swimlane:
    """The frame around a loop, or around loops that share nodes."""

    id: str
    title: str
    loops: tuple[str, ...]
    frame: Rect


@dataclass(frozen=True, slots=True)
class Scene:
    """The whole picture of a workflow, in pixels."""

    name: str
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    lanes: tuple[Swimlane, ...]
    width: float
    height: float

    def __repr__(self) -> str:
        shapes = f"{len(self.boxes)} boxes, {len(self.lines)} lines, {len(self.lanes)} lanes"
        return f"Scene({self.name!r}: {shapes}, {self.width:.0f} x {self.height:.0f} px)"

    @property
    def homes(self) -> dict[str, str]:
        """The id of the box in which each node is."""
        inside = {name: box.id for box in self.boxes for name in box.nodes}
        return inside | {box.name: box.id for box in self.boxes}

    @property
    def styles(self) -> tuple[str, ...]:
        """The kinds of line that occur, in the order of the legend."""
        used = {line.style for line in self.lines}
        return tuple(style for style in _LINE_WORDS if style in used)

    @property
    def description(self) -> str:
        """The picture in words, for those who do not see it."""
        parts = [lane.title for lane in self.lanes if lane.title]
        parts += [
            f"{brief(line.source)} to {brief(line.target)}: {_said(line)}"
            for line in self.lines[:200]
        ]
        more = len(self.lines) - 200
        return ". ".join([*parts, *([f"and {more} more edges"] if more > 0 else [])]) + "."


def unanswered(workflow: Workflow) -> Scene:
    """Place the same without a word on who waits for whom: lines are alike, a box says its kind.

    It is drawn under a policy that awaits nobody, so that the width of a box tells nothing.
    """
    shapes, facts = scene(workflow, await_policy="none"), Captions(workflow)
    boxes = (replace(b, word=re.sub(r", (not )?awaited here", "", b.word)) for b in shapes.boxes)
    lines = (replace(line, style=NEXT, tip="") for line in shapes.lines)
    lanes = (replace(x, title=facts.lane_title(i)) for i, x in enumerate(shapes.lanes))
    return replace(shapes, boxes=tuple(boxes), lines=tuple(lines), lanes=tuple(lanes))


def line_words(style: str) -> str:
    """Say what a style of line means."""
    return _LINE_WORDS[style]


def scene(
    workflow: Workflow,
    *,
    await_policy: AwaitPolicy | None = None,
    live: bool = False,
    places: Mapping[str, Point] | None = None,
    folded: Collection[str] = (),
) -> Scene:
    """Place everything of a workflow; *await_policy* shows it under another policy.

    *live* leaves room for how everything stands: in each box, beside each loop's title.
    *places* says where each box stands, where somebody has moved them. Of *folded* loops each
    is one box; those that share nodes are folded together.

    >>> from flownb.model.workflow import Workflow
    >>> scene(Workflow("w").add_producer("p").add_node("a").add_edge("p", "a"))
    Scene('w': 2 boxes, 1 lines, 1 lanes, 252 x 100 px)
    """
    facts = Captions(workflow, await_policy)
    fold = _Fold(facts, folded)
    labels = [shorten(edge_label(facts.edges[i]), 120, WORD_SIZE) for i in fold.edges]
    titles = [facts.lane_title(i) for i in range(len(facts.lane_loops))]
    links = fold.crossing(_links(facts))
    parts = (
        [fold.size(i, live=live) for i in fold.kept],
        [(fold.place[a], fold.place[b]) for a, b in (facts.pairs[i] for i in fold.edges)],
        [width(text, WORD_SIZE) + 14 if text else 0.0 for text in labels],
        [facts.lane[i] for i in fold.kept],
        [
            width(title, TITLE_SIZE) + SPARE * live * len(loops) if title else 0.0
            for title, loops in zip(titles, facts.lane_loops, strict=True)
        ],
        [Link(fold.place[n.source], fold.place[n.target], n.bundle) for n in links],
    )
    if places is not None:
        placed = lay_given([places[facts.names[i]] for i in fold.kept], *parts)
    elif fold.shut:
        placed = lay_folded(*parts, fold.shut)
    else:
        placed = lay_swimlanes(*parts)
    return Scene(
        workflow.name,
        tuple(fold.box(i, frame) for i, frame in zip(fold.kept, placed.boxes, strict=True)),
        (*_flow_lines(fold, placed, labels), *_queue_lines(fold, links, placed.links)),
        tuple(
            Swimlane(f"l{i}", title, tuple(facts.lane_loops[i]), placed.lanes[i])
            for i, title in enumerate(titles)
        ),
        placed.width,
        placed.height,
    )


def box_size(facts: Captions, name: str, *, live: bool, label: str = "") -> tuple[float, float]:
    """Say how wide and high the box of a node is: its words fit. *label*: its name is not shown."""
    shown, word = _texts(facts, name)
    label = shorten(label, _ROOM[0], NAME_SIZE) if label else shown
    text = max(width(label, NAME_SIZE), width(word, WORD_SIZE))
    return float(round(max(_WIDTH[live], text + 2 * _SIDE.get(facts.kind(name), 14.0)))), _HEIGHT[
        live
    ]


class _Fold:
    """What is drawn of a workflow when some of its loops are one box each.

    `kept` and `edges` are the nodes and edges that are drawn, by number, `place` says for every
    node which of the kept ones is its box; `shut` are the lanes that are folded.
    """

    def __init__(self, facts: Captions, folded: Collection[str]) -> None:
        self.facts = facts
        loops = [set(loops) for loops in facts.lane_loops]
        self.shut = {i for i, names in enumerate(loops) if names and names <= set(folded)}
        heads = {i: facts.index[facts.lane_loops[i][0]] for i in self.shut}
        every = range(len(facts.names))
        drawn = {i for i in every if facts.lane[i] not in heads} | set(heads.values())
        self.kept = sorted(drawn)
        at = {i: place for place, i in enumerate(self.kept)}
        self.place = [at[heads.get(facts.lane[i], i)] for i in every]
        self.edges = [i for i, (a, _) in enumerate(facts.pairs) if facts.lane[a] not in self.shut]

    def crossing(self, links: list[Link]) -> list[Link]:
        """Leave out the links that stay inside one box."""
        return [n for n in links if self.place[n.source] != self.place[n.target]]

    def inside(self, i: int) -> tuple[str, ...]:
        """Name the nodes that a box stands for; none for that of a node."""
        facts, lane = self.facts, self.facts.lane[i]
        if lane not in self.shut:
            return ()
        return tuple(n for n, at in zip(facts.names, facts.lane, strict=True) if at == lane)

    def size(self, i: int, *, live: bool) -> tuple[float, float]:
        """Say how large a box is."""
        if self.inside(i):
            return _WIDTH[live] + 40, _HEIGHT[live]
        return box_size(self.facts, self.facts.names[i], live=live)

    def box(self, i: int, frame: Rect) -> Box:
        """Draw the box of a node, or of a folded loop."""
        nodes, name = self.inside(i), self.facts.names[i]
        if not nodes:
            return _box(self.facts, i, frame)
        label = shorten(" + ".join(self.facts.lane_loops[self.facts.lane[i]]), 116, NAME_SIZE)
        tip = f"folded: {', '.join(map(brief, nodes[:_TOLD]))}{', …' * (len(nodes) > _TOLD)}"
        word, shape = f"{len(nodes)} node{'s' * (len(nodes) > 1)}", outline("folded", frame)
        return Box(f"n{i}", name, "folded", label, word, "", tip, False, frame, shape, nodes)


def _texts(facts: Captions, name: str) -> tuple[str, str]:
    return shorten(name, _ROOM[0], NAME_SIZE), shorten(facts.word(name), _ROOM[1], WORD_SIZE)


def _box(facts: Captions, i: int, frame: Rect) -> Box:
    name = facts.names[i]
    kind, (label, word) = facts.kind(name), _texts(facts, name)
    held, shape = bool(facts.holding[i]), outline(kind, frame)
    return Box(
        f"n{i}", name, kind, label, word, facts.badge(name), facts.tip(name), held, frame, shape
    )


def _links(facts: Captions) -> list[Link]:
    """Collect queue links and drawn queue edges; those of one queue share a bundle."""
    flow = facts.workflow
    drawn = [(e.source, e.target) for e in flow.edges.values() if flow.is_queue_edge(e)]
    pairs = dict.fromkeys([*flow.queue_links(), *drawn])
    queues = {a: (n.queue.name if (n := flow.nodes[a]).queue else a) for a, _ in pairs}
    number = {queue: i for i, queue in enumerate(dict.fromkeys(queues.values()))}
    return [Link(facts.index[a], facts.index[b], number[queues[a]]) for a, b in pairs]


def _flow_lines(fold: _Fold, placed: Swimlanes, labels: list[str]) -> list[Line]:
    lines = []
    for at, i in enumerate(fold.edges):
        edge, style = fold.facts.edges[i], fold.facts.style[i]
        tip = f"{brief(edge.source)} -> {brief(edge.target)}: {_LINE_WORDS[style]}" + (
            f", when {labels[at]}" if labels[at] else ""
        )
        tip += ", deep-copied" * edge.copy + f". {edge.description}" * bool(edge.description)
        path, spot = placed.routes[at], placed.labels[at]
        lines.append(Line(f"e{i}", edge.source, edge.target, style, path, labels[at], spot, tip))
    return lines


def _queue_lines(fold: _Fold, links: list[Link], paths: tuple[Path, ...]) -> list[Line]:
    lines, facts = [], fold.facts
    for i, (link, path) in enumerate(zip(links, paths, strict=True)):
        a, b = facts.names[link.source], facts.names[link.target]
        node = facts.workflow.nodes[a]
        queue = f"queue {node.queue.name}" if node.queue else "queue"
        lines.append(
            Line(
                f"q{i}",
                facts.names[fold.kept[fold.place[link.source]]],
                facts.names[fold.kept[fold.place[link.target]]],
                QUEUED,
                path,
                "",
                None,
                f"{brief(a)} -> {brief(b)}: through {brief(queue)}",
            )
        )
    return lines


def _said(line: Line) -> str:
    return _LINE_WORDS[line.style] + (f", when {line.label}" if line.label else "")


_SAMPLE: Final = 34.0
_LEFT: Final = 2.0
_WORDS: Final = 24.0  # below the top of a box
_EMPTY: Final = "no nodes yet: add_producer(...), add_node(...), add_edge(...)"


def draw(scene: Scene) -> Picture:
    """Draw a scene."""
    groups = [_lane(lane) for lane in scene.lanes if lane.title]
    groups += [_line(line) for line in scene.lines]
    groups += [_chip(line) for line in scene.lines if line.spot]
    groups += [_draw_box(box) for box in scene.boxes]
    groups += [_badge(box) for box in scene.boxes if box.badge]
    wide, high = scene.width, scene.height
    if not scene.boxes:
        wide, high = width(_EMPTY, WORD_SIZE), 24.0
        groups.append(Group((Writing(0, 16, _EMPTY, "note", "start"),)))
    legend, wide, high = _legend(scene, wide, high)
    return Picture(
        f"Workflow {brief(scene.name)}",
        scene.description,
        wide,
        high,
        tuple(groups + legend),
        looks=LOOKS if any(box.nodes for box in scene.boxes) else {},
    )


def _lane(lane: Swimlane) -> Group:
    frame = lane.frame
    title = Writing(frame.x + 14, frame.y + 8 + TITLE_SIZE, lane.title, "lane-title", "start")
    return Group((Mark(round_box(frame, 8), "lane", closed=True), title), lane.id)


def _line(line: Line) -> Group:
    return Group(arrow(line.path, line.style), line.id, line.tip)


def _chip(line: Line) -> Group:
    x, y = line.spot or (0.0, 0.0)
    wide = width(line.label, WORD_SIZE) + 12
    chip = round_box(Rect(x - wide / 2, y - 9, wide, 18), 9)
    return Group((Mark(chip, "chip", closed=True), Writing(x, y + 4, line.label, "chip-text")))


def _draw_box(box: Box) -> Group:
    x, y = box.frame.middle[0], box.frame.y + _WORDS
    if box.kind == "queue_reader":
        x += 4  # its hollow end moves the middle
    elif box.kind == "queue":
        x -= 4
    parts: list[Mark | Writing] = [Mark(box.outline, box.kind, closed=True)]
    inner = rim(box.kind, box.frame)
    if inner:
        parts.append(Mark(inner, box.kind))
    parts.append(Writing(x, y - 2 if box.word else y + 5, box.label, "name"))
    parts += [Writing(x, y + WORD_SIZE + 3, box.word, "word")] * bool(box.word)
    return Group(tuple(parts), box.id, box.tip)


def _badge(box: Box) -> Group:
    wide = width(box.badge, 10) + 12
    left, y = box.frame.x + 8, box.frame.y
    shape = round_box(Rect(left, y - 8, wide, 16), 8)
    text = Writing(left + wide / 2, y + 3.5, box.badge, "badge-text")
    return Group((Mark(shape, "badge", closed=True), text))


def _legend(scene: Scene, wide: float, high: float) -> tuple[list[Group], float, float]:
    """Explain the lines that occur, in as many rows as the width asks for."""
    groups: list[Group] = []
    x, y = _LEFT, high + 20
    told = [style for style in scene.styles if style != NEXT]  # the only line there is
    for style in told:
        text = _LINE_WORDS[style]
        room = _SAMPLE + 8 + width(text, WORD_SIZE)
        if x > _LEFT and x + room > wide:
            x, y = _LEFT, y + 18
        sample: Path = ((x, y), (x + _SAMPLE, y))
        words = Writing(x + _SAMPLE + 8, y + 4, text, "note", "start")
        groups.append(Group((*arrow(sample, style), words)))
        wide, x = max(wide, x + room), x + room + 24
    return groups, wide, (y + 8 if groups else high)
