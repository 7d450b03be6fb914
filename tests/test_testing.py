"""Do the fixtures and assertions that flownb ships hold what they promise?"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flownb import DeadlockError, Graph
from flownb.testing import Recorder, VirtualTime, assert_released_at, assert_timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.queues.manager import QueueManager


def graph() -> Graph:
    return (
        Graph("g")
        .add_producer("p", [1, 2], takes=1)
        .add_node("a", takes=2)
        .add_node("b", takes=3, kind="non_blocking")
        .add_edge("p", "a")
        .add_edge("p", "b")
    )


def test_an_hour_passes_at_once(virtual_time: VirtualTime) -> None:
    virtual_time(asyncio.sleep(3600))
    assert virtual_time.now == 3600


def test_waiting_for_nothing_is_a_deadlock(virtual_time: VirtualTime) -> None:
    with pytest.raises(DeadlockError):
        virtual_time(asyncio.Event().wait())


def test_a_recorder_keeps_spans_events_and_outputs(recorder: Recorder) -> None:
    graph().use(recorder).simulate()
    assert recorder.outputs["a"] == [1, 2]
    assert recorder.kinds("p").count("released") == 2
    assert {s.node for s in recorder.spans} == {"p", "a", "b"}


def test_queues_work_in_virtual_time(
    virtual_time: VirtualTime, queues: Callable[..., QueueManager]
) -> None:
    async def talk() -> object:
        manager = queues("days")
        asyncio.get_running_loop().call_later(5, lambda: None)
        waiting = asyncio.create_task(manager.pop("days"))
        await asyncio.sleep(5)
        await manager.push("days", {"rain": 3})
        message = await waiting
        assert message is not None
        return message.payload

    assert virtual_time(talk()) == {"rain": 3}
    assert virtual_time.now == 5


def test_a_timeline_is_compared_as_text() -> None:
    assert_timeline(
        graph().simulate(),
        """
        p[0] 0..1  a[0] 1..3  b[0] 1..4
        p[1] 3..4  a[1] 4..6  b[1] 4..7
        """,
    )
    assert_timeline(graph().simulate().timeline, "p[0]~wait 1..3  p[1]~wait 4..6", kinds=["wait"])


def test_a_difference_names_the_span() -> None:
    with pytest.raises(AssertionError, match=r"expected, not found: a\[1\] 4..5\n.*a\[1\] 4..6"):
        assert_timeline(graph().simulate().timeline.of(node="a"), "a[0] 1..3 a[1] 4..5")
    with pytest.raises(AssertionError, match="releases of 'p' differs"):
        assert_released_at(graph().simulate(), "p", [3, 7])
    with pytest.raises(ValueError, match="stands alone"):
        assert_timeline(graph().simulate(), "a[0]")


def test_instant_calls_are_compared_when_one_is_named() -> None:
    quick = Graph("q").add_producer("p", [1]).add_node("n", takes=1).add_edge("p", "n")
    assert_timeline(quick.simulate(), "n[0] 0..1")
    assert_timeline(quick.simulate(), "p[0] 0..0 n[0] 0..1")
    with pytest.raises(AssertionError, match=r"found, not expected: n\[0\] 0..1"):
        assert_timeline(quick.simulate(), "p[0] 0..0")


PAGE = Path(__file__).parents[1] / "notebooks" / "pages" / "testing.md"


def test_the_test_files_of_the_page_about_testing_pass(tmp_path: Path) -> None:
    files = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for number, text in enumerate(files):
        (tmp_path / f"test_{number}.py").write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:nbval"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert re.search(r"^7 passed", done.stdout, re.MULTILINE), done.stdout
