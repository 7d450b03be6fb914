"""Does a layout keep its promises: nothing overlaps, nothing runs through a box?"""

from __future__ import annotations

import time
from itertools import combinations, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownb.notebook.graph.layout.layers import back_edges, columns
from flownb.notebook.graph.layout.layout import LABEL_HEIGHT, layout, monotone
from flownb.notebook.graph.layout.swimlanes import Link, lay_swimlanes
from flownb.notebook.picture.shapes import Rect, path, rounded
from tests.support.machine import slowness

SIDES = st.sampled_from([10.0, 44.0, 80.0, 133.0])
LABELS = st.sampled_from([0.0, 0.0, 30.0, 90.0])


@st.composite
def graphs(draw, most=12):
    count = draw(st.integers(0, most))
    node = st.integers(0, max(0, count - 1))
    edges = draw(st.lists(st.tuples(node, node), max_size=2 * count if count else 0))
    sizes = [(draw(SIDES), draw(SIDES)) for _ in range(count)]
    return sizes, edges, [draw(LABELS) for _ in edges]


def trace(route):
    """Points along a path, close enough to find a box it runs through."""
    for before, step in pairwise(route):
        a = before[-2:]
        c1, c2, b = (step[:2], step[2:4], step[4:]) if len(step) == 6 else (a, step, step)
        for i in range(41):
            t, u = i / 40, 1 - i / 40
            w = (u**3, 3 * u * u * t, 3 * u * t * t, t**3)
            if len(step) == 2:
                yield tuple(p * u + q * t for p, q in zip(a, b, strict=True))
            else:
                yield tuple(
                    sum(k * p[axis] for k, p in zip(w, (a, c1, c2, b), strict=True))
                    for axis in (0, 1)
                )


def inside(box, point):
    x, y = point
    return box.x + 0.1 < x < box.right - 0.1 and box.y + 0.1 < y < box.bottom - 0.1


def assert_no_route_through_a_box(boxes, routes):
    for route in routes:
        for point in trace(route):
            assert not any(inside(box, point) for box in boxes)


@given(graphs())
def test_no_two_boxes_overlap(graph):
    boxes = layout(*graph).boxes
    assert not any(a.overlaps(b, margin=5) for a, b in combinations(boxes, 2))


@given(graphs())
def test_no_edge_runs_through_a_box(graph):
    made = layout(*graph)
    assert_no_route_through_a_box(made.boxes, made.routes)


@given(graphs())
def test_everything_lies_on_the_sheet(graph):
    made = layout(*graph)
    sheet = Rect(-0.2, -0.2, made.width + 0.4, made.height + 0.4)
    assert all(inside(sheet, (b.x + 0.2, b.y + 0.2)) for b in made.boxes)
    assert all(b.right <= made.width + 0.1 and b.bottom <= made.height + 0.1 for b in made.boxes)
    assert all(inside(sheet, point) for r in made.routes for point in trace(r))


@given(graphs())
def test_labels_overlap_neither_boxes_nor_each_other(graph):
    made = layout(*graph)
    _, _, widths = graph
    labels = [
        Rect(spot[0] - w / 2, spot[1] - LABEL_HEIGHT / 2, w, LABEL_HEIGHT)
        for spot, w in zip(made.labels, widths, strict=True)
        if spot
    ]
    assert len(labels) == sum(w > 0 for w in widths)
    assert not any(a.overlaps(b) for a in labels for b in made.boxes)
    assert not any(a.overlaps(b, margin=-0.1) for a, b in combinations(labels, 2))


@given(graphs())
def test_edges_lead_from_a_right_side_to_a_left_side(graph):
    made = layout(*graph)
    for (a, b), route in zip(graph[1], made.routes, strict=True):
        source, target = made.boxes[a], made.boxes[b]
        assert route[0] == pytest.approx((source.right, source.middle[1]))
        assert route[-1][-2:] == pytest.approx((target.x, target.middle[1]))


@given(graphs())
def test_the_same_graph_gives_the_same_layout(graph):
    assert layout(*graph) == layout(*graph)


@given(graphs())
def test_without_the_back_edges_there_is_no_cycle(graph):
    sizes, edges, _ = graph
    back = back_edges(len(sizes), edges)
    kept = [e for e, b in zip(edges, back, strict=True) if not b]
    assert not any(back_edges(len(sizes), kept))
    cells = columns(len(sizes), edges, [1] * len(edges))
    assert all(cells.column[a] < cells.column[b] for a, b in kept)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), max_size=8))
