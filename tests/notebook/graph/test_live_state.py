"""Is the picture of what runs tidy, however much there is to say?"""

from __future__ import annotations

import itertools

import pytest

from flownb.notebook.graph.live_state import NodeNow, Now, Wait, _chip, rooms
from flownb.notebook.graph.scene import scene
from flownb.notebook.picture.shapes import Writing
from flownb.notebook.picture.text import width
from tests.support import samples

BUSY = NodeNow("failing", 1_234_567, 98_765, 123.4, 3, 7)
CALM = NodeNow("healthy", 1_234, 0, 12.3)


def spans(found, node):
    """Give (left, right, bottom) of each chip."""
    wide = rooms(found.boxes)
    for box in found.boxes:
        chip = _chip(box, Now({box.name: node}), wide[box.id])
        (text,) = [p for p in chip.parts if isinstance(p, Writing) and p.look == "live-text"]
        half = (width(text.text, 11) + 28) / 2
        yield box.frame.middle[0] - half, box.frame.middle[0] + half, box.frame.bottom


@pytest.mark.parametrize("make", [samples.weather, samples.worked, samples.nasty])
@pytest.mark.parametrize("node", [BUSY, CALM], ids=["busy", "calm"])
def test_no_two_chips_overlap(make, node):
    chips = list(spans(scene(make(), live=True), node))
    for (left, right, y), (other, end, at) in itertools.combinations(chips, 2):
        assert abs(y - at) >= 18 or right <= other or end <= left


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (400, "1.23M · 123/s · 98.8k failed"),
        (180, "1.23M · 123/s · 98.8k ✕"),
        (1, "1.23M · 98.8k ✕"),
    ],
)
def test_a_chip_says_less_where_there_is_less_room_but_failures_always(room, said):
    box = scene(samples.weather(), live=True).boxes[1]
    texts = [p.text for p in _chip(box, Now({"check": BUSY}), room).parts if isinstance(p, Writing)]
    assert texts == ["✕", said]


def test_a_wait_for_several_nodes_reads_as_a_sentence_with_a_unit():
    assert str(Wait("p", ("a", "b", "c"), 0.0771, "wait")) == "p waits for a, b and c, 77 ms"
    assert str(Wait("p", ("q",), 2.04, "throttled")) == "p waits for room in q, 2 s"
