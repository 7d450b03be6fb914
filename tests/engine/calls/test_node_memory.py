"""When is a node called inline, and when in a thread? Its `Memory` learns from runs."""

from __future__ import annotations

from flownb.engine.calls.node_memory import PROBATION, RARE, SHORT, Memory

LONG = 2 * SHORT


def memory(*runs):
    made = Memory("0")
    for seconds in runs:
        made.timed(seconds)
    return made


def runs_until_short(made):
    count = 0
    while not made.short:
        made.timed(0)
        count += 1
    return count


def test_a_node_is_short_after_twenty_short_runs_in_a_row():
    assert runs_until_short(memory()) == PROBATION
    assert runs_until_short(memory(0, 0, 0, LONG)) == PROBATION


def test_each_longer_run_soon_after_makes_the_next_probation_twice_as_long():
    made = memory()
    counts = []
    for _ in range(4):
        counts.append(runs_until_short(made))
        made.timed(LONG)
    assert counts == [20, 40, 80, 160]


def test_one_longer_run_in_very_many_is_bad_luck():
    made = memory()
    runs_until_short(made)
    made.timed(LONG)
    assert runs_until_short(made) == 2 * PROBATION
    made.ran(RARE * 2 * PROBATION + 1)
    made.timed(LONG)
    assert not made.short
    assert runs_until_short(made) == PROBATION


def test_a_node_that_is_always_long_learns_no_ever_larger_number():
    made = memory(*[LONG] * 1000)
    assert runs_until_short(made) == PROBATION