def test_fitted_heights_rise_and_are_nearest_to_the_wishes(pairs):
    wishes, weights = [float(w) for w, _ in pairs], [k for _, k in pairs]
    fitted = monotone(wishes, weights)
    assert fitted == sorted(fitted)

    def cost(values):
        return sum(k * abs(v - w) for v, w, k in zip(values, wishes, weights, strict=True))

    best = {0.0: 0.0}  # least cost of a rising start that ends at or below a height
    for wish, weight in zip(wishes, weights, strict=True):
        low, now = float("inf"), {}
        for height in sorted({*wishes, *best}):
            low = min(low, best.get(height, float("inf")))
            now[height] = low + weight * abs(height - wish)
        best = now
    assert cost(fitted) == pytest.approx(min(best.values()))


def test_the_first_of_two_arms_is_straight():
    made = layout([(60, 40)] * 4, [(0, 1), (1, 2), (0, 3)])
    assert [len(route) for route in made.routes[:2]] == [2, 2]
    assert made.boxes[3].y > made.boxes[1].y


def test_a_node_stands_right_of_everything_before_it():
    made = layout([(60, 40)] * 4, [(0, 1), (1, 2), (2, 3), (0, 3)])
    assert [b.x for b in made.boxes] == sorted(b.x for b in made.boxes)


def test_nodes_without_edges_fill_rows_and_not_one_column():
    made = layout([(100, 40)] * 30, [])
    assert made.width <= 760
    assert made.height < 300


def test_an_empty_graph_has_an_empty_layout():
    assert layout([], []).boxes == ()


def test_a_path_drops_pieces_without_length_and_joins_straight_ones():
    assert path((0, 0), [(0, 0), (3, 0), (7, 0), (7, 0)]) == ((0, 0), (7, 0))


def test_a_short_corner_is_rounded_less():
    assert rounded([(0, 0), (2, 0), (2, 9)], 8)[1] == (1.0, 0.0)


@st.composite
def lanes(draw):
    """Some connected groups, and links between any of their nodes."""
    sizes, edges, groups = [], [], []
    for g in range(draw(st.integers(1, 4))):
        first = len(sizes)
        for i in range(draw(st.integers(1, 5))):
            sizes.append((draw(SIDES), 44.0))
            groups.append(g)
            if i:
                edges.append((draw(st.integers(first, first + i - 1)), first + i))
    node = st.integers(0, len(sizes) - 1)
    links = draw(st.lists(st.builds(Link, node, node, st.integers(0, 2)), max_size=5))
    heads = [draw(st.sampled_from([0.0, 200.0])) for _ in range(groups[-1] + 1)]
    return sizes, edges, [0.0] * len(edges), groups, heads, links


@given(lanes())
def test_lanes_stand_under_each_other_and_hold_their_boxes(given_lanes):
    made = lay_swimlanes(*given_lanes)
    groups = given_lanes[3]
    assert not any(a.overlaps(b, margin=5) for a, b in combinations(made.boxes, 2))
    assert not any(a.overlaps(b, margin=5) for a, b in combinations(made.lanes, 2))
    for box, group in zip(made.boxes, groups, strict=True):
        lane = made.lanes[group]
        assert lane.x < box.x
        assert box.right < lane.right
        assert lane.y < box.y
        assert box.bottom < lane.bottom


@given(lanes())
def test_no_link_runs_through_a_box_or_off_the_sheet(given_lanes):
    made = lay_swimlanes(*given_lanes)
    assert_no_route_through_a_box(made.boxes, made.links)
    assert_no_route_through_a_box(made.boxes, made.routes)
    sheet = Rect(-0.2, -0.2, made.width + 0.4, made.height + 0.4)
    assert all(inside(sheet, point) for link in made.links for point in trace(link))


def test_a_reader_stands_below_its_queue_where_there_is_room():
    sizes, groups = [(80, 44)] * 5, [0, 0, 0, 0, 1]
    edges = [(0, 1), (1, 2), (2, 3)]
    made = lay_swimlanes(sizes, edges, [0.0] * 3, groups, [100, 100], [Link(3, 4, 0)])
    assert made.boxes[4].middle[0] == made.boxes[3].middle[0]
    assert len(made.links[0]) == 2


def random_graph(count, edges):
    rng = Random(7)
    lines = {(rng.randrange(max(0, j - 12), j), j): None for j in range(1, count)}
    while len(lines) < edges:
        a = rng.randrange(count - 1)
        lines[a, min(count - 1, a + 1 + rng.randrange(20))] = None
    return [(110.0, 48.0)] * count, list(lines)


@pytest.mark.wallclock
@pytest.mark.parametrize(("count", "limit"), [(300, 0.1), (1000, 1.0)])
def test_a_large_graph_is_laid_out_in_time(count, limit):
    graph = random_graph(count, count * 3 // 2)

    def once():
        start = time.process_time()
        layout(*graph)
        return time.process_time() - start

    assert min(once() for _ in range(3)) < limit * slowness()


def test_a_chain_of_five_thousand_nodes_is_an_ordinary_input():
    made = layout([(60, 40)] * 5000, [(i, i + 1) for i in range(4999)])
    assert all(len(route) == 2 for route in made.routes)
