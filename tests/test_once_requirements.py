"""Where is each requirement of the one-shot engine (S3, S4) tried? A list that cannot rot.

Each number names the tests that show it, or says why it has no meaning here; a test that
is renamed or lost fails this one.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.machine import is_tried

TESTS = Path(__file__).parent

STATE, CYCLES = "engine/runs/test_run_state.py", "engine/runs/test_run_cycles.py"
FAILURES, PARALLEL = "engine/runs/test_run_failures.py", "engine/runs/test_run_parallel.py"
TOOLS, STORES = "model/test_tools.py", "stores/test_stores.py"
DOCUMENT, WORKFLOW = "model/document/test_document.py", "model/test_workflow.py"
WATCHED, RUN, RESUME = (
    "engine/runs/test_run_watched.py",
    "engine/runs/test_run.py",
    "engine/runs/test_resume.py",
)

SHOWN = {
    "S3.1 S4.2 engine, interface and workflows are apart": [
        ("test_once_requirements.py", "the_engine_knows_of_nobody_above"),
    ],
    "S3.3 graph, entry point, validation": [
        (CYCLES, "an_entry_point_that_is_not_there"), (CYCLES, "a_cycle_without_an_exit"),
    ],
    "S3.4 nodes are functions of the state, sync or async": [
        (STATE, "functions_from_state_to_state"), (PARALLEL, "two_sleeps"),
    ],
    "S3.5 edges with conditions and descriptions": [
        (CYCLES, "a_diamond_reached_by_a_condition"),
        (DOCUMENT, "everything_a_document_can_hold"),
    ],
    "S3.6 run id, state, status, logs, visited": [(RUN, "ten_becomes_twenty")],
    "S3.7 iteration limit": [(RUN, "a_cycle_goes_round"), (CYCLES, "each_node_may_have_a_limit")],
    "S3.8 dict state, condition functions, sequential if asked": [
        (STATE, "a_node_never_sees"), (PARALLEL, "sequential_is_one_after_the_other"),
    ],
    "S3.9 tools: register, get, call, list": [
        (WATCHED, "tools_are_found_in_ctx"), (TOOLS, "a_function_is_registered"),
        (TOOLS, "registries_are_isolated"), (TOOLS, "a_signature_shows"),
    ],
    "S3.10 S4.6 stores: save, load, list, delete; memory and databases": [
        (STORES, "a_run_comes_back"), (STORES, "filters_choose"), (STORES, "a_deleted_run"),
        (STORES, "a_graph_keeps_its_versions"), (DOCUMENT, "what_comes_back_is_what_was"),
    ],
    "S3.11 checked models at the edge": [
        (DOCUMENT, "a_bad_document_is_an_error"), (STATE, "a_pydantic_model_is_what"),
    ],
    "S3.12 S4.22 a store of one's own": [(RESUME, "a_step_is_kept_before_its_call")],
    "S3.14 log of time and duration": [(WATCHED, "the_log_says_when")],
    "S3.15 a returned dict updates the state": [(RUN, "ten_becomes_twenty")],
    "S3.16 fluent builder": [(CYCLES, "langgraphs_words")],
    "S3.17 dangling edges, state snapshot": [(FAILURES, "without_it_the_dependent")],
    "S3.18 failures are logged, manual retry": [
        (RESUME, "a_sibling_that_succeeded"), (RESUME, "a_failure_is_kept_with_the_state"),
    ],
    "S3.19 add a workflow, a tool, a node, a database": [
        (STORES, "a_graph_keeps_its_versions"), (TOOLS, "a_decorator_returns"),
        (WORKFLOW, "a_class_node_says"), (RESUME, "a_step_is_kept_before_its_call"),
    ],
    "S3.20 parallel independent branches": [(PARALLEL, "two_sleeps")],
    "S3.20 cached node results": [("engine/calls/test_cache.py", "an_equal_input_gives")],
    "S3.20 indexed queries": [(STORES, "runs_are_looked_up_by_an_index")],
    "S3.20 a log as it comes": [(WATCHED, "lines_are_there_while_the_run_goes_on")],
    "S3.21 load: many, large, deep": [
        (PARALLEL, "a_long_chain"), (PARALLEL, "deep_wide_and_many"),
    ],
    "S3.22 isolation of runs, audit trail, checked input": [
        (RUN, "ten_runs_at_once"), (PARALLEL, "a_run_does_not_know"),
        (STORES, "steps_come_back_in_order"), (DOCUMENT, "loading_imports_opens_and_runs"),
    ],
    "S3.23 MAX_ITERATIONS, DATABASE_URL": [
        (CYCLES, "each_node_may_have_a_limit"),
        ("test_address.py", "the_default_is_a_file_here"),
    ],
    "S3.24 where it runs": [("test_package.py", "the_readme_has_two")],
    "S3.25 composition, versions, filters, schedule": [
        (WORKFLOW, "include_prefixes"), (STORES, "a_graph_keeps_its_versions"),
        (STORES, "filters_choose"), ("engine/loop/test_rules_producer.py", "every_is_a_fixed_rate"),
    ],
    "S4.1 execution, persistence, recovery": [
        ("engine/runs/test_crashes.py", "a_random_run_cut_off"),
    ],
    "S4.3 a graph, an id, a store, options": [(RESUME, "a_path_is_opened_for_the_run")],
    "S4.4 level by level": [(PARALLEL, "level_by_level")],
    "S4.5 retry, timeout": [(FAILURES, "fail_fail_succeed"), (FAILURES, "a_timeout_cannot")],
    "S4.7 phases: observed from start to end": [(WATCHED, "an_observer_hears")],
    "S4.8 saved before a node, after it, at the end and at a failure": [
        (RESUME, "a_step_is_kept_before_its_call"),
    ],
    "S4.9 backoff, error classes": [
        (FAILURES, "fail_fail_succeed"), (FAILURES, "no_error_class"),
        (FAILURES, "of_several_policies"),
    ],
    "S4.10 resume": [
        (RESUME, "a_sibling_that_succeeded"), (RESUME, "a_cycle_goes_on"),
        (RESUME, "of_a_map_only"),
    ],
    "S4.11 cancel, persist, resume": [
        (FAILURES, "cancel_wins"), (RESUME, "a_cancelled_run_is_kept"),
    ],
    "S4.12 pool size, critical path first": [
        (PARALLEL, "never_more_than"), (PARALLEL, "grahams_bound"),
    ],
    "S4.14 level ordering": [(PARALLEL, "level_by_level")],
    "S4.15 metrics": [(WATCHED, "metrics_count")],
    "S4.16 observers, node status": [
        (WATCHED, "an_observer_hears"), (WATCHED, "an_observer_that_raises"),
        (WATCHED, "while_a_run_goes_on_it_says"),
    ],
    "S4.17 logs with level, node and time": [
        (WATCHED, "what_nodes_print"), (WATCHED, "a_line_has_its_level"),
    ],
    "S4.19 max concurrency, retry, persistence interval": [
        (PARALLEL, "never_more_than"), (FAILURES, "fail_fail_succeed"),
        (RESUME, "with_a_persistence_interval"),
    ],
    "S4.20 execute, cancel, status": [
        (FAILURES, "cancel_wins"), (WATCHED, "while_a_run_goes_on_it_says"),
    ],
    "S4.21 observer, metrics, error handler": [
        (FAILURES, "a_handler_runs_once"), (WATCHED, "an_observer_hears"),
    ],
    "S4.22 middleware": [(WATCHED, "middleware_may_change")],
    "S4.23 low overhead, batched persistence": [
        ("benchmarks/test_runs.py", "a_run_costs_at_most"),
        ("benchmarks/test_stores.py", "keeping_the_steps"), (RESUME, "with_a_persistence_interval"),
    ],
}  # fmt: skip

NOTEBOOKS = {
    "S3.13 five steps of data quality, in rounds": (
        "09_data_quality.ipynb", ["profile", "anomal", "rules", "appl", "check", "resume"],
    ),
    "S3.26 clear enough for education": ("10_patterns.ipynb", ["van der Aalst", "order"]),
}  # fmt: skip

# S3.11 S3.20 S4.12 S4.13 S4.14 S4.18 S4.19
SAID_IN_THE_BOOK = (
    "work stealing", "adaptive pools", "fine locks", "arenas", "interning", "backpressure",
    "log level", "default retry", "no switch",
)  # fmt: skip
# S3.2 S3.24
SAID_IN_THE_README = ("an HTTP API", "Docker")


@pytest.mark.parametrize("what", SHOWN)
def test_a_requirement_is_tried_where_the_list_says(what: str) -> None:
    for file, start in SHOWN[what]:
        assert is_tried(file, start), (file, start)


def test_what_has_no_meaning_here_is_said() -> None:
    page = (TESTS.parent / "notebooks/pages/running_once.md").read_text("utf-8")
    assert [word for word in SAID_IN_THE_BOOK if word not in page] == []
    readme = (TESTS.parent / "README.md").read_text("utf-8")
    assert [word for word in SAID_IN_THE_README if word not in readme] == []


@pytest.mark.parametrize("what", NOTEBOOKS)
def test_a_requirement_is_shown_in_its_notebook(what: str) -> None:
    file, words = NOTEBOOKS[what]
    text = (TESTS.parent / "notebooks" / file).read_text("utf-8")
    assert [word for word in words if word not in text] == []


def test_every_number_of_the_two_documents_is_in_a_list() -> None:
    said = " ".join([*SHOWN, *NOTEBOOKS, "S3.2 S4.13 S4.18"])
    numbers = {*re.findall(r"S[34]\.\d+", said)}
    wanted = {f"S3.{n}" for n in range(1, 27)} | {f"S4.{n}" for n in range(1, 24)}
    assert wanted - numbers == set()


def test_the_engine_knows_of_nobody_above_it() -> None:
    above = ("flownb.notebook", "flownb.widgets", "flownb.oneshot", "flownb.graph")
    for module in (TESTS.parent / "flownb" / "engine").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith(above)], module.name
