"""What do benchmarks share? How they tell a figure, and when one outside its limits is a fault.

They measure and report, in a section at the end of the run. A figure says as much about the
machine as about flownb, so it fails nothing but where FLOWNB_STRICT is set: on a quiet
machine, at night.

By day there is one of each thing that one change can make slow: import, chain, run, simulation,
store, queue. What takes longer, or compares ways that hardly change, is `nightly`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.machine import STRICT

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def figure(record_property) -> Callable[..., None]:
    """Tell a figure and its limits: `figure("times a bare loop", ratio, most=10)`."""

    def tell(name: str, value: float, *, least: float | None = None, most: float | None = None):
        words = [] if least is None else [f"at least {least:g}"]
        words += [] if most is None else [f"at most {most:g}"]
        missed = (least is not None and value < least) or (most is not None and value > most)
        text = f"{value:.3g}, {', '.join(words)}{': MISSED' if missed else ''}"
        record_property(name, text)
        if missed and STRICT:
            pytest.fail(f"{name}: {text}", pytrace=False)

    return tell


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    told = [(r.nodeid.split("::")[-1], *p) for r in reports for p in r.user_properties]
    if told:
        terminalreporter.section("figures")
    for test, name, text in told:
        terminalreporter.write_line(f"{name}: {text}    {test}")
