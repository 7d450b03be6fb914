"""Can what a test subtracts for the machine be believed?"""

from __future__ import annotations

import time

import pytest

from tests.support.standstill import NAP, lost

pytestmark = pytest.mark.wallclock


def test_the_machine_never_took_more_than_the_time_that_went_by():
    begun, before, most = time.monotonic(), lost(), 0.0
    while time.monotonic() - begun < 1:
        most = max(most, lost() - before)
    assert most <= time.monotonic() - begun + NAP
