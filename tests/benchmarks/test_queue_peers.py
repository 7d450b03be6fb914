r"""How many times as fast as other task queues is a hop? All in turns, one server, same run.

The aim is 5 times the fastest of arq, celery, dramatiq, huey, rq and taskiq. They are no
dependencies, and no one environment holds them all (arq wants a redis-py below 6, taskiq one
from 8), so give them environments of their own, and name the interpreters:

    python -m venv peers
    peers/bin/pip install "celery[redis]>=5.5" "dramatiq[redis]>=1.17" huey "rq>=2" \
        "taskiq>=0.11" "taskiq-redis>=1" hiredis
    python -m venv peer-arq
    peer-arq/bin/pip install "arq>=0.26"
    export FLOWNB_PEERS=$PWD/peers/bin/python:$PWD/peer-arq/bin/python
    python -m pytest tests/benchmarks/test_queue_peers.py -m nightly -s

A peer that is not there is named and left out. A peer has a process for its worker and another
for who pushes, and connecting is paid before its clock starts; starting and stopping our loops
is in our time. With `pool="process"` ours are two processes too: that is the row to compare.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.benchmarks.test_queues import BATCH, cost, hop, raw
from tests.support import queue_peers
from tests.support.machine import missing
from tests.support.queue_peers import PEERS
from tests.support.servers import real_server_url

pytestmark = [
    pytest.mark.benchmark, pytest.mark.wallclock, pytest.mark.nightly, pytest.mark.redis,
    pytest.mark.timeout(600),
]  # fmt: skip
__all__ = ["real_server_url"]

AIM = 5.0  # times the fastest peer
ITEMS, RAW_ITEMS, ROUNDS = 100_000, 20_000, 4
PEER_ITEMS = {
    "arq": 3_000, "celery": 2_000, "dramatiq": 10_000, "huey": 10_000, "rq": 600, "taskiq": 4_000,
}  # fmt: skip
# With what must hold of each: the aim where it is reached, else a floor under what was seen.
OURS: dict[str, tuple[dict[str, Any], float]] = {
    "flownb": ({}, 2.0),
    "flownb, prefetch 100": ({"prefetch": BATCH}, 2.5),
    "flownb, processes": ({"pool": "process"}, 2.5),
    "flownb, processes, prefetch 100": ({"pool": "process", "prefetch": BATCH}, AIM),
}
Rate = Callable[[], float]  # messages a second


def call(python: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run a line of queue_peers.py in a peer's interpreter; nothing of it stays behind."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [python, "-c", f"import queue_peers; queue_peers.{code}"]
    with subprocess.Popen(
        command, cwd=Path(queue_peers.__file__).parent, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def installed() -> dict[str, tuple[str, str]]:
    """Find who is there: the interpreter that has it, and the versions."""
    found = {}
    for python in os.environ.get("FLOWNB_PEERS", sys.executable).split(os.pathsep):
        for name in PEERS.keys() - found.keys():
            answer = call(python, f"versions({name!r})")
            if answer.returncode == 0:
                found[name] = python, answer.stdout.strip()
    return found


def theirs(name: str, python: str, url: str) -> float:
    with Redis.from_url(url) as client:
        client.flushall()
    path = url.removeprefix("unix://")
    answer = call(python, f"rate({name!r}, {path!r}, {PEER_ITEMS[name]})")
    assert answer.returncode == 0, f"{name} gave no figure:\n{answer.stderr[-2_000:]}"
    return float(answer.stdout)


def contestants(url: str, found: dict[str, tuple[str, str]]) -> dict[str, Rate]:
    rates: dict[str, Rate] = {
        name: lambda n=name: theirs(n, found[n][0], url) for name in sorted(found)
    }
    for name, (options, _) in OURS.items():
        rates[name] = lambda o=options: 1 / cost(url, lambda: hop(url, ITEMS, **o), ITEMS)[1]
    rates["redis-py, batches of 100"] = lambda: (
        1 / cost(url, lambda: raw(url, RAW_ITEMS, BATCH), RAW_ITEMS)[1]
    )
    return rates


def table(best: dict[str, float], found: dict[str, tuple[str, str]], fastest: float) -> str:
    lines = [
        f"{name:<32} {rate:>8,.0f}/s {rate / fastest:6.2f} x  {found.get(name, ('', ''))[1]}"
        for name, rate in sorted(best.items(), key=lambda pair: -pair[1])
    ]
    absent = sorted(PEERS.keys() - found.keys())
    lines += [f"{name:<32} not installed: see the top of this file" for name in absent]
    return "\n".join(lines)


def test_a_hop_between_processes_is_five_times_as_fast_as_the_fastest_other_task_queue(
    real_server_url, figure, record_property
):
    found = installed()
    if not found:
        missing("peers", f"none of {', '.join(PEERS)} is installed: the top of this file has how")
    rates = contestants(real_server_url, found)
    rounds = [{name: rate() for name, rate in rates.items()} for _ in range(ROUNDS)]
    best = {name: max(seen[name] for seen in rounds) for name in rates}
    fastest = max(best[name] for name in found)
    print(f"\n{table(best, found, fastest)}")
    for name, rate in best.items():
        record_property(f"{name}, messages/s", round(rate))
    for name, (_, floor) in OURS.items():
        figure(f"{name}, times the fastest other", best[name] / fastest, least=floor)
