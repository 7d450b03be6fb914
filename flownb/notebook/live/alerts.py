"""What is wrong with a run, and what to do about it? In sentences, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from flownb.notebook.live.rates import WINDOW
from flownb.notebook.picture.text import brief

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from flownb.notebook.live.rates import RunRates, Sample
    from flownb.queues.spec import QueueSpec
    from flownb.records.metrics import LoopMetrics, LoopStatus, Status

_MUCH: Final = 0.2  # of the time
_GROWS: Final = 0.5  # messages a second, and at least _SOME more of them
_SOME: Final = 10
_FAILS: Final = 0.05  # of the items


class Alert(NamedTuple):
    """One sentence; `level` is "bad" (it stands still or loses) or "warn" (it will)."""

    level: str
    text: str
    loop: str = ""


def alerts(status: Status, rates: RunRates, specs: Sequence[QueueSpec] = ()) -> list[Alert]:
    """Say everything that is wrong, the worst first."""
    known = [s for s in status.loops if s.loop in rates.last.loops]
    found = [alert for loop in known for alert in _of_loop(loop, rates)]
    found += [alert for spec in specs for alert in _of_queue(spec, rates)]
    found += _of_run(status, rates)
    return sorted(found, key=lambda alert: alert.level)


def _of_loop(status: LoopStatus, rates: RunRates) -> Iterator[Alert]:
    name = status.loop
    who, now = brief(name), rates.last.loops[name]
    before = rates.since(WINDOW, name).loops[name]
    if status.state == "error":
        yield Alert("bad", f"{who} has ended: {brief(status.reason, 200)}", name)
    elif status.state in {"paused", "pausing"} and status.reason:
        yield Alert("bad", f"{who} is paused: {brief(status.reason, 200)}", name)
    elif status.state == "starting" and status.reason:  # after a crash, or without a worker
        yield Alert("warn", f"{who} does not run: {brief(status.reason, 200)}", name)
    if status.state != "running":
        return
    for words in (
        _failing(who, before, now, status),
        _dropping(who, before, now),
        _throttled(name, rates),
        _missing(who, before, now, rates),
    ):
        if words:
            yield Alert("warn", words, name)


def _failing(who: str, before: LoopMetrics, now: LoopMetrics, status: LoopStatus) -> str:
    failed, ended = now.failed - before.failed, now.done - before.done
    if not failed or failed < _FAILS * (failed + ended):
        return ""
    return f"{who}: {failed} of the last {failed + ended} items failed: {brief(status.last_error)}"


def _dropping(who: str, before: LoopMetrics, now: LoopMetrics) -> str:
    dropped = now.dropped - before.dropped
    if not dropped:
        return ""
    full = f"all {now.max_in_flight} slots are taken"
    return f"{who} drops items, {dropped} in the last seconds: {full}; raise max_in_flight"


def _throttled(loop: str, rates: RunRates) -> str:
    _, _, share = rates.split(loop)
    if share < _MUCH:
        return ""
    slow = _slowest_detached(loop, rates)
    who = f", {brief(slow)} works longest" if slow else ""
    return (
        f"{brief(loop)} is throttled {share:.0%} of the time: all"
        f" {rates.last.loops[loop].max_in_flight} items in flight are taken{who}"
    )


def _slowest_detached(loop: str, rates: RunRates) -> str:
    before, now = rates.since(WINDOW, loop), rates.last
    awaited = now.awaited.get(loop, frozenset())
    works = {
        n: now.worked(loop, n) - before.worked(loop, n)
        for n in now.loops[loop].nodes
        if n not in awaited
    }
    return max(works, key=lambda n: works[n]) if works and any(works.values()) else ""


def _missing(who: str, before: LoopMetrics, now: LoopMetrics, rates: RunRates) -> str:
    if (ticks := now.missed_since(before)) is None:
        return ""
    slow = rates.held_by(now.loop)
    why = f"it waits for {brief(slow)}" if slow else "an iteration takes longer"
    return f"{who} misses {ticks[0]} of {ticks[1]} ticks: {why}"


def _of_queue(spec: QueueSpec, rates: RunRates) -> Iterator[Alert]:
    stats, who = rates.last.queues.get(spec.name), brief(spec.name)
    if stats is None:
        return
    grows = rates.growth(spec.name)
    if spec.is_full(stats.depth):
        waits = "who pushes waits" if spec.when_full == "block" else f"it {_FULL[spec.when_full]}"
        yield Alert("warn", f"{who} is full ({spec.maxlen:,} messages): {waits}; add a reader")
    elif grows >= _GROWS and stats.backlog >= _SOME:
        advice = "add a reader" if spec.mode == "competing" else f"{_furthest(rates.last, spec)}"
        yield Alert("warn", f"{who} grows {grows:.3g}/s, {stats.backlog:,} wait: {advice}")


_FULL: Final[Mapping[str, str]] = {
    "drop_newest": "drops the newest",
    "drop_oldest": "drops the oldest",
    "error": "refuses what is pushed",
}


def _furthest(sample: Sample, spec: QueueSpec) -> str:
    groups = sample.queues[spec.name].groups
    if not groups:
        return "nobody reads it"
    return f"{brief(max(groups, key=lambda g: g.backlog).group)} is furthest behind"


def _of_run(status: Status, rates: RunRates) -> Iterator[Alert]:
    if (busy := rates.busy()) >= _MUCH:
        waits = any(s.pool == "asyncio" for s in status.loops)
        what = "loops with pool='asyncio' wait for it" if waits else "views and cells wait for it"
        yield Alert("warn", f"the kernel is busy {busy:.0%} of the time: {what}")
    if n := status.unapplied:
        yield Alert("warn", f"{n} {'edit is' if n == 1 else 'edits are'} not applied: orch.apply()")
