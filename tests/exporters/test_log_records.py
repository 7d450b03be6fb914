"""Do lines, failures and states of loops come into a program's log, with their place?"""

from __future__ import annotations

import logging
import threading

import pytest

from flownb.exporters.log_records import LogRecords
from tests.support.live import live, one, until

pytestmark = pytest.mark.wallclock


def check(day):
    print(f"day {day}")
    if day == 1:
        raise ValueError("rain gauge broke")
    return day


@live
async def test_records_of_logging_carry_loop_node_and_iteration(caplog):
    caplog.set_level(logging.INFO, "flownb.loops")
    async with one(range(2), check).use(LogRecords()).start() as orch:
        await orch.wait(timeout=20)
        await until(lambda: any("completed" in r.getMessage() for r in caplog.records))
    told = {
        (r.levelname, r.getMessage(), getattr(r, "node", ""), getattr(r, "iteration", None))
        for r in caplog.records
        if r.name == "flownb.loops" and r.loop == "days"
    }
    assert told >= {
        ("INFO", "day 0", "check", 0),
        ("INFO", "day 1", "check", 1),
        ("ERROR", "item failed: ValueError: rain gauge broke", "check", 1),
        ("INFO", "loop is completed", "", None),
    }


@live
async def test_structlog_gets_the_same_as_events(capsys):
    structlog = pytest.importorskip("structlog")
    with structlog.testing.capture_logs() as told:
        records = LogRecords(structlog.get_logger())
        async with one(range(2), check).use(records).start() as orch:
            await orch.wait(timeout=20)
            await until(lambda: any("completed" in event["event"] for event in told))
    failed = next(event for event in told if event["log_level"] == "error")
    assert (failed["loop"], failed["node"], failed["iteration"]) == ("days", "check", 1)
    assert "rain gauge broke" in failed["event"]


@live
async def test_a_handler_that_prints_or_stands_still_holds_up_nobody():
    class Slow(logging.Handler):
        def emit(self, record):
            print("a handler prints")
            gate.wait(5)

    gate, logger, slow = threading.Event(), logging.getLogger("slow"), Slow()
    logger.addHandler(slow)
    async with one(range(20), check).use(LogRecords(logger)).start() as orch:
        await orch.wait(timeout=20)
        assert orch.status()["days"].iterations == 20
        assert not [line for line in orch.logs() if "handler" in line.text]
        gate.set()
    logger.removeHandler(slow)
