"""Does the JupyterLab that tests share look new to each of them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.ui.conftest import Lab

pytestmark = [
    pytest.mark.kernel, pytest.mark.wallclock, pytest.mark.nightly, pytest.mark.timeout(300),
]  # fmt: skip


def test_a_kernel_ends_with_the_test_that_started_it(lab: Lab) -> None:
    lab.ask("POST", data=b"{}")
    before = lab.kernels()
    with lab.kernels_end():
        lab.ask("POST", data=b"{}")
        assert len(lab.kernels() - before) == 1
    assert lab.kernels() == before


def test_a_test_may_kill_it(lab: Lab) -> None:
    assert lab.kernels() == set()  # the one of the test before has ended
    lab.server.kill()
    lab.server.wait()


def test_after_which_the_next_has_another(lab: Lab) -> None:
    assert lab.runs
    assert lab.kernels() == set()
