"""How does a capacity read, as text and as tables? Predicted, and measured beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

from flownb.explain.capacity import rate_word
from flownb.explain.reasons import named
from flownb.notebook.picture.table import table, text_table
from flownb.notebook.picture.text import clean, took, xml

if TYPE_CHECKING:
    from flownb.explain.capacity import Capacity, LimitCapacity, LoopCapacity, QueueCapacity

_PACED: Final = {
    "release": "what it waits for",
    "clock": "its own clock",
    "slots": "in-flight slots",
    "limit": "a limit",
    "messages": "messages",
    "full queue": "a full queue",
}
_LOOPS: Final = ("loop", "rate", "period", "released", "paced by", "in flight", "ticks missed")
_QUEUES: Final = ("queue", "comes in", "readers", "they take", "busy", "grows")
_LIMITS: Final = ("limit", "of", "busy")
_MEASURED: Final = ("loop", "rate", "measured", "period", "measured", "off by")
_MOST: Final = 100
STYLE: Final = (
    ".fnb ul.fnb-box{margin:8px 0;padding:4px 12px 4px 24px;color:var(--fnb-fg);font-size:13px;"
    "border-left:4px solid #56b4e9}"
    ".fnb ul.fnb-box li{margin:2px 0}"
    ".fnb ul.fnb-warn{border-left-color:#d55e00}"
    ".fnb ul.fnb-warn li::marker{content:'!  ';font-weight:700}"
)
Table = tuple[Sequence[str], list[list[Any]]]


def whole_text(capacity: Capacity) -> str:
    """Write everything: the tables, the bottlenecks, the warnings, the advice."""
    if not capacity.loops:
        return f"{clean(capacity.name)}: no loop, so nothing has to keep up"
    lines = [f"{capacity.name}: can it keep up?{_unknown(capacity)}"]
    for columns, rows in all_tables(capacity):
        lines += ["", *text_table(columns, rows).splitlines()]
    lines += ["", *sentences(capacity)]
    return "\n".join(clean(line).rstrip() for line in lines)


def _unknown(capacity: Capacity) -> str:
    if not capacity.unknown:
        return ""
    verb = "is" if len(capacity.unknown) == 1 else "are"
    return f" (how long {named(capacity.unknown, 6)} takes {verb} unknown and counts 0)"


def sentences(capacity: Capacity) -> Iterator[str]:
    """Give what is to be said: warnings first, then what decides, then what would help."""
    for warning in capacity.warnings:
        yield f"! {warning}"
    yield from capacity.bottlenecks.values()
    for loop, advice in capacity.advice.items():
        yield from (f"{loop} would be faster: {change}" for change in advice)


def all_tables(capacity: Capacity) -> Iterator[Table]:
    """Give each table that has rows: (columns, rows)."""
    rows = [
        (_LOOPS, [_loop(x) for x in list(capacity.loops.values())[:_MOST]]),
        (_QUEUES, [_queue(x) for x in list(capacity.queues.values())[:_MOST]]),
        (_LIMITS, [_limit(x) for x in capacity.limits[:_MOST]]),
        (_MEASURED, list(_measured(capacity))),
    ]
    yield from ((columns, found) for columns, found in rows if found)


def tables(capacity: Capacity) -> list[tuple[str, str]]:
    """Give the same as HTML: the sentences open, then the tables."""
    rest = "".join(table(columns, rows) for columns, rows in all_tables(capacity))
    said = [line for line in sentences(capacity) if not line.startswith("! ")]
    return [("", f"<style>{STYLE}</style>{boxed(capacity.warnings, 'warn')}{boxed(said)}{rest}")]


def boxed(lines: Sequence[str], look: str = "say") -> str:
    """Put sentences into a box with a bar at its side; nothing if there are none."""
    inside = "".join(f"<li>{xml(line)}</li>" for line in lines)
    return f'<ul class="fnb-box fnb-{look}">{inside}</ul>' if lines else ""


def _loop(now: LoopCapacity) -> list[Any]:
    missed = percent(now.missed) if now.every else None
    flight = f"{now.in_flight:.3g} of {now.max_in_flight}" if now.holds else None
    paced = _PACED[now.paced_by] if now.rate < inf else "nothing that is known"
    most = "at most " if now.at_most or now.given else ""
    least = "at least " if now.given and not now.at_least else ""
    bound = "at least " if now.at_least and not most else most
    return [
        now.loop, f"{least}{rate_word(now.rate)}", f"{bound}{_period(now.period)}",
        f"{most}{took(now.release)}", paced, flight, missed,
    ]  # fmt: skip


def _queue(queue: QueueCapacity) -> list[Any]:
    most = "up to " if queue.worst else ""
    grows = rate_word(queue.growth) if not queue.keeps_up else "no"
    return [
        queue.queue, f"{most}{rate_word(queue.arrival)}", ", ".join(queue.readers),
        rate_word(queue.service), percent(queue.utilisation), grows,
    ]  # fmt: skip


def _limit(limit: LimitCapacity) -> list[Any]:
    return [limit.limit, ", ".join(limit.nodes), percent(limit.utilisation)]


def _measured(capacity: Capacity) -> Iterator[list[Any]]:
    """Put the measured rate beside the predicted one, as EXPLAIN ANALYZE does."""
    for loop, now in capacity.loops.items():
        seen = capacity.measured.get(loop)
        if seen is not None and seen.released and now.rate < inf:
            off = f"{seen.rate / now.rate - 1:+.1%}"
            periods = [_period(now.period), _period(1 / seen.rate)]
            yield [loop, rate_word(now.rate), rate_word(seen.rate), *periods, off]


def _period(seconds: float) -> str:
    return took(float(f"{seconds:.4g}"))


def percent(part: float) -> str:
    """Write a share.

    >>> percent(0.256), percent(1.5), percent(float("inf"))
    ('26 %', '150 %', 'always')
    """
    return f"{part * 100:.0f} %" if part < inf else "always"
