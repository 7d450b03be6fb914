"""Are durations counted the same, alone and together?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flownb.engine.observe.meter import Histogram


@given(st.sampled_from([300, 4_000, 10**12]).flatmap(lambda most: st.lists(st.integers(0, most))))
def test_many_durations_count_as_each_alone(nanoseconds):
    alone, together = Histogram(), Histogram()
    for ns in nanoseconds:
        alone.add(ns * 1e-9)
    together.add_many(nanoseconds)
    assert together.count == alone.count
    assert (together.total, together.longest) == pytest.approx((alone.total, alone.longest))
    for share in (0.0, 0.5, 0.99, 1.0):
        assert together.quantile(share) == pytest.approx(alone.quantile(share), rel=0.1)
