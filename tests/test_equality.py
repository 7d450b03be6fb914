"""Are two different values kept apart, whatever their `==` does?"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from flownb import Graph
from flownb.equality import equal, unchanged
from flownb.errors import SimulationError


class Plain:
    def __init__(self):
        self.rows = [1]


class Slotted:
    __slots__ = ("rows",)

    def __init__(self):
        self.rows = [1]


class Raises(Plain):
    __hash__ = None

    def __eq__(self, other):
        raise ValueError


@dataclass
class Held:
    rows: object


class Table:
    """As polars has it: `==` gives a table, `equals` an answer."""

    def __init__(self):
        self.rows = [1]

    __hash__ = None

    def __eq__(self, other):
        return self

    def __bool__(self):
        raise TypeError

    def equals(self, other):
        return self.rows == other.rows


def frame():
    return pd.DataFrame({"a": [1.0, float("nan")], "b": ["x", None]})


def appended(value):
    value.rows.append(2)


def held(value):
    value.rows[0] = 9


CASES = [
    (frame, lambda x: x.insert(0, "c", 1)),
    (frame, lambda x: setattr(x, "columns", ["z", "b"])),
    (frame, lambda x: setattr(x, "index", [5, 6])),
    (lambda: frame()["a"], lambda x: x.__setitem__(0, 5)),
    (lambda: np.array([1.0, float("nan")]), lambda x: x.__setitem__(0, 5)),
    (lambda: np.array([[1], [2]], dtype=object), lambda x: x.__setitem__(0, 5)),
    (lambda: {"a": np.zeros(2), "b": float("nan")}, lambda x: x["a"].fill(1)),
    (lambda: [frame()], lambda x: x[0].insert(0, "c", 1)),
    (lambda: [1, True, 1.0], lambda x: x.__setitem__(1, 1)),
    (lambda: {1, 2}, lambda x: x.add(3)),
    (Plain, appended),
    (Slotted, appended),
    (Raises, appended),
    (Table, appended),
    (lambda: Held(np.zeros(2)), held),
]


@pytest.mark.parametrize(("make", "change"), CASES)
def test_a_change_in_place_is_seen_and_nothing_else_is(make, change):
    value = make()
    before = copy.deepcopy(value)
    assert unchanged(value, before)
    change(value)
    assert not unchanged(value, before)


@pytest.mark.parametrize(("make", "change"), CASES)
def test_a_node_that_changes_what_it_shares_is_named(make, change):
    graph = Graph("m").add_producer("P", [make()]).add_node("a", change).add_node("b", lambda _: 1)
    graph.add_edge("P", "a").add_edge("P", "b")
    with pytest.raises(SimulationError, match=r"node 'a' .* changed a payload"):
        graph.simulate(check_mutation=True)


def test_objects_without_an_equality_are_equal_to_themselves_only():
    one = Plain()
    assert equal(one, one)
    assert not equal(one, Plain())
    assert not equal({"f": lambda: 1}, {"f": lambda: 1})
    assert not equal(1, True)
    assert not equal(1, 1.0)


def test_a_value_that_holds_itself_is_compared():
    a: list = [1]
    a.append(a)
    assert unchanged(a, copy.deepcopy(a))


def test_a_payload_that_cannot_be_copied_is_told_and_goes_on():
    graph = Graph("m").add_producer("P", [iter(()), (x for x in [1])]).add_node("a").add_node("b")
    sim = graph.add_edge("P", "a").add_edge("P", "b").simulate(check_mutation=True)
    assert sim.metrics["P"].done == 2
    assert "cannot be copied, so nobody looks" in sim.logs()[0].text


@pytest.mark.parametrize("value", [np.zeros(3), frame(), Raises(), Table(), [np.zeros(2)]])
def test_a_cell_with_any_resource_or_config_runs_twice(value):
    graph = Graph("g").add_producer("p", [1]).add_node("n", config=value)
    graph.set_loop("p", resources={"model": value})
    version = graph.version
    graph.add_node("n", config=value).set_loop("p", resources={"model": value})
    assert graph.version == version
    graph.set_loop("p", resources={"model": copy.deepcopy(value)})
