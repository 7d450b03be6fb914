"""Where is each behaviour case from other engines' suites tried? A list that cannot rot."""

from __future__ import annotations

import pytest

from tests.support.machine import is_tried

CASES, FAILURES = "engine/runs/test_run_cases.py", "engine/runs/test_run_failures.py"
STATE, CYCLES = "engine/runs/test_run_state.py", "engine/runs/test_run_cycles.py"
PARALLEL, RESUME = "engine/runs/test_run_parallel.py", "engine/runs/test_resume.py"

SHOWN = {
    "1 two steps of +1; a step limit is an error": [
        (CASES, "two_steps_of_plus_one"), (CYCLES, "a_step_limit_of_one"),
    ],
    "3 a join behind arms of unequal length runs once": [(STATE, "a_diamond_with_arms")],
    "4 the same, reached by a condition": [(CYCLES, "a_diamond_reached_by_a_condition")],
    "7 parallel nodes of 1 s and 2 s": [(PARALLEL, "two_sleeps_of_one_and_two")],
    "9 state accumulates across runs of one id": [(CASES, "a_total_that_is_kept")],
    "12 backoff, attempts, first attempt's time": [
        (FAILURES, "fail_fail_succeed"), (CASES, "the_time_of_the_first_attempt"),
    ],
    "13 the original exception": [(FAILURES, "when_attempts_are_used_up")],
    "14 policies by exception type": [
        (FAILURES, "of_several_policies"), (FAILURES, "no_error_class"),
    ],
    "16 timeouts": [
        (FAILURES, "a_timeout_cannot_be_swallowed"), (FAILURES, "the_nodes_own_timeout"),
        (CASES, "what_comes_after_a_timeout"),
    ],
    "17 a sync sleep in an async node": [(CASES, "a_sync_sleep_inside_an_async_node")],
    "18 error handlers": [
        (FAILURES, "a_handler_runs_once"), (FAILURES, "a_handler_may_send"),
        (FAILURES, "a_handler_that_fails"),
    ],
    "19 the first branch that matches": [(FAILURES, "a_verdict_without_an_edge")],
    "21 the first result cancels its siblings": [(CASES, "the_first_result_wins")],
    "22 None, 0 and an empty text pass on": [(STATE, "none_zero_and_an_empty_text")],
    "23 continue on error": [
        (FAILURES, "going_on_runs_sibling"), (FAILURES, "without_it_the_dependent"),
        (FAILURES, "of_a_tolerated_and_a_hard"), (CASES, "of_a_tolerated_and_a_hard"),
    ],
    "25 cancel wins": [(FAILURES, "cancel_wins_over_a_failure")],
    "27 a changed graph, a failing store": [
        (RESUME, "a_changed_graph_is_refused"), (RESUME, "a_store_that_fails_fails"),
    ],
    "29 max_concurrency": [(PARALLEL, "never_more_than_max_concurrency")],
    "32 a map that failed goes on behind": [
        (CASES, "a_map_that_failed"), (CASES, "an_item_that_failed_is_passed_over"),
    ],
    "34 what was removed no longer receives": [
        ("engine/orchestrator/test_generations.py", "a_node_can_be_removed_while_it_runs"),
    ],
    "own: a blocking and a non-blocking sibling": [
        ("flow/test_policies.py", "a_blocking_sibling_is_awaited"),
    ],
    "own: an if whose arms wait and do not": [("flow/test_policies.py", "the_worked_examples")],
    "own: blocking below non-blocking": [("flow/test_policies.py", "the_worked_examples")],
    "own: a pause between two items": [
        ("engine/loop/test_rules_life.py", "a_pause_between_two_items"),
    ],
    "own: two readers wake up in order": [
        ("engine/loop/test_rules_readers.py", "two_competing_readers"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", SHOWN)
def test_a_case_is_tried_where_the_list_says(case: str) -> None:
    for file, start in SHOWN[case]:
        assert is_tried(file, start), (file, start)
