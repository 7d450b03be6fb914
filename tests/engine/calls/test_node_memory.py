"""When has a node a thread of its own? Its `Memory` learns from its last call."""

from __future__ import annotations

from flownb.engine.calls.node_memory import SHORT, Memory


def test_a_node_takes_its_time_when_its_last_call_did():
    memory = Memory("0")
    assert not memory.long
    memory.timed(2 * SHORT)
    assert memory.long
    memory.timed(SHORT / 2)
    assert not memory.long


def test_another_function_under_the_same_name_begins_anew():
    memory = Memory("0")
    memory.timed(2 * SHORT)
    memory.streak = 3
    memory.renewed()
    assert (memory.long, memory.streak, memory.worked) == (False, 0, False)


def test_a_call_that_ends_well_ends_a_row_of_failures():
    memory = Memory("0")
    memory.streak = 3
    memory.succeeded()
    assert (memory.streak, memory.worked) == (0, True)
