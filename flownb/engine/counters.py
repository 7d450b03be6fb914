"""How do a loop's counters get through a restart? As JSON, without what was under way.

What was open when they were kept is made again, and counted then.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import StoreError

if TYPE_CHECKING:
    from flownb.engine.metrics import Histogram, Meter, NodeMeter

_COUNTED: Final = (
    "produced", "released", "settled", "item_failed", "dropped", "cancelled", "overrun",
    "restarted",
)  # fmt: skip
_OF_NODE: Final = ("failed", "retries", "timeouts", "abandoned", "backoff", "cached")


def dump(meter: Meter, now: float) -> str:
    """Write the counters of a loop as they are at second *now*."""
    counts = {kind: meter.counts[kind] for kind in _COUNTED if meter.counts[kind]}
    settled = meter.counts["settled"] - meter.counts["cancelled"]
    counts.pop("cancelled", None)
    counts |= {"settled": settled, "produced": settled}
    counts["released"] = min(counts.get("released", 0), settled)
    nodes = [[m.name, _histogram(m.times), *(getattr(m, f) for f in _OF_NODE)] for m in _all(meter)]
    return json.dumps(
        {
            "counts": counts,
            "seconds": meter.seconds,
            "items": _histogram(meter.items),
            "elapsed": max(0.0, now - meter.started),
            "nodes": nodes,
        }
    )


def _all(meter: Meter) -> list[NodeMeter]:
    return list(meter.nodes.values())


def _histogram(h: Histogram) -> list[Any]:
    return [h.count, h.total, h.longest, list(h.buckets.items())]


def load(meter: Meter, text: str) -> None:
    """Have the counters of a loop go on from what was kept; StoreError if that is broken."""
    if not text:
        return
    try:
        found = json.loads(text)
        meter.counts.update({kind: int(found["counts"].get(kind, 0)) for kind in _COUNTED})
        meter.seconds |= {kind: float(s) for kind, s in found["seconds"].items()}
        meter.before = float(found["elapsed"])
        _fill(meter.items, found["items"])
        for name, times, *facts in found["nodes"]:
            node = meter.node(name)
            _fill(node.times, times)
            for field, value in zip(_OF_NODE, facts, strict=True):
                setattr(node, field, value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"loop {meter.loop!r}: the counters in its checkpoint cannot be read: {error!r}"
        raise StoreError(msg) from None


def _fill(h: Histogram, kept: list[Any]) -> None:
    h.count, h.total, h.longest, buckets = kept
    h.buckets = {int(bucket): int(times) for bucket, times in buckets}
