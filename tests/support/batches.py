"""How many random cases does the day try, and how many the night?"""

from __future__ import annotations

import pytest


def batches(day, night, each):
    """Give the first case of each batch of *each*: those up to *day* always, the others nightly.

    >>> [getattr(first, "values", first) for first in batches(20, 40, 10)]
    [0, 10, (20,), (30,)]
    """
    nightly = (pytest.param(first, marks=pytest.mark.nightly) for first in range(day, night, each))
    return [*range(0, day, each), *nightly]
