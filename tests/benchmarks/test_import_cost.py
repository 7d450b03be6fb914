"""Does `import flownb` cost more than the libraries it cannot do without?"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.benchmark, pytest.mark.wallclock]

PAIRS = 15
LIMIT = 1.5


def _seconds(source: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", source], check=True)
    return time.perf_counter() - start


def test_importing_flownb_costs_little_more_than_asyncio_and_pydantic(record_property):
    base, ours = "import asyncio, pydantic", "import flownb"
    _seconds(base), _seconds(ours)  # bytecode is written on the first import
    ratio = statistics.median(_seconds(ours) / _seconds(base) for _ in range(PAIRS))
    record_property("ratio", ratio)
    print(f"import flownb: {ratio:.2f} x import asyncio, pydantic")
    assert ratio <= LIMIT
