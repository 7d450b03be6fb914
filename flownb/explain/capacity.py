"""What is the capacity of a graph? Rates, slots, limits and queues, and what holds it up.

The figures are those of a steady state: what the loops settle to when nothing changes
any more. Where an if decides and nobody says how often, the worst case counts. Each loop,
queue and limit has one sentence that names its bottleneck.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf, isclose
from typing import TYPE_CHECKING, Final

from flownb.display import Shown
from flownb.explain.durations import MICRO
from flownb.explain.reasons import both, chain_text
from flownb.explain.throughput import GraphRate, Pipe, Rates, loop_rates

if TYPE_CHECKING:
    from flownb.explain.study import Study
    from flownb.explain.throughput import LoopRate
    from flownb.model.policies import Limit
    from flownb.model.workflow import Workflow
    from flownb.records.metrics import LoopMetrics


_BRANCHES: Final = 3  # ifs that a sentence names


@dataclass(frozen=True, slots=True)
class LoopCapacity:
    """How fast one `loop` goes; times in seconds, rates in items per second.

    Each `period` it makes an item, which is its `rate`; its producer goes on at `release`,
    and the `chain` of (node, seconds) is what takes so long. `every` is what the producer was
    given, `max_in_flight` what the loop was, `in_flight` how many items are in flight on
    average. `limit` names the `Limit` that paces it; `at_most`: the release is a bound.

    `paced_by`: "release" (its await set), "clock" (`every=`), "slots" (max_in_flight),
    "limit", "messages" (a reader that waits for some), "full queue". `ceiling` is the
    rate if nobody else held it up; `holds` how long an item keeps its slot, `needs` how
    many slots that takes at the rate it could have without them. `at_least`: items may
    also meet at a limit at a bad moment, so the period may be longer than that. `given`: what
    the figures hold for, where nobody knows how often ifs say what ("" if they hold always).
    """

    loop: str
    paced_by: str
    release: float
    period: float
    rate: float
    ceiling: float
    every: float | None
    chain: tuple[tuple[str, float], ...]
    holds: float
    in_flight: float
    needs: float
    max_in_flight: int
    limit: str = ""
    at_most: bool = False
    at_least: bool = False
    given: str = ""

    @property
    def missed(self) -> float:
        """The share of the ticks of `every=` that fall into an iteration and are skipped."""
        return max(0.0, 1 - self.every / self.period) if self.every else 0.0


@dataclass(frozen=True, slots=True)
class QueueCapacity:
    """Whether the `readers` of a `queue` keep up; rates in messages per second.

    `arrival` is what all its `writers` push together, `service` what the readers can take.
    `presses_back`: it fills up to `maxlen`, and its writers wait then.

    `worst`: an if decides what is pushed and nobody said how often, so all of it counts.
    """

    queue: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    arrival: float
    service: float
    worst: bool = False
    maxlen: int | None = None
    presses_back: bool = False

    @property
    def utilisation(self) -> float:
        """The share of their time that the readers are busy; above 1 the queue grows."""
        return self.arrival / self.service if self.service not in {0.0, inf} else 0.0

    @property
    def growth(self) -> float:
        """Messages per second by which the queue grows; 0 when the readers keep up."""
        return max(0.0, self.arrival - self.service) if self.service < inf else 0.0

    @property
    def keeps_up(self) -> bool:
        """Whether the readers take as much as comes."""
        return self.growth <= 1e-6 * self.service


@dataclass(frozen=True, slots=True)
class LimitCapacity:
    """How busy a `limit` is, over all `nodes` and loops that share it.

    `utilisation` is the share of it that is in use, 1 when nothing more fits.
    """

    limit: str
    nodes: tuple[str, ...]
    utilisation: float


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to change, in words (`text`), and what it does for a `loop`.

    `before` and `after` are its items per second. `frees` names the nodes that the producer
    need not wait for then, though no node is declared to be another kind; `costs` says what
    that costs.
    """

    loop: str
    text: str
    before: float
    after: float
    frees: tuple[str, ...] = ()
    costs: str = ""

    def __str__(self) -> str:
        gain = f"{self.text}: {rate_word(self.before)} -> {rate_word(self.after)}"
        return f"{gain}; {self.costs}" if self.costs else gain


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Capacity(Shown):
    """What a graph can do: its `loops`, `queues` and `limits`, with warnings and advice.

    `name` is the graph's; `unknown` are the nodes whose duration nobody knows (they count 0),
    `measured` what was measured of each loop.

    `warnings` are for a graph that cannot keep up; `bottlenecks` holds one sentence for
    each loop, `advice` the changes that help it, the smallest first: each alone is enough.
    """

    name: str
    loops: Mapping[str, LoopCapacity]
    queues: Mapping[str, QueueCapacity]
    limits: tuple[LimitCapacity, ...]
    bottlenecks: Mapping[str, str]
    warnings: tuple[str, ...]
    advice: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    measured: Mapping[str, LoopMetrics] = field(default_factory=dict)

    @property
    def changes(self) -> dict[str, Change]:
        """The first advice for each loop that has one."""
        return {loop: changes[0] for loop, changes in self.advice.items()}

    @property
    def text(self) -> str:
        """All of it in plain words."""
        return repr(self)


