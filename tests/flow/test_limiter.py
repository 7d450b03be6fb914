"""Does a `Limiter` let in whom a `Limit` lets in, in turn, and not before?"""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from flownb.flow.limiter import Limiter


def started(limiter, now=0.0):
    """All that may start at *now*."""
    found = []
    while (first := limiter.first) is not None and not limiter.is_full:
        found.append(limiter.start_next(now))
        assert found[-1][0] == first
    return found


def waiting(*calls, concurrency=1, gap=None):
    """A limiter whose one place is taken, and behind it calls as (name, whose, order)."""
    limiter = Limiter(concurrency, gap)
    assert limiter.start(0.0)
    for call in calls:
        limiter.wait(*call)
    return limiter


def served(limiter):
    """Who is let in, one when the other has ended."""
    order = []
    while limiter.first is not None:
        limiter.end()
        order += [call for call, _ in started(limiter)]
    return order


def test_a_call_that_need_not_wait_starts_at_once():
    limiter = Limiter(2, None)
    assert [limiter.start(0.0) for _ in range(3)] == [True, True, False]
    limiter.end()
    assert limiter.start(0.0)


def test_nobody_overtakes_those_who_wait():
    limiter = waiting(("a", "loop", 1))
    limiter.end()
    assert not limiter.start(0.0)
    assert started(limiter) == [("a", 0.0)]


def test_those_who_wait_take_turns_and_each_sends_its_lowest():
    calls = [("a9", "a", 9), ("a8", "a", 8), ("b1", "b", 1), ("a7", "a", 7), ("b0", "b", 0)]
    assert served(waiting(*calls)) == ["a7", "a8", "b0", "a9", "b1"]


def test_of_equals_the_first_comes_first():
    calls = [(f"c{i}", None, 0) for i in range(9)]
    assert served(waiting(*calls)) == [name for name, *_ in calls]


def test_who_waits_no_more_loses_the_last_turn_of_its_kind():
    limiter = waiting(("a1", "a", 1), ("b1", "b", 1), ("a2", "a", 2), ("b2", "b", 2))
    limiter.forget("a1", "a")
    limiter.forget("never waited", "a")
    limiter.forget("a2", "b")  # nor among those
    assert served(limiter) == ["a2", "b1", "b2"]


def test_starts_keep_their_distance_from_the_first_to_the_last():
    limiter = Limiter(None, 0.5)
    assert limiter.start(10.0)
    assert not limiter.start(10.4)
    for i in range(3):
        limiter.wait(i, None, 0)
    assert started(limiter, 10.4) == [(0, 10.5), (1, 11.0), (2, 11.5)]
    assert not limiter.start(11.9)
    assert limiter.start(12.0)


def test_a_place_is_held_from_the_moment_it_is_given_though_its_call_starts_later():
    limiter = waiting(("a", None, 0), ("b", None, 0), concurrency=2, gap=1.0)
    assert started(limiter) == [("a", 1.0)]
    assert limiter.is_full
    assert limiter.first == "b"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_no_limit_is_passed_and_nobody_is_forgotten(seed):
    rng = Random(seed)
    most, gap = rng.choice([None, 1, 3]), rng.choice([None, 3])
    limiter, now, ends, starts, let_in, asked, left = Limiter(most, gap), 0, [], [], [], 0, []
    for _ in range(300):
        now += rng.randint(0, 2)
        for end in [e for e in ends if e <= now]:
            ends.remove(end)
            limiter.end()
        asked += 1
        if limiter.start(now):
            come = [(asked, now)]
        else:
            limiter.wait(asked, asked % 3, asked)
            if rng.random() < 0.1:
                limiter.forget(asked, asked % 3)
                left.append(asked)
            come = []
        come += started(limiter, now)
        for call, when in come:
            assert when >= now
            let_in.append(call)
            starts.append(when)
            ends.append(when + rng.randint(0, 5))
        assert most is None or len(ends) <= most
    while limiter.first is not None:
        limiter.end()
        let_in += [call for call, _ in started(limiter, now)]
    assert sorted(let_in + left) == list(range(1, asked + 1))
    assert gap is None or all(b - a >= gap for a, b in pairwise(starts))
