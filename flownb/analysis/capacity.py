"""Can this graph keep up? Rates, slots, limits and queues, before it runs.

The figures are those of a steady state: what the loops settle to when nothing changes
any more. Where an if decides and nobody says how often, the worst case counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from flownb.analysis.durations import MICRO
from flownb.analysis.pace import Rates, paces
from flownb.analysis.traffic import Pipe, Traffic
from flownb.model.shown import Shown

if TYPE_CHECKING:
    from flownb.analysis.pace import Pace
    from flownb.analysis.study import Study
    from flownb.model.policies import Limit
    from flownb.model.records import LoopMetrics
    from flownb.model.workflow import Workflow


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
    also meet at a limit at a bad moment, so the period may be longer than that.
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
    found = {loop: paces(study, rates) for loop, study in studies.items()}
    plans = {loop: study.plan for loop, study in studies.items()}
    pipes = tuple(_pipes(workflow, studies))
    traffic = Traffic(plans, found, pipes)
    limits = dict(_limits(workflow, traffic))
    loops = {loop: _loop(study, found[loop], traffic, limits) for loop, study in studies.items()}
    queues = {pipe.queue: _queue(pipe, traffic) for pipe in pipes}
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


def _limits(workflow: Workflow, traffic: Traffic) -> Iterator[tuple[int, LimitCapacity]]:
    holders: dict[int, list[str]] = {}
    limits: dict[int, Limit] = {}
    for node in workflow.nodes.values():
        if node.limit is not None:
            limits[id(node.limit)] = node.limit
            holders.setdefault(id(node.limit), []).append(node.name)
    for key, limit in limits.items():
        busy = sum(rate * use for rate, use in traffic.demand(key).values() if rate < inf)
        yield key, LimitCapacity(f"Limit{_words(limit)}", tuple(holders[key]), busy)


def _words(limit: Limit) -> str:
    given = {"concurrency": limit.concurrency, "per_second": limit.per_second}
    return f"({', '.join(f'{k}={v}' for k, v in given.items() if v is not None)})"


def _loop(
    study: Study, found: Sequence[Pace], traffic: Traffic, limits: Mapping[int, LimitCapacity]
) -> LoopCapacity:
    pace = max(found, key=lambda p: p.period)
    rate, options = traffic.rate(study.loop), study.plan.options
    paced_by, limit = _paced_by(study.loop, pace, traffic, limits)
    free = max(pace.ticks, *pace.uses.values(), 0.0)
    return LoopCapacity(
        study.loop,
        paced_by,
        pace.release / MICRO,
        1 / rate if rate else inf,
        rate,
        traffic.alone(study.loop),
        study.plan.nodes[0].node.every,
        tuple((name, study.takes(name)) for name in study.names(pace.awaited.chain)),
        pace.hold / MICRO,
        min(rate * pace.hold / MICRO, options.max_in_flight) if rate < inf else 0.0,
        pace.hold / free if free else 0.0,
        options.max_in_flight,
        limit,
        study.is_bound,
        pace.crowded,
    )


def _paced_by(
    loop: str, pace: Pace, traffic: Traffic, limits: Mapping[int, LimitCapacity]
) -> tuple[str, str]:
    """Say what binds: what makes the loop wait longest."""
    rate, plan = traffic.rate(loop), traffic.plans[loop]
    if rate < traffic.alone(loop):
        held = traffic.held.get(loop, "")
        if held and rate == traffic.cap[loop]:
            kind, _, which = held.partition(" ")
            return ("limit", limits[int(which)].limit) if kind == "limit" else ("full queue", which)
        return "messages", plan.reads or ""
    fullest = max(pace.uses, key=lambda key: pace.uses[key], default=None)
    if fullest is not None and pace.uses[fullest] >= pace.period > pace.release:
        return "limit", limits[fullest].limit
    if pace.slots >= pace.period > pace.ticks:
        return "slots", ""
    every = plan.nodes[0].node.every
    return ("clock" if every and pace.release < every * MICRO else "release"), ""


def _queue(pipe: Pipe, traffic: Traffic) -> QueueCapacity:
    open_ = any(len({p.runs[node] for p in traffic.paces[loop]}) > 1 for loop, node in pipe.writers)
    writers = tuple(traffic.plans[loop].nodes[node].name for loop, node in pipe.writers)
    return QueueCapacity(
        pipe.queue,
        writers,
        pipe.readers,
        traffic.arrival[pipe.queue],
        traffic.serviced(pipe),
        open_,
        pipe.options.maxlen,
        pipe.presses_back,
    )
