"""Where is each requirement of the one-shot engine (S3, S4) tried? A list that cannot rot.

Each number names the tests that show it, or says why it has no meaning here; a test that
is renamed or lost fails this one.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

STATE, CYCLES = "engine/test_run_state.py", "engine/test_run_cycles.py"
FAILURES, PARALLEL = "engine/test_run_failures.py", "engine/test_run_parallel.py"
WATCHED, RUN, RESUME = "engine/test_run_watched.py", "engine/test_run.py", "engine/test_resume.py"

SHOWN = {
    "S3.3 graph, entry point, validation": [
        (CYCLES, "an_entry_point_that_is_not_there"), (CYCLES, "a_cycle_without_an_exit"),
    ],
    "S3.4 nodes are functions of the state, sync or async": [
        (STATE, "functions_from_state_to_state"), (PARALLEL, "two_sleeps"),
    ],
    "S3.5 edges with conditions": [(CYCLES, "a_diamond_reached_by_a_condition")],
    "S3.6 run id, state, status, logs, visited": [(RUN, "ten_becomes_twenty")],
    "S3.7 iteration limit": [(RUN, "a_cycle_goes_round"), (CYCLES, "each_node_may_have_a_limit")],
    "S3.8 dict state, condition functions": [(STATE, "a_node_never_sees")],
    "S3.9 tools": [(WATCHED, "tools_are_found_in_ctx")],
    "S3.14 log of time and duration": [(WATCHED, "the_log_says_when")],
    "S3.15 a returned dict updates the state": [(RUN, "ten_becomes_twenty")],
    "S3.16 fluent builder": [(CYCLES, "langgraphs_words")],
    "S3.17 dangling edges, state snapshot": [(FAILURES, "without_it_the_dependent")],
    "S3.18 failures are logged, manual retry": [(RESUME, "")],
    "S3.20 parallel independent branches": [(PARALLEL, "two_sleeps")],
    "S3.20 cached node results": [("engine/test_cache.py", "an_equal_input_gives")],
    "S3.21 load: many, large, deep": [
        (PARALLEL, "a_long_chain"), (PARALLEL, "deep_wide_and_many"),
    ],
    "S3.22 isolation of runs": [(RUN, "ten_runs_at_once"), (PARALLEL, "a_run_does_not_know")],
    "S3.23 MAX_ITERATIONS": [(CYCLES, "each_node_may_have_a_limit")],
    "S4.4 level by level": [(PARALLEL, "level_by_level")],
    "S4.5 retry, timeout": [(FAILURES, "fail_fail_succeed"), (FAILURES, "a_timeout_cannot")],
    "S4.7 phases: observed from start to end": [(WATCHED, "an_observer_hears")],
    "S4.9 backoff, error classes": [(FAILURES, "fail_fail_succeed"), (FAILURES, "no_error_class")],
    "S4.10 resume": [(RESUME, "")],
    "S4.11 cancel": [(FAILURES, "cancel_wins")],
    "S4.12 pool size, critical path first": [
        (PARALLEL, "never_more_than"), (PARALLEL, "grahams_bound"),
    ],
    "S4.15 metrics": [(WATCHED, "metrics_count")],
    "S4.16 observers": [(WATCHED, "an_observer_hears"), (WATCHED, "an_observer_that_raises")],
    "S4.17 logs": [(WATCHED, "what_nodes_print")],
    "S4.20 execute, cancel, status": [(FAILURES, "cancel_wins")],
    "S4.21 observer, metrics, error handler": [(FAILURES, "a_handler_runs_once")],
    "S4.22 middleware": [(WATCHED, "middleware_may_change")],
}  # fmt: skip

NO_MEANING_HERE = ("work stealing", "adaptive pools", "fine locks", "arenas", "backpressure")


@pytest.mark.parametrize("what", SHOWN)
def test_a_requirement_is_tried_where_the_list_says(what: str) -> None:
    for file, start in SHOWN[what]:
        tree = ast.parse((TESTS / file).read_text("utf-8"))
        names = [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        assert any(name.startswith(f"test_{start}") for name in names), (file, start)


def test_what_has_no_meaning_here_is_said_in_the_readme() -> None:
    readme = (TESTS.parent / "README.md").read_text("utf-8")
    assert [word for word in NO_MEANING_HERE if word not in readme] == []
