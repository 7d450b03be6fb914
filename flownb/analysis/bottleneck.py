"""What holds a loop up, and can the graph keep up? In one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import inf, isclose
from typing import TYPE_CHECKING

from flownb.analysis.capacity import rate_word
from flownb.analysis.chains import both, chain_text

if TYPE_CHECKING:
    from flownb.analysis.capacity import Figures, LimitCapacity, LoopCapacity, QueueCapacity


def sentence(now: LoopCapacity, found: Figures) -> str:
    """Say what decides how fast a loop goes."""
    if now.rate == inf:
        return f"{now.loop} goes as fast as it can: no duration and no every= is known"
    maybe = "; more, when items meet at a limit" if now.at_least else ""
    return f"{_SAYS[now.paced_by](now, found)}{maybe}"


def _release(now: LoopCapacity, _: Figures) -> str:
    slow, takes = max(now.chain, key=lambda part: part[1])
    who = f"{now.loop} waits for {slow}" if slow != now.loop else f"{now.loop} itself is slow"
    chain = chain_text([name for name, _ in now.chain])
    share = f"{_s(takes)} of the {_s(now.release)}" if takes != now.release else f"all {_s(takes)}"
    return f"{who}: {share} of an iteration ({chain})"


def _clock(now: LoopCapacity, _: Figures) -> str:
    done = f"done after {_s(now.release)}"
    return f"{now.loop} waits for its own clock: every {_s(now.every or 0)}, {done}"


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


def _messages(now: LoopCapacity, _: Figures) -> str:
    able = f"it could take {rate_word(now.ceiling)}"
    return f"{now.loop} waits for messages: {rate_word(now.rate)} come, {able}"


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
            yield f"{_slots(now, found)}: {rate_word(free)} -> {rate_word(now.rate)}"
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
        yield f"{now.loop}: every={_s(now.every or 0)[:-2]} but {why}: {missed}"


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
