"""Is a history bounded, however long a run is, and does it lose no item and no peak?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownb.notebook.live.rates import Sample
from flownb.notebook.live.series import RunSeries
from flownb.queues.spec import QueueStats
from flownb.records.metrics import LoopMetrics


def sample(second, released=0, *, failed=0, flight=0, depth=None):
    loops = {"days": LoopMetrics("days", released=released, failed=failed, in_flight=flight)}
    queues = {} if depth is None else {"wet": QueueStats("wet", depth=depth)}
    return Sample(float(second), loops, queues=queues)


def test_a_series_of_a_day_has_a_few_hundred_points_and_knows_every_item():
    series, day = RunSeries(), 24 * 3600
    for second in range(0, day, 3):
        series.add(sample(second, 2 * second, failed=second // 100))
    rates = series.rates("days")
    assert 100 < len(rates) <= 240
    assert series.seconds > 0.95 * day
    assert rates == pytest.approx([2.0] * len(rates))
    assert sum(series.failed("days")) >= 0.95 * day // 100


@given(st.lists(st.integers(0, 50), min_size=2, max_size=1500), st.data())
def test_a_peak_is_never_lost(depths, data):
    at = data.draw(st.integers(1, len(depths) - 1))
    depths[at] = 99
    series = RunSeries()
    for second, depth in enumerate([*depths, *[0] * 600]):
        series.add(sample(second / 2, flight=depth, depth=depth))
    assert max(series.depths("wet")) == max(series.in_flight("days")) == 99


def test_a_loop_that_begins_anew_has_no_rate_below_zero():
    series = RunSeries()
    for second, released in enumerate([0, 10, 20, 0, 10]):
        series.add(sample(second, released))
    assert series.rates("days") == [10.0, 10.0, 0.0, 10.0]
