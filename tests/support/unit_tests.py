"""Do the unit tests pass where no thread can be started? A program for Pyodide.

Left out, by name and with the reason: see `LEFT_OUT`. Nothing is measured there.
"""

import os
import sys

import pytest

_DOCUMENT = "tests/model/document/test_document.py"
_DIGESTS = "tests/engine/simulation/test_determinism.py"
_VIRTUAL = "tests/engine/simulation/test_rules_virtual.py"
LEFT_OUT = (
    "--ignore=tests/plan/test_reads.py",  # NumPy comes from Pyodide's own distribution only
    # its 200,000 lists in each other end a browser's Python when they are freed
    f"--deselect={_DOCUMENT}::test_deep_nesting_ends_in_an_error_and_not_in_the_stack",
    # processes, threads and sockets: there are none
    f"--deselect={_DIGESTS}::test_it_is_the_same_in_another_process_under_any_hash_seed",
    f"--deselect={_VIRTUAL}::test_two_simulations_at_once_do_not_take_each_other_s_sleep_away",
    f"--deselect={_VIRTUAL}::test_other_threads_really_sleep_while_a_simulation_runs",
    f"--deselect={_VIRTUAL}::test_a_simulated_node_cannot_reach_the_world_outside",
    f"--deselect={_VIRTUAL}::test_a_simulated_node_cannot_open_a_connection",
    f"--deselect={_VIRTUAL}::test_after_a_simulation_the_world_is_as_it_was",
    # an event loop is begun by hand, or by asyncio.run(), inside the one of the page
    f"--deselect={_VIRTUAL}::test_times_that_differ_only_by_rounding_are_equal_and_keep_their_order",
    f"--deselect={_VIRTUAL}::test_a_simulation_runs_inside_a_running_event_loop",
)


def passed(*folders):
    """Run these folders' tests; give pytest's verdict, which is 0 if all is well."""
    os.chdir("/checkout")
    sys.dont_write_bytecode = True
    return int(
        pytest.main(
            [
                "-q", "--tb=short", "--import-mode=importlib", "-p", "no:cacheprovider",
                "-o", "addopts=",  # plugins that are not there
                "-W", "ignore::pytest.PytestConfigWarning",
                "-W", "ignore::pytest.PytestUnknownMarkWarning",
                "-m", "not nightly and not benchmark and not wallclock",
                *LEFT_OUT, *(f"tests/{folder}" for folder in folders),
            ]
        )
    )  # fmt: skip
