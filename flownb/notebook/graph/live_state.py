"""How does the picture of a graph show what runs? Badges on the boxes, a word on the swimlanes.

The live view draws the same badges at the same places, and keeps them moving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from flownb.notebook.graph.scene import draw
from flownb.notebook.live.status import state_word
from flownb.notebook.picture.shapes import Group, Look, Mark, Picture, Rect, Writing, round_box
from flownb.notebook.picture.text import brief, seconds, width
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
_FREE: Final = 200.0  # and how far one may stand out where it has no neighbour
_LOOKS: Final = {
    "live": Look("bg", "frame", 1),
    "live-text": Look("fg", size=11),
    "live-idle": Look("dim", size=11),
    "live-healthy": Look("#009e73", size=11, bold=True),
    "live-retrying": Look("#c77c00", size=11, bold=True),
    "live-failing": Look("#d55e00", size=11, bold=True),
    "held": Look("none", "#d55e00", 2.5),
}


class NodeNow(NamedTuple):
    """How a node stands, in all its loops together; `rate` in calls per second."""

    state: NodeState
    calls: int = 0
    failed: int = 0
    rate: float = 0.0
    running: int = 0
    retries: int = 0


class LoopNow(NamedTuple):
    """How a loop stands; `rate` in released items per second, None if it has or says none."""

    state: LoopState
    released: int = 0
    rate: float | None = 0.0
    in_flight: int = 0
    slots: int = 0
    failed: int = 0
    elapsed: float = 0.0


class Wait(NamedTuple):
    """What holds a producer back: for whom, and for how many seconds each item."""

    loop: str
    nodes: tuple[str, ...]
    seconds: float
    kind: str

    def __str__(self) -> str:
        length = f"{seconds(float(f'{self.seconds:.2g}'))} s"
        if self.kind == "throttled":
            return f"{brief(self.loop)} is throttled: every slot is taken, {length}"
        names = " and ".join(brief(name) for name in self.nodes) or "its await set"
        return f"{brief(self.loop)} waits for {names}, {length}"


@dataclass(frozen=True, slots=True)
class Now:
    """How a graph stands at one moment; queues are (depth, pending, greatest length or 0)."""

    nodes: Mapping[str, NodeNow] = field(default_factory=dict)
    loops: Mapping[str, LoopNow] = field(default_factory=dict)
    queues: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    waits: tuple[Wait, ...] = ()


def draw_running(scene: Scene, now: Now) -> Picture:
    """Draw a scene with how everything stands; it was laid out with `live=True`."""
    base = draw(scene)
    held = {name for wait in now.waits for name in wait.nodes}
    groups = [*base.groups]
    groups += [_halo(box) for box in scene.boxes if box.name in held]
    wide = rooms(scene.boxes)
    groups += [_chip(box, now, wide[box.id]) for box in scene.boxes if box.name in now.nodes]
    groups += [_status(lane, now) for lane in scene.lanes if lane.loops]
    waits = [str(wait) for wait in now.waits]
    high = base.height
    for i, words in enumerate(waits[:4]):
        high = base.height + 20 * (i + 1)
        groups.append(Group((Writing(2, high - 6, words, "live-failing", "start"),)))
    broad = max([base.width, *(width(words, 11) for words in waits[:4])])
    said = ". ".join([base.description, *waits, *_said(now)])
    return replace(
        base, groups=tuple(groups), description=said, width=broad, height=high, looks=_LOOKS
    )


def _said(now: Now) -> list[str]:
    return [
        f"{brief(name)}: {node.state}, {node.calls:,} calls, {node.failed:,} failed"
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
    glyph = Writing(x + 12, y + 4, NODE_GLYPH[node.state], f"live-{node.state}")
    return Group(
        (shape, glyph, Writing(x + 21, y + 4, words, "live-text", "start")),
        tip=f"{brief(box.name)}: {node.state}",
    )


def _chip_words(node: NodeNow, queue: tuple[int, int, int] | None) -> list[str]:
    """Say how a node stands: in full, and shorter and shorter."""
    many = short(node.calls) if queue is None else f"{short(queue[0])} deep"
    rate = f" · {short(node.rate)}/s" if node.rate else ""
    failed = short(node.failed) if node.failed else ""
    if not failed:
        return [many + rate, many]
    return [f"{many}{rate} · {failed} failed", f"{many}{rate} · {failed} ✕", f"{many} · {failed} ✕"]


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
    flight = f" · {loop.in_flight}/{loop.slots} in flight" if loop.in_flight else ""
    return f"{called}{state_word(loop.state)} · {_pace(loop)}{flight}"


def _pace(loop: LoopNow) -> str:
    """Say how fast a loop is, or how much it did in which time."""
    if loop.state in ENDED:
        return f"{short(loop.released)} in {seconds(float(f'{loop.elapsed:.2g}'))} s"
    return "-/s" if loop.rate is None else f"{short(loop.rate)}/s"
