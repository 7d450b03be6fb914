"""Do the policies mean what they say, and refuse what could never work?"""

from __future__ import annotations

import copy
import pickle
from random import Random

import cloudpickle
import pytest

from flownb.errors import GraphError
from flownb.model.policies import OTHERWISE, Limit, Retry
from flownb.model.workflow import Workflow


def test_the_waits_grow_exponentially_up_to_the_longest():
    retry = Retry(on=OSError, wait_initial=0.1, wait_max=1.0, wait_exp_base=3)
    assert [retry.wait(n) for n in range(1, 6)] == pytest.approx([0.1, 0.3, 0.9, 1.0, 1.0])


def test_a_wait_far_beyond_numbers_is_the_longest():
    assert Retry(on=OSError, wait_max=7).wait(10_000) == 7
    assert Retry(on=OSError, wait_max=7, wait_exp_base=2).wait(10_000) == 7


def test_jitter_comes_from_the_random_numbers_that_are_passed():
    retry = Retry(on=OSError, wait_initial=1, wait_jitter=0.5)
    drawn = [retry.wait(1, Random(seed)) for seed in range(50)]
    assert drawn == [retry.wait(1, Random(seed)) for seed in range(50)]
    assert all(1 <= wait <= 1.5 for wait in drawn)
    assert len(set(drawn)) == 50
    assert retry.wait(1) == 1


def test_a_retry_catches_classes_tuples_and_what_a_predicate_says():
    assert Retry(on=LookupError).catches(KeyError("x"))
    assert not Retry(on=(OSError, ValueError)).catches(KeyError("x"))
    assert not Retry(on=()).catches(KeyError("x"))
    assert Retry(on=lambda error: "busy" in str(error)).catches(RuntimeError("busy"))


@pytest.mark.parametrize("on", [123, "ValueError", int, (ValueError, "x"), None])
def test_what_is_no_error_filter_is_refused(on):
    with pytest.raises(TypeError, match="give an exception class, a tuple of them, or a predicate"):
        Retry(on=on)


@pytest.mark.parametrize(
    "option",
    [{"attempts": 0}, {"wait_initial": -1}, {"wait_jitter": -0.1}, {"wait_exp_base": 0}],
)
def test_figures_that_could_never_work_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        Retry(on=OSError, **option)


@pytest.mark.parametrize("figures", [{}, {"concurrency": 0}, {"per_second": 0}])
def test_a_limit_that_lets_nothing_or_everything_pass_is_refused(figures):
    with pytest.raises(ValueError, match=r"at least|give concurrency="):
        Limit(**figures)


def test_a_limit_shows_only_what_was_given():
    assert repr(Limit(2)) == "Limit(concurrency=2)"
    assert repr(Limit(per_second=0.5)) == "Limit(per_second=0.5)"


def test_a_limit_is_shared_by_identity_and_stays_so_across_a_pickle():
    limit = Limit(2)
    a, b = pickle.loads(pickle.dumps((limit, limit)))
    assert a is b
    assert Limit(2) != Limit(2)


def test_otherwise_is_one_thing_however_it_travels():
    assert copy.deepcopy([OTHERWISE])[0] is OTHERWISE
    assert pickle.loads(pickle.dumps(OTHERWISE)) is OTHERWISE
    assert cloudpickle.loads(cloudpickle.dumps(OTHERWISE)) is OTHERWISE
    assert repr(OTHERWISE) == "OTHERWISE"


def test_the_options_of_a_loop_name_the_wrong_word_and_the_right_ones():
    with pytest.raises(GraphError, match=r"await_policy='paths'.*none, node, blocking, path_live"):
        Workflow("g").set_loop("p", await_policy="paths")
    with pytest.raises(GraphError, match=r"restart='always'.*never, on_crash"):
        Workflow("g").set_loop("p", restart="always")
    graph = Workflow("g").set_loop("p", on_error=lambda failure: "skip")
    assert graph.loop_options("p").on_error(None) == "skip"
