"""How is a scene drawn? Lanes first, then lines, then boxes, then the legend."""

from __future__ import annotations

from typing import Final

from flownb.analysis.geometry import Path, Rect
from flownb.notebook.ink import Group, Mark, Picture, Writing, arrow
from flownb.notebook.outlines import rim, round_box
from flownb.notebook.scene import (
    TITLE_SIZE,
    WORD_SIZE,
    Box,
    Lane,
    Line,
    Scene,
)
from flownb.notebook.words import brief, width

_LEGEND: Final = {
    "awaited": "awaited",
    "detached": "detached",
    "idle": "in no loop",
    "queued": "queue: asynchronous",
}
_SAMPLE: Final = 34.0
_LEFT: Final = 2.0
_WORDS: Final = 24.0  # below the top of a box
_EMPTY: Final = "no nodes yet: add_producer(...), add_node(...), add_edge(...)"


def draw(scene: Scene) -> Picture:
    """Draw a scene."""
    groups = [_lane(lane) for lane in scene.lanes if lane.title]
    groups += [_line(line) for line in scene.lines]
    groups += [_chip(line) for line in scene.lines if line.spot]
    groups += [_box(box) for box in scene.boxes]
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
    )


def _lane(lane: Lane) -> Group:
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


def _box(box: Box) -> Group:
    x, y = box.frame.middle[0], box.frame.y + _WORDS
    if box.kind == "queue_reader":
        x += 4  # its hollow end moves the middle
    elif box.kind == "queue":
        x -= 4
    parts: list[Mark | Writing] = [Mark(box.outline, box.kind, closed=True)]
    inner = rim(box.kind, box.frame)
    if inner:
        parts.append(Mark(inner, box.kind))
    parts.append(Writing(x, y - 2, box.label, "name"))
    parts.append(Writing(x, y + WORD_SIZE + 3, box.word, "word"))
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
    for style in scene.styles:
        text = _LEGEND[style]
        room = _SAMPLE + 8 + width(text, WORD_SIZE)
        if x > _LEFT and x + room > wide:
            x, y = _LEFT, y + 18
        sample: Path = ((x, y), (x + _SAMPLE, y))
        words = Writing(x + _SAMPLE + 8, y + 4, text, "note", "start")
        groups.append(Group((*arrow(sample, style), words)))
        wide, x = max(wide, x + room), x + room + 24
    return groups, wide, (y + 8 if groups else high)
