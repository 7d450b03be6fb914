"""Do errors keep what they say when they come from another process?"""

from __future__ import annotations

import pickle

import pytest

from flownb.errors import FlowError, GraphError, NodeFailed, told


def test_every_problem_is_an_argument_of_its_own():
    error = GraphError("one", "two")
    assert (str(error), error.problems) == ("one\ntwo", ("one", "two"))


@pytest.mark.parametrize(
    "error",
    [
        NodeFailed(loop="days", node="check", iteration=3, attempts=2, error="KeyError: 1"),
        NodeFailed("days", "check", 3, 1, "x"),
        GraphError("one", "two"),
    ],
)
def test_an_error_travels_whole(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    assert isinstance(again, FlowError)
    assert getattr(again, "node", None) == getattr(error, "node", None)
    assert getattr(again, "problems", None) == getattr(error, "problems", None)


class Unprintable(Exception):
    def __str__(self):
        raise OSError


def test_an_error_is_told_whatever_its_text():
    assert told(ValueError("x")) == "ValueError: x"
    assert told(Unprintable()) == "Unprintable: (its text cannot be had: str() raised OSError)"
    long = told(ValueError("x" * 9_999_999))
    assert len(long) < 2_100
    assert long.endswith("x… (9,999,999 characters)")
