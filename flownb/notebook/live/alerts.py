"""What is wrong with a run, who is at its root, and what to do about it? The worst first.

A loop that is held back is told with its `Cause`: whoever is slow in the end, however many full
queues and limits lie between. What is held back at the far end of a full queue is the same
trouble, so it is told once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from flownb.notebook.live.rates import WINDOW
from flownb.notebook.picture.text import brief, seconds
from flownb.records.events import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from flownb.model.policies import Limit
    from flownb.notebook.live.rates import RunRates, Sample
    from flownb.plan.loop_plan import LoopPlan
    from flownb.queues.spec import QueueSpec
    from flownb.records.metrics import LoopMetrics, LoopStatus, Status

_MUCH: Final = 0.2  # of the time
_MOSTLY: Final = 0.5  # of the time: less holds no loop back
_BUSY: Final = 0.9  # of a limit: it is what holds back
_GROWS: Final = 0.5  # messages a second, and at least _SOME more of them
_SOME: Final = 10
_FAILS: Final = 0.05  # of the items
_NAME: Final = 200  # letters: a name is not cut where it is the reason
_REASON: Final = 400


class Alert(NamedTuple):
    """One sentence; `level` is "bad" (it stands still or loses) or "warn" (it will).

    `loop` and `node` say where, "" where it is of none: the node is the one to look at.
    """

    level: str
    text: str
    loop: str = ""
    node: str = ""


class Cause(NamedTuple):
    """Who holds a loop back in the end, through which full `queues`, and what would help.

    `node` of `loop` is at the root, "" if the loop as a whole; `words` say it, `remedy` what to
    do.
    """

    loop: str
    node: str
    words: str
    remedy: str
    queues: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.queues:
            return self.words
        full = " and ".join(brief(queue, _NAME) for queue in reversed(self.queues))
        return f"{self.words}, through the full queue{'s' * (len(self.queues) > 1)} {full}"


@dataclass(frozen=True, slots=True)
class Causes:
    """Finds who is at the root, at the last sample."""

    status: Status
    rates: RunRates
    specs: Sequence[QueueSpec] = ()

    def of(self, loop: str, *, behind: tuple[str, ...] = ()) -> Cause | None:
        """Say who holds a loop back; *behind* are the full queues between it and who asks."""
        plan = self.rates.last.plans.get(loop)
        if plan is None:
            return None
        _, waiting, throttled = self.rates.split(loop)
        node = self.rates.held_by(loop) if waiting >= throttled else ""
        for queue in _written(plan):
            full = queue not in behind and self.is_full(queue)
            if full and (throttled >= _MUCH or self._pushes(plan, node, queue)):
                found = self.through(queue, behind)
                return found._replace(queues=(queue, *found.queues))
        if not node and throttled >= _MUCH:
            return self._slots(loop, _slowest_detached(loop, self.rates))
        if node:
            return self._node(loop, node, behind)
        return self._itself(loop) if self.rates.split(loop)[0] >= _MUCH else None

    def through(self, queue: str, behind: tuple[str, ...] = ()) -> Cause:
        """Say who does not empty a queue."""
        spec = next(s for s in self.specs if s.name == queue)
        readers = [r for r, plan in self.rates.last.plans.items() if plan.reads == queue]
        who = brief(queue, _NAME)
        if not readers:
            return Cause("", queue, f"{who}, which no loop here reads", "add a queue reader")
        states = {s.loop: s for s in self.status.loops}
        asleep = [r for r in readers if r in states and states[r].state != "running"]
        if asleep and (spec.mode == "broadcast" or len(asleep) == len(readers)):
            return _asleep(states[asleep[0]])
        awake = [r for r in readers if r not in asleep]
        slow = _furthest(self.rates.last, spec, awake)
        found = self.of(slow, behind=(*behind, queue))
        if found is not None:
            return found
        words = f"{brief(slow, _NAME)}, which takes {self._rate(slow)} of it"
        return Cause(slow, slow, words, f"add a reader of {who}")

    def room(self, loop: str) -> str:
        """Name the full queue in which a loop waits for room; "" if it waits for none."""
        plan = self.rates.last.plans.get(loop)
        written = [] if plan is None else _written(plan)
        return next((queue for queue in written if self.is_full(queue)), "")

    def is_full(self, queue: str) -> bool:
        """Whether who pushes to a queue waits for room: a place that has just become free, too."""
        spec = next((s for s in self.specs if s.name == queue), None)
        stats = self.rates.last.queues.get(queue)
        if spec is None or stats is None or not stats.depth or spec.when_full != "block":
            return False
        return spec.is_full(stats.depth + 1)

    def _pushes(self, plan: LoopPlan, node: str, queue: str) -> bool:
        found = next((n.node.queue for n in plan.nodes if n.name == node), None)
        return found is not None and found.name == queue

    def _rate(self, loop: str) -> str:
        return f"{self.rates.rate(loop) or 0.0:.2g}/s"

    def _takes(self, loop: str, node: str) -> str:
        return f"{seconds(float(f'{self.rates.each(loop, node):.2g}'))} s an item"

    def _node(self, loop: str, node: str, behind: tuple[str, ...]) -> Cause:
        if (limited := self._limited(loop, node)) is not None:
            return limited
        who, long = brief(node, _NAME), self._takes(loop, node)
        if behind:
            reader = brief(behind[-1], _NAME)
            return Cause(
                loop, node, f"{who}, {long}", f"add a reader of {reader} or make {who} faster"
            )
        remedy = f"make {who} faster, or let {brief(loop, _NAME)} not wait for it"
        return Cause(loop, node, f"{who}, {long}", remedy)

    def _itself(self, loop: str) -> Cause | None:
        """A producer that works most of the time; a reader that does so waits for messages."""
        plan = self.rates.last.plans[loop]
        if plan.reads is not None:
            return None
        who = brief(loop, _NAME)
        return Cause(loop, loop, f"{who} itself, {self._takes(loop, loop)}", f"make {who} faster")

    def _slots(self, loop: str, node: str) -> Cause | None:
        if not node:
            return None
        if (limited := self._limited(loop, node)) is not None:
            return limited
        most = self.rates.last.loops[loop].max_in_flight
        who, long = brief(node, _NAME), self._takes(loop, node)
        words = f"{who}, {long}: all {most} slots are taken"
        return Cause(loop, node, words, f"make {who} faster, or raise max_in_flight={most}")

    def _limited(self, loop: str, node: str) -> Cause | None:
        limit = self._busy_limit(loop, node)
        if limit is None:
            return None
        who, long = brief(node, _NAME), self._takes(loop, node)
        return Cause(loop, node, f"{who}, {long}, under {limit!r}", f"widen the limit of {who}")

    def _busy_limit(self, loop: str, node: str) -> Limit | None:
        """Give the limit of a node if it lets no more through, all nodes that share it together."""
        plans, before, now = self.rates.last.plans, self.rates.since(WINDOW, loop), self.rates.last
        limit = next(n.node.limit for n in plans[loop].nodes if n.name == node)
        whole = now.time - before.time
        if limit is None or whole <= 0:
            return None
        holders = [
            (name, n.name) for name, plan in plans.items() for n in plan.nodes
            if n.node.limit is limit and name in before.loops
        ]  # fmt: skip
        worked = sum(now.worked(*pair) - before.worked(*pair) for pair in holders)
        calls = sum(self.rates.calls(*pair) for pair in holders)
        full = limit.concurrency is not None and worked >= _BUSY * limit.concurrency * whole
        fast = limit.per_second is not None and calls >= _BUSY * limit.per_second
        return limit if full or fast else None


def _written(plan: LoopPlan) -> list[str]:
    return [n.node.queue.name for n in plan.nodes if n.node.queue is not None]


def _asleep(status: LoopStatus) -> Cause:
    who, state = brief(status.loop, _NAME), status.state
    why = f" ({brief(status.reason, _REASON)})" if status.reason else ""
    is_ = "has ended" if state in ENDED else "is paused" if state == "paused" else f"is {state}"
    remedy = f"resume {who}" if state in {"paused", "pausing"} else f"start {who}"
    return Cause(status.loop, status.loop, f"{who}, which {is_}{why}", remedy)


def alerts(status: Status, rates: RunRates, specs: Sequence[QueueSpec] = ()) -> list[Alert]:
    """Say everything that is wrong, the worst first."""
    causes = Causes(status, rates, specs)
    known = [s for s in status.loops if s.loop in rates.last.loops]
    found, told = list[Alert](), set[str]()
    for loop in known:
        found += _of_loop(loop, rates)
        if loop.state == "running":
            held, cause = _held(loop.loop, causes)
            found += held
            told |= set(cause.queues if cause is not None else ())
    found += [a for spec in specs if spec.name not in told for a in _of_queue(spec, causes)]
    found += _of_run(status, rates)
    return sorted(found, key=lambda alert: alert.level)


def _of_loop(status: LoopStatus, rates: RunRates) -> Iterator[Alert]:
    name = status.loop
    who, now = brief(name, _NAME), rates.last.loops[name]
    before = rates.since(WINDOW, name).loops[name]
    reason, node = brief(status.reason, _REASON), _failing_node(rates, name)
    if status.state == "error":
        yield Alert("bad", f"{who} has ended: {reason}", name, node)
    elif status.state in {"paused", "pausing"} and status.reason:
        yield Alert("bad", f"{who} is paused: {reason}", name, node)
    elif status.state == "starting" and status.reason:  # after a crash, or without a worker
        yield Alert("warn", f"{who} does not run: {reason}", name)
    if status.state == "running":
        if words := _failing(who, before, now, status):
            yield Alert("warn", words, name, node)
        if words := _dropping(who, before, now):
            yield Alert("warn", words, name)


def _failing_node(rates: RunRates, loop: str) -> str:
    """Name the node that has failed most in the last minute, else in all; "" if none has."""
    nodes = rates.last.loops[loop].nodes
    found = {n: (rates.failed(loop, n), m.failed) for n, m in nodes.items() if m.failed}
    return max(found, key=lambda n: found[n], default="")


def _failing(who: str, before: LoopMetrics, now: LoopMetrics, status: LoopStatus) -> str:
    failed, ended = now.failed - before.failed, now.done - before.done
    if not failed or failed < _FAILS * (failed + ended):
        return ""
    error = brief(status.last_error, _REASON)
    return f"{who}: {failed} of the last {failed + ended} items failed: {error}"


def _dropping(who: str, before: LoopMetrics, now: LoopMetrics) -> str:
    dropped = now.dropped - before.dropped
    if not dropped:
        return ""
    full = f"all {now.max_in_flight} slots are taken"
    return f"{who} drops items, {dropped} in the last seconds: {full}; raise max_in_flight"


def _held(loop: str, causes: Causes) -> tuple[list[Alert], Cause | None]:
    """Say that a loop is held back, by whom in the end, and what would help."""
    rates, who = causes.rates, brief(loop, _NAME)
    before, now = rates.since(WINDOW, loop).loops[loop], rates.last.loops[loop]
    late, throttled = now.missed_since(before), rates.split(loop)[2]
    if not late and throttled < _MUCH:
        return [], None
    ticks = "{} of {} ticks".format(*late or (0, 0))
    if max(rates.split(loop)) < _MOSTLY and throttled < _MUCH:  # it has time to spare
        said = f"{who} misses {ticks}: now and then an item takes longer than every="
        return [Alert("warn", said, loop)], None
    cause = causes.of(loop)
    if cause is None:
        said = f"{ticks} missed" if late else f"it waits {throttled:.0%} of the time for a slot"
        return [Alert("warn", f"{who} is held back: {said}", loop)], None
    more = f" ({ticks} missed)" if late else ""
    text = f"{who} is held back by {cause}: {cause.remedy}{more}"
    return [Alert("warn", text, loop, cause.node)], cause


def _slowest_detached(loop: str, rates: RunRates) -> str:
    before, now = rates.since(WINDOW, loop), rates.last
    awaited = {loop, *now.awaited(loop)}
    works = {
        n: now.worked(loop, n) - before.worked(loop, n)
        for n in now.loops[loop].nodes
        if n not in awaited
    }
    return max(works, key=lambda n: works[n]) if works and any(works.values()) else ""


def _of_queue(spec: QueueSpec, causes: Causes) -> Iterator[Alert]:
    rates = causes.rates
    stats, who = rates.last.queues.get(spec.name), brief(spec.name, _NAME)
    if stats is None:
        return
    grows, cause = rates.growth(spec.name), causes.through(spec.name)
    slow = f"its readers are held back by {cause}: {cause.remedy}"
    if cause.node == spec.name and stats.groups:
        slow = (
            f"{brief(max(stats.groups, key=lambda g: g.backlog).group, _NAME)} is furthest behind"
        )
    elif cause.node == spec.name:
        slow = f"no loop here reads it: {cause.remedy}"
    if spec.maxlen is not None and spec.is_full(stats.depth):
        waits = "who pushes waits" if spec.when_full == "block" else f"it {_FULL[spec.when_full]}"
        text = f"{who} is full ({spec.maxlen:,} messages), {waits}; {slow}"
        yield Alert("warn", text, cause.loop, cause.node)
    elif grows >= _GROWS and stats.backlog >= _SOME:
        text = f"{who} grows {grows:.2g}/s, {stats.backlog:,} wait; {slow}"
        yield Alert("warn", text, cause.loop, cause.node)


_FULL: Final[Mapping[str, str]] = {
    "drop_newest": "drops the newest",
    "drop_oldest": "drops the oldest",
    "error": "refuses what is pushed",
}


def _furthest(sample: Sample, spec: QueueSpec, readers: Sequence[str]) -> str:
    """Name the reader that is furthest behind; of those that share the messages the first."""
    behind = {g.group: g.backlog for g in sample.queues[spec.name].groups}
    if spec.mode == "broadcast":
        return max(readers, key=lambda reader: behind.get(spec.group_of(reader), 0))
    return readers[0]


def _of_run(status: Status, rates: RunRates) -> Iterator[Alert]:
    if (busy := rates.busy()) >= _MUCH:
        waits = any(s.pool == "asyncio" for s in status.loops)
        what = "loops with pool='asyncio' wait for it" if waits else "views and cells wait for it"
        yield Alert("warn", f"the kernel is busy {busy:.0%} of the time: {what}")
    if n := status.unapplied:
        yield Alert("warn", f"{n} {'edit is' if n == 1 else 'edits are'} not applied: orch.apply()")
