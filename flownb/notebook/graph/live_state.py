"""How does the picture of a graph show what runs? Badges on the boxes, a word on the swimlanes.

The live view draws the same badges at the same places, and keeps them moving.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log10
from typing import TYPE_CHECKING, Final, NamedTuple

from flownb.explain.reasons import both
from flownb.notebook.graph.scene import draw
from flownb.notebook.live.status import state_word
from flownb.notebook.picture.shapes import Group, Look, Mark, Picture, Rect, Writing, round_box
from flownb.notebook.picture.text import brief, clean, duration, in_all, width, wrapped
from flownb.records.events import ENDED

if TYPE_CHECKING:
    from flownb.notebook.graph.scene import Box, Scene, Swimlane
    from flownb.records.events import LoopState, NodeState

NODE_GLYPH: Final[Mapping[NodeState, str]] = {
    "idle": "○",
    "healthy": "●",
    "retrying": "↻",
    "failing": "✕",
}
_CHIP: Final = 18.0  # pixels: how high a badge is,
_BETWEEN: Final = 4.0  # what stays free between two,
_LANE: Final = 48  # letters of a reason beside a lane: the sentence below has all of it
_SENTENCES: Final = 4
_SENTENCE: Final = 600  # letters
_FREE: Final = 200.0  # and how far one may stand out where it has no neighbour
_LOOKS: Final = {
    "live": Look("bg", "frame", 1),
    "live-text": Look("fg", size=11),
    "live-idle": Look("dim", size=11),
    "live-healthy": Look("#009e73", size=11, bold=True),
    "live-retrying": Look("#c77c00", size=11, bold=True),
    "live-failing": Look("#d55e00", size=11, bold=True),
    "held": Look("none", "#d55e00", 2.5),
    "level": Look("#8a3f6b"),
}


class NodeNow(NamedTuple):
    """How a node stands, in all its loops together; `rate` in calls per second.

    `lately`: how many calls have failed in the last minute.
    """

    state: NodeState
    calls: int = 0
    failed: int = 0
    rate: float = 0.0
    running: int = 0
    retries: int = 0
    lately: int = 0

    @property
    def shown(self) -> NodeState:
        """How it is shown: what has failed lately is not healthy, whatever the last call did."""
        return "failing" if self.lately else self.state


class LoopNow(NamedTuple):
    """How a loop stands; `rate` in released items per second, None if it has or says none."""

    state: LoopState
    released: int = 0
    rate: float | None = 0.0
    in_flight: int = 0
    slots: int = 0
    failed: int = 0
    elapsed: float = 0.0
    reason: str = ""


class Says(NamedTuple):
    """A sentence about what is wrong; `node` is the one to look at, "" if it is of none."""

    level: str
    text: str
    loop: str = ""
    node: str = ""


class QueueNow(NamedTuple):
    """How a queue stands: messages in it, not acked, at most (0: any), and how many pushes wait."""

    depth: int
    pending: int
    maxlen: int = 0
    waiting: int = 0


class Wait(NamedTuple):
    """What holds a producer back: for whom, and for how many seconds each item."""

    loop: str
    nodes: tuple[str, ...]
    seconds: float
    kind: str

    def __str__(self) -> str:
        length = duration(self.seconds)
        if self.kind == "throttled":
            what = both([f"room in {brief(name)}" for name in self.nodes]) or "a slot"
            return f"{brief(self.loop)} waits for {what}, {length}"
        names = both([brief(name) for name in self.nodes]) or "its await set"
        return f"{brief(self.loop)} waits for {names}, {length}"


@dataclass(frozen=True, slots=True)
class Now:
    """How a graph stands at one moment, who waits, and what is wrong (the worst first)."""

    nodes: Mapping[str, NodeNow] = field(default_factory=dict)
    loops: Mapping[str, LoopNow] = field(default_factory=dict)
    queues: Mapping[str, QueueNow] = field(default_factory=dict)
    waits: tuple[Wait, ...] = ()
    says: tuple[Says, ...] = ()

    @property
    def words(self) -> list[str]:
        """What is wrong, then who waits and is not told of yet."""
        told = {says.loop for says in self.says}
        return [s.text for s in self.says] + [str(w) for w in self.waits if w.loop not in told]


_WORST: Final[tuple[NodeState, ...]] = ("failing", "retrying", "healthy", "idle")


def worst(states: Iterable[NodeState]) -> NodeState:
    """Say how several stand together."""
    return min(states, key=_WORST.index)


def gathered(now: Now, boxes: Sequence[Box]) -> Now:
    """Say the same of a picture in which loops are folded: their box tells of all items."""
    nodes, queues = {**now.nodes}, {**now.queues}
    for box in boxes:
        inside = [now.nodes[name] for name in box.nodes if name in now.nodes]
        for name in box.nodes:
            nodes.pop(name, None)
            queues.pop(name, None)
        if inside:
            loops = [now.loops[name] for name in box.nodes if name in now.loops]
            nodes[box.name] = NodeNow(
                worst(n.state for n in inside),
                sum(x.released for x in loops),
                sum(x.failed for x in loops),
                sum(x.rate or 0.0 for x in loops),
                sum(n.running for n in inside),
                sum(n.retries for n in inside),
                sum(n.lately for n in inside),
            )
    return replace(now, nodes=nodes, queues=queues)


def draw_running(scene: Scene, now: Now) -> Picture:
    """Draw a scene with how everything stands; it was laid out with `live=True`."""
    base, homes, now = draw(scene), scene.homes, gathered(now, scene.boxes)
    held = {homes[name] for wait in now.waits for name in wait.nodes if name in homes}
    groups = [*base.groups]
    failing = {homes[name] for name, node in now.nodes.items() if node.lately}
    groups += [_halo(box) for box in scene.boxes if box.id in held | failing]
    groups += [_level(box, now.queues[box.name]) for box in scene.boxes if box.name in now.queues]
    wide = rooms(scene.boxes)
    groups += [_chip(box, now, wide[box.id]) for box in scene.boxes if box.name in now.nodes]
    groups += [_status(lane, now) for lane in scene.lanes if lane.loops]
    said_ = [clean(words, _SENTENCE) for words in now.words]
    high = base.height
    lines = [line for words in said_[:_SENTENCES] for line in wrapped(words, base.width, 11)]
    for words in lines:
        high += 18
        groups.append(Group((Writing(2, high - 6, words, "live-failing", "start"),)))
    broad = max([base.width, *(width(words, 11) for words in lines)])
    said = ". ".join([base.description, *said_, *_said(now)])
    return replace(
        base,
        groups=tuple(groups),
        description=said,
        width=broad,
        height=high,
        looks={**base.looks, **_LOOKS},
    )


def _said(now: Now) -> list[str]:
    return [
        f"{brief(name)}: {node.shown}, {node.calls:,} calls, {node.failed:,} failed"
        for name, node in list(now.nodes.items())[:200]
    ]


def short(number: float) -> str:
    """Write a count in few letters, as the live view does.

    >>> [short(n) for n in (0, 999, 1234, 34_999, 1_500_000)]
    ['0', '999', '1.23k', '35k', '1.5M']
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def rooms(boxes: Sequence[Box]) -> dict[str, float]:
    """Give for each box how wide its badge may be: half way to its neighbours in a row."""
    bands: dict[int, list[Box]] = {}
    for box in boxes:
        for band in (-1, 0, 1):
            bands.setdefault(int(box.frame.bottom // _CHIP) + band, []).append(box)
    return {box.id: _room(box, bands[int(box.frame.bottom // _CHIP)]) for box in boxes}


def _room(box: Box, band: Sequence[Box]) -> float:
    f = box.frame
    gaps = [max(o.frame.x - f.right, f.x - o.frame.right) for o in band if o is not box]
    return f.width + max(0.0, min(gaps, default=_FREE) - _BETWEEN)


def _chip(box: Box, now: Now, room: float) -> Group:
    node, queue = now.nodes[box.name], now.queues.get(box.name)
    every = _chip_words(node, queue)
    words = next((w for w in every if width(w, 11) + 28 <= room), every[-1])
    wide = width(words, 11) + 28
    x, y = box.frame.middle[0] - wide / 2, box.frame.bottom
    shape = Mark(round_box(Rect(x, y - 9, wide, 18), 9), "live", closed=True)
    glyph = Writing(x + 12, y + 4, NODE_GLYPH[node.shown], f"live-{node.shown}")
    return Group(
        (shape, glyph, Writing(x + 21, y + 4, words, "live-text", "start")),
        tip=f"{brief(box.name)}: {node.shown}",
    )


def _chip_words(node: NodeNow, queue: QueueNow | None) -> list[str]:
    """Say how a node stands: in full, and shorter and shorter."""
    many = short(node.calls) if queue is None else _deep(queue)
    rate = f" · {short(node.rate)}/s" if node.rate else ""
    failed = short(node.failed) if node.failed else ""
    if not failed:
        return [many + rate, many]
    return [f"{many}{rate} · {failed} failed", f"{many}{rate} · {failed} ✕", f"{many} · {failed} ✕"]


def _deep(queue: QueueNow) -> str:
    most = f"/{short(queue.maxlen)}" if queue.maxlen else ""
    waits = f" · {short(queue.waiting)} wait" if queue.waiting else ""
    return f"{short(queue.depth)}{most} deep{waits}"


def fullness(queue: QueueNow) -> float:
    """Say how full a queue looks: of its greatest length if it has one, else on a log scale."""
    if queue.maxlen:
        return min(1.0, queue.depth / queue.maxlen)
    return min(1.0, log10(1 + queue.depth) / 4)  # 10,000 messages fill it


def _level(box: Box, queue: QueueNow) -> Group:
    """Draw how full a queue is into the foot of its box, beneath the words."""
    f, share = box.frame, fullness(queue)
    bar = Rect(f.x + 8, f.bottom - 14, (f.width - 24) * share, 4)
    return Group((Mark(round_box(bar, min(2, bar.width / 2)), "level", closed=True),) * (share > 0))


def _halo(box: Box) -> Group:
    f = box.frame
    return Group(
        (
            Mark(
                round_box(Rect(f.x - 6, f.y - 6, f.width + 12, f.height + 12), 13),
                "held",
                closed=True,
            ),
        )
    )


def _status(lane: Swimlane, now: Now) -> Group:
    words = "   ".join(_of_loop(name, now, len(lane.loops)) for name in lane.loops)
    at = lane.frame.right - 14, lane.frame.y + 20
    return Group((Writing(*at, words, "live-text", "end"),))


def _of_loop(name: str, now: Now, among: int) -> str:
    loop = now.loops.get(name)
    if loop is None:
        return ""
    called = f"{brief(name, 20)} " if among > 1 else ""
    if loop.reason and loop.state not in ENDED | {"running"}:
        return f"{called}{state_word(loop.state)}: {brief(loop.reason, _LANE)}"
    flight = f" · {loop.in_flight}/{loop.slots} in flight" if loop.in_flight else ""
    return f"{called}{state_word(loop.state)} · {_pace(loop)}{flight}"


def _pace(loop: LoopNow) -> str:
    """Say how fast a loop is, or how much it did in which time."""
    if loop.state in ENDED:
        return in_all(loop.released, loop.elapsed)
    return "-/s" if loop.rate is None else f"{short(loop.rate)}/s"
