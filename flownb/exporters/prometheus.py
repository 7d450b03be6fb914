"""How does Prometheus read loops? As counters and gauges, folded from what loops count anyway.

`LoopCollector` goes into a registry; a scrape reads `orch.metrics()`, which stops no loop.
`CallSeconds` is an observer that counts the length of each call in a histogram. The server
answers with both kinds of figures at `/metrics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from flownb.engine.observe.stream import Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.registry import CollectorRegistry

    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.queues.spec import QueueStats
    from flownb.records.events import Span

_ITEMS: Final = ("done", "failed", "cancelled", "dropped")
_COUNTS: Final = {
    "overruns": "Ticks of every= that were missed.",
    "failed_ticks": "Calls of the producer that failed.",
    "restarts": "Attempts after a crash.",
    "unread": "Messages that went to the dead letters unread.",
}
_SECONDS: Final = ("working", "waiting", "throttled")
_OF_NODES: Final = ("calls", "failed", "retries", "timeouts", "abandoned", "cached")


class LoopCollector(Collector):
    """The counters of all loops of *orchestrators*: what it gives is asked at each scrape.

    *queues* gives the figures of the queues of a graph that are known now.

    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> registry = CollectorRegistry()
    >>> registry.register(LoopCollector(lambda: []))
    >>> b"flownb_items_total" in generate_latest(registry)
    True
    """

    def __init__(
        self,
        orchestrators: Callable[[], Iterable[Orchestrator]],
        queues: Callable[[str], Sequence[QueueStats]] = lambda _: (),
    ) -> None:
        self._orchestrators, self._queues = orchestrators, queues

    def collect(self) -> Iterator[Any]:
        """Give every figure there is."""
        at = ["graph", "loop"]
        items = CounterMetricFamily("flownb_items", "Items that ended.", labels=[*at, "outcome"])
        counts = {
            name: CounterMetricFamily(f"flownb_{name}", said, labels=at)
            for name, said in _COUNTS.items()
        }
        spent = CounterMetricFamily(
            "flownb_producer_seconds", "What the producer spent its time on.",
            labels=[*at, "kind"],
        )  # fmt: skip
        flight = GaugeMetricFamily("flownb_in_flight", "Items whose work goes on.", labels=at)
        state = GaugeMetricFamily("flownb_loop_state", "1 for the state.", labels=[*at, "state"])
        nodes = {
            name: CounterMetricFamily(f"flownb_node_{name}", f"{name} of a node.",
                                      labels=[*at, "node"])
            for name in _OF_NODES
        }  # fmt: skip
        worked = CounterMetricFamily(
            "flownb_node_seconds", "Seconds that the calls of a node took.", labels=[*at, "node"]
        )
        for orch in self._orchestrators():
            for loop, found in orch.metrics().items():
                of = [orch.name, loop]
                for outcome in _ITEMS:
                    items.add_metric([*of, outcome], getattr(found, outcome))
                for name, family in counts.items():
                    family.add_metric(of, getattr(found, name))
                for kind in _SECONDS:
                    spent.add_metric([*of, kind], getattr(found, kind))
                flight.add_metric(of, found.in_flight)
                state.add_metric([*of, found.state], 1)
                _add_nodes(of, found.nodes, nodes, worked)
        yield from (items, *counts.values(), spent, flight, state, *nodes.values(), worked)
        yield from self._of_queues()

    def _of_queues(self) -> Iterator[Any]:
        families = {
            name: GaugeMetricFamily(f"flownb_queue_{name}", said, labels=["graph", "queue"])
            for name, said in (
                ("depth", "Messages that are kept."),
                ("lag", "Messages that are not delivered yet."),
                ("pending", "Messages that are delivered and not acked."),
            )
        }
        for orch in self._orchestrators():
            for stats in self._queues(orch.name):
                for name, family in families.items():
                    family.add_metric([orch.name, stats.queue], getattr(stats, name))
        yield from families.values()


def _add_nodes(
    of: list[str], found: Mapping[str, Any], families: Mapping[str, Any], worked: Any
) -> None:
    for node in found.values():
        for name, family in families.items():
            family.add_metric([*of, node.node], getattr(node, name))
        worked.add_metric([*of, node.node], node.total)


class CallSeconds(Observer):
    """An observer that counts how long each node call took, by loop and node.

    `graph.use(CallSeconds(registry))` before the graph is started.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        options: Any = {} if registry is None else {"registry": registry}
        self._seconds = Histogram(
            "flownb_call_seconds", "Seconds that a call of a node took.", ["loop", "node"],
            **options,
        )  # fmt: skip

    def on_span(self, span: Span, output: Any) -> None:  # noqa: ARG002
        """Count a call."""
        if span.kind == "work":
            self._seconds.labels(span.loop, span.node).observe(span.duration)
