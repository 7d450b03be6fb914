"""On which kernels are the cells tried? Ours, and those named in FLOWNB_KERNEL_PYTHONS."""

from __future__ import annotations

import pytest

from tests.support.kernels import PREPARE, Kernel, pythons, short
from tests.support.standstill import sleeper

__all__ = ["sleeper"]


@pytest.fixture(params=pythons(), ids=short)
def bare(request: pytest.FixtureRequest):
    """A kernel in which nothing has run yet."""
    kernel = Kernel(request.param)
    try:
        yield kernel
    finally:
        kernel.close()


@pytest.fixture
def kernel(bare: Kernel) -> Kernel:
    """A kernel with flownb imported."""
    bare(PREPARE)
    return bare
