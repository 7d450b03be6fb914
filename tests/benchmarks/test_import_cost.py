"""Does `import flownb` cost more than the libraries it cannot do without?"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

import pytest

from tests.support.machine import most

pytestmark = [pytest.mark.benchmark, pytest.mark.wallclock]

PAIRS = 5
LIMIT = 1.5


def _seconds(source: str) -> float:
    """Seconds of the processor: a busy neighbour takes nothing from them."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", source], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_importing_flownb_costs_little_more_than_asyncio_and_pydantic(figure):
    base, ours = "import asyncio, pydantic", "import flownb"
    _seconds(base), _seconds(ours)  # bytecode is written on the first import
    ratios: list[float] = []
    while len(ratios) < PAIRS or (
        statistics.median(ratios) > LIMIT and len(ratios) < most(PAIRS, 25)
    ):
        ratios.append(_seconds(ours) / _seconds(base))
    ratio = statistics.median(ratios)
    figure("import flownb, times import asyncio, pydantic", ratio, most=LIMIT)