def rate_word(rate: float) -> str:
    """Write items per second shortly.

    >>> rate_word(10 / 3), rate_word(5.0), rate_word(float("inf")), rate_word(1234.56)
    ('3.33/s', '5/s', 'unlimited', '1,235/s')
    """
    if rate == inf:
        return "unlimited"
    return f"{rate:,.0f}/s" if rate >= 1000 else f"{rate:.3g}/s"  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of a capacity, before anything is said about them."""

    loops: Mapping[str, LoopCapacity]
    queues: Mapping[str, QueueCapacity]
    limits: tuple[LimitCapacity, ...]


def figures(workflow: Workflow, studies: Mapping[str, Study], rates: Rates) -> Figures:
    """Reckon how fast everything goes."""
    found = {loop: loop_rates(study, rates) for loop, study in studies.items()}
    plans = {loop: study.plan for loop, study in studies.items()}
    pipes = tuple(_pipes(workflow, studies))
    graph_rate = GraphRate(plans, found, pipes)
    limits = dict(_limits(workflow, graph_rate))
    loops = {loop: _loop(study, found[loop], graph_rate, limits) for loop, study in studies.items()}
    queues = {pipe.queue: _queue(pipe, graph_rate) for pipe in pipes}
    return Figures(loops, queues, tuple(limits.values()))


def _pipes(workflow: Workflow, studies: Mapping[str, Study]) -> Iterator[Pipe]:
    """Collect the queues that are written and read by loops of this graph."""
    writers: dict[str, list[tuple[str, int]]] = {}
    readers: dict[str, list[str]] = {}
    for loop, study in studies.items():
        for node in study.plan.nodes:
            if node.node.queue is not None:
                writers.setdefault(node.node.queue.name, []).append((loop, node.index))
        if study.plan.reads is not None:
            readers.setdefault(study.plan.reads, []).append(loop)
    for options in (node.queue for node in workflow.nodes.values()):
        if options is not None and options.name in writers and options.name in readers:
            queue = options.name
            yield Pipe(queue, options, tuple(writers.pop(queue)), tuple(readers[queue]))


def _limits(workflow: Workflow, graph_rate: GraphRate) -> Iterator[tuple[int, LimitCapacity]]:
    holders: dict[int, list[str]] = {}
    limits: dict[int, Limit] = {}
    for node in workflow.nodes.values():
        if node.limit is not None:
            limits[id(node.limit)] = node.limit
            holders.setdefault(id(node.limit), []).append(node.name)
    for key, limit in limits.items():
        busy = sum(rate * use for rate, use in graph_rate.demand(key).values() if rate < inf)
        yield key, LimitCapacity(f"Limit{_words(limit)}", tuple(holders[key]), busy)


def _words(limit: Limit) -> str:
    given = {"concurrency": limit.concurrency, "per_second": limit.per_second}
    return f"({', '.join(f'{k}={v}' for k, v in given.items() if v is not None)})"


def _loop(
    study: Study,
    found: Sequence[LoopRate],
    graph_rate: GraphRate,
    limits: Mapping[int, LimitCapacity],
) -> LoopCapacity:
    loop_rate = max(found, key=lambda p: p.period)
    rate, options = graph_rate.rate(study.loop), study.plan.options
    paced_by, limit = _paced_by(study.loop, loop_rate, graph_rate, limits)
    free = max(loop_rate.ticks, *loop_rate.uses.values(), 0.0)
    return LoopCapacity(
        study.loop,
        paced_by,
        loop_rate.release / MICRO,
        1 / rate if rate else inf,
        rate,
        graph_rate.alone(study.loop),
        study.plan.nodes[0].node.every,
        tuple((name, study.takes(name)) for name in study.names(loop_rate.awaited.chain)),
        loop_rate.hold / MICRO,
        min(rate * loop_rate.hold / MICRO, options.max_in_flight) if rate < inf else 0.0,
        loop_rate.hold / free if free else 0.0,
        options.max_in_flight,
        limit,
        study.is_bound,
        loop_rate.is_contended,
        _given(study, found, loop_rate),
    )


def _given(study: Study, found: Sequence[LoopRate], slowest: LoopRate) -> str:
    """Say which branch every item takes if the figures are right: the slowest one is reckoned."""
    if study.is_bound and study.open:
        return "every item takes every branch"
    if all(isclose(rate.period, slowest.period) for rate in found):
        return ""
    said = [(option.node, option.says) for option in slowest.slowest.choice.values()]
    if len(said) > _BRANCHES:
        return "every item takes the slowest branches"
    return both([f"{node} always says {verdict}" for node, verdict in said])


def _paced_by(
    loop: str, loop_rate: LoopRate, graph_rate: GraphRate, limits: Mapping[int, LimitCapacity]
) -> tuple[str, str]:
    """Say what binds: what makes the loop wait longest."""
    rate, plan = graph_rate.rate(loop), graph_rate.plans[loop]
    if rate < graph_rate.alone(loop):
        held = graph_rate.held.get(loop, "")
        if held and rate == graph_rate.cap[loop]:
            kind, _, which = held.partition(" ")
            return ("limit", limits[int(which)].limit) if kind == "limit" else ("full queue", which)
        return "messages", plan.reads or ""
    fullest = max(loop_rate.uses, key=lambda key: loop_rate.uses[key], default=None)
    if fullest is not None and loop_rate.uses[fullest] >= loop_rate.period > loop_rate.release:
        return "limit", limits[fullest].limit
    if loop_rate.slots >= loop_rate.period > loop_rate.ticks:
        return "slots", ""
    every = plan.nodes[0].node.every
    return ("clock" if every and loop_rate.release < every * MICRO else "release"), ""


def _queue(pipe: Pipe, graph_rate: GraphRate) -> QueueCapacity:
    open_ = any(
        len({p.runs[node] for p in graph_rate.loop_rates[loop]}) > 1 for loop, node in pipe.writers
    )
    writers = tuple(graph_rate.plans[loop].nodes[node].name for loop, node in pipe.writers)
    return QueueCapacity(
        pipe.queue,
        writers,
        pipe.readers,
        graph_rate.arrival[pipe.queue],
        graph_rate.serviced(pipe),
        open_,
        pipe.options.maxlen,
        pipe.presses_back,
    )


def sentence(now: LoopCapacity, found: Figures) -> str:
    """Say what decides how fast a loop goes."""
    if now.rate == inf:
        return f"{now.loop} goes as fast as it can: no duration and no every= is known"
    maybe = "; more, when items meet at a limit" if now.at_least else ""
    return f"{_SAYS[now.paced_by](now, found)}{maybe}{_if(now)}"


def _if(now: LoopCapacity) -> str:
    return f", if {now.given}" if now.given else ""


def _release(now: LoopCapacity, _: Figures) -> str:
    slow, takes = max(now.chain, key=lambda part: part[1])
    who = f"{now.loop} waits for {slow}" if slow != now.loop else f"{now.loop} itself is slow"
    chain = chain_text([name for name, _ in now.chain])
    share = f"{_s(takes)} of the {_s(now.release)}" if takes != now.release else f"all {_s(takes)}"
    if takes > now.release:  # on average: an if leads past it
        return f"{who}: {_s(takes)} where it runs, an iteration takes {_s(now.release)} ({chain})"
    return f"{who}: {share} of an iteration ({chain})"


def _clock(now: LoopCapacity, _: Figures) -> str:
    done = f"done after {_s(now.release)}"
    return f"{now.loop} is paced by its own clock (every {_s(now.every or 0)}), {done}"


def _slots(now: LoopCapacity, _: Figures) -> str:
    return (
        f"{now.loop} waits for a slot: an item is in flight for {_s(now.holds)},"
        f" so {now.needs:.3g} slots are needed at full speed, and max_in_flight is"
        f" {now.max_in_flight}"
    )


def _limit(now: LoopCapacity, found: Figures) -> str:
    mine = [x for x in found.limits if x.limit == now.limit]
    fullest = max(mine, key=lambda x: x.utilisation)
    return (
        f"{now.loop} waits for the limit of {both(fullest.nodes)}: {fullest.limit} is always busy"
    )


def _messages(now: LoopCapacity, found: Figures) -> str:
    queue = found.queues.get(now.limit)
    most = "up to " if queue is not None and queue.worst else ""
    able = f"it could take {rate_word(now.ceiling)}"
    return f"{now.loop} waits for messages: {most}{rate_word(now.rate)} come, {able}"


def _full_queue(now: LoopCapacity, found: Figures) -> str:
    queue = found.queues[now.limit]
    readers = both(queue.readers)
    return (
        f"{now.loop} waits for room in queue {queue.queue}:"
        f" {readers} takes {rate_word(queue.service)} of it"
    )


_SAYS = {
    "release": _release,
    "clock": _clock,
    "slots": _slots,
    "limit": _limit,
    "messages": _messages,
    "full queue": _full_queue,
}


def warnings(found: Figures) -> Iterator[str]:
    """Say what cannot keep up, before it runs."""
    for now in found.loops.values():
        yield from _ticks(now)
        if now.paced_by == "slots":
            free = min(1 / now.release if now.release else inf, now.needs / now.holds)
            yield f"{_slots(now, found)}: {rate_word(free)} -> {rate_word(now.rate)}{_if(now)}"
    for queue in found.queues.values():
        if not queue.keeps_up or (queue.presses_back and isclose(queue.utilisation, 1)):
            yield queue_warning(queue)
    yield from (_of_limit(limit) for limit in found.limits if limit.utilisation > 1 - 1e-6)


def _ticks(now: LoopCapacity) -> Iterator[str]:
    if now.missed > 1e-9:  # noqa: PLR2004 - rounding noise
        part = Fraction(now.missed).limit_denominator(20)
        about = "" if isclose(part, now.missed) else "about "
        why = f"release takes {_s(now.release)}"
        if now.paced_by not in {"release", "clock"} or now.release <= (now.every or 0):
            why = f"an item takes {_s(now.period)}"
        verb = "is" if part.numerator == 1 else "are"
        missed = f"{about}{part.numerator} of {part.denominator} ticks {verb} missed"
        yield f"{now.loop}: every={_s(now.every or 0)[:-2]} but {why}: {missed}{_if(now)}"


def queue_warning(queue: QueueCapacity) -> str:
    """Say that the readers of a queue do not keep up."""
    if queue.presses_back:
        return (
            f"queue {queue.queue} is full (maxlen={queue.maxlen}): {both(queue.readers)} takes"
            f" {rate_word(queue.service)}, and who pushes waits"
        )
    grows = f"queue {queue.queue} grows {rate_word(queue.growth)}"
    come = f"{rate_word(queue.arrival)} come in"
    may = " if every item is pushed" if queue.worst else ""
    return f"{grows}{may}: {come}, {both(queue.readers)} takes {rate_word(queue.service)}"


def _of_limit(limit: LimitCapacity) -> str:
    return f"the limit of {both(limit.nodes)}, {limit.limit}, is busy all the time"


def _s(value: float) -> str:
    return f"{value:.6g} s"
