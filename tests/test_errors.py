"""Do errors keep what they say when they come from another process?"""

from __future__ import annotations

import pickle

import pytest

from flownb.errors import FlowError, GraphError, NodeFailed


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
