"""What differs in a simulated loop? Only this; see `World`.

A call takes, in virtual seconds, what it awaits on the clock, plus what it passes to
`time.sleep` or `ctx.sleep`, plus its declared `takes=`; any other work takes none.
"""

from __future__ import annotations

import asyncio
import copy
import math
from numbers import Real
from random import Random
from typing import TYPE_CHECKING, Any, Final

from flownb.arguments import MOST_SECONDS
from flownb.engine.cached import Cache
from flownb.engine.capture import HERE
from flownb.engine.signature import EXHAUSTED
from flownb.equality import unchanged
from flownb.errors import FAILS, InjectedFailure, LivelockError, SimulationError, beside, told
from flownb.model.nodes import drawn

if TYPE_CHECKING:
    from flownb.engine.runtime import Runtime
    from flownb.model.nodes import Node

CALLS_AT_ONE_INSTANT: Final = 100_000
HOPS_AT_ONE_INSTANT: Final = 1_000
FAILED_TICKS: Final = 1_000


class Simulated:
    """The world of one simulation: every call is inline, lengths are declared or slept."""

    inline = True

    def __init__(self, seed: int = 0, *, call: bool = True, check_mutation: bool = False) -> None:
        self._check_mutation = check_mutation
        self._seed = seed
        self._call = call
        self._calls, self._instant = 0, -1.0
        self._first_hop, self._hop_instant = 0, -1.0
        self._rngs: dict[tuple[str, str], Random] = {}
        self.cache = Cache()  # of this simulation alone: it is the same every time

    def calls(self, node: Node) -> bool:
        """Whether node functions are called; a `fake=` always is."""
        return self._call or node.fake is not None

    def extra(
        self, runtime: Runtime, node: Node, output: Any, error: BaseException | None = None
    ) -> float:
        """Virtual seconds that the call that just gave *output*, or failed, still has to last."""
        if output is EXHAUSTED:
            return 0.0
        spot = HERE.get()
        slept = 0.0
        if spot is not None:
            slept, spot.slept = spot.slept, 0.0
        takes = node.takes
        if callable(takes):
            takes = drawn(node, self._rng("takes", runtime, node), error)
        return slept if takes is None else slept + takes

    def may_fail(self, runtime: Runtime, node: Node, iteration: int) -> None:
        """Fail here if `fail=` says so: a probability, item numbers, or a function of the rng."""
        fail = node.fail
        if fail is None:
            return
        rng = self._rng("fail", runtime, node)
        try:
            if isinstance(fail, int | float):
                hit = rng.random() < fail
            else:
                hit = bool(fail(rng) if callable(fail) else iteration in fail)
        except FAILS as fault:
            raise beside(f"node {node.name!r}: its fail=", fault) from fault
        if hit:
            said = getattr(fail, "__name__", type(fail)) if callable(fail) else fail
            msg = f"fail={said} said so"  # never an address: the same in every process
            raise InjectedFailure(msg)

    def called(self, runtime: Runtime, now: float, nodes: int) -> None:
        """Count the calls at one instant; too many are a livelock."""
        self._calls = self._calls + 1 if now == self._instant else 1
        self._instant = now
        # one item of a huge graph is no livelock
        if self._calls > CALLS_AT_ONE_INSTANT and self._calls > 2 * nodes:
            msg = (
                f"loop {runtime.name!r}: {CALLS_AT_ONE_INSTANT:,} calls at second {now:g} "
                "and time does not pass: give its producer every=, a node takes=, "
                "or the simulation iterations="
            )
            runtime.crash(LivelockError(msg))

    def tick_failed(self, runtime: Runtime, times: int) -> None:
        """Watch a producer that has failed *times* times in a row: its items may never come."""
        if times >= FAILED_TICKS and runtime.until == math.inf:
            msg = (
                f"loop {runtime.name!r}: its producer failed {times:,} times in a row and the "
                "simulation waits for more items: end the source with StopIteration, "
                "or give the simulation until="
            )
            runtime.crash(LivelockError(msg))

    def progress(self) -> None:
        """A source that will end has made an item: that is no livelock."""
        self._calls = 0

    def hopped(self, runtime: Runtime, hops: int) -> None:
        """Watch a message that has crossed *hops* queues: a ring at one instant is a livelock."""
        now = runtime.now()
        if now != self._hop_instant:
            self._hop_instant, self._first_hop = now, hops
        if hops - self._first_hop > HOPS_AT_ONE_INSTANT:
            msg = (
                f"loop {runtime.name!r}: a message went round {HOPS_AT_ONE_INSTANT:,} queues "
                f"at second {now:g} and time does not pass: the ring of queues never drains; "
                "give a node in it takes="
            )
            runtime.crash(LivelockError(msg))

    def sleep(self, seconds: float) -> None:
        """Make the simulated call last longer."""
        add_sleep(seconds)

    def watched(self, runtime: Runtime, node: str, iteration: int, payload: Any) -> Any:
        """Copy a payload that others get too, if mutation is to be checked."""
        if not self._check_mutation:
            return None
        try:
            return copy.deepcopy(payload)
        except Exception as error:  # noqa: BLE001 - of the payload's own making
            text = f"check_mutation: this payload cannot be copied, so nobody looks: {told(error)}"
            runtime.log(node, iteration, "warning", text)
            return None

    def check_unchanged(
        self, runtime: Runtime, node: str, iteration: int, payload: Any, before: Any
    ) -> None:
        """Name a node that changed a payload it shares."""
        if unchanged(payload, before):
            return
        msg = (
            f"node {node!r} (loop {runtime.name!r}, iteration {iteration}) "
            "changed a payload that other nodes get too: return a new one, or link with copy=True"
        )
        runtime.crash(SimulationError(msg))

    def _rng(self, what: str, runtime: Runtime, node: Node) -> Random:
        key = (what, node.name)
        if key not in self._rngs:
            text = f"{self._seed}/{runtime.name}/{node.name}/{what}"
            self._rngs[key] = Random(text.encode("utf-8", "surrogatepass"))  # any name will do
        return self._rngs[key]


class Ended(BaseException):
    """A node slept past the end of the simulation: it is still at work then, and ends there."""


def add_sleep(seconds: Any) -> None:
    """Add to the length of the simulated call that runs now; refuses what `time.sleep` does."""
    real = isinstance(seconds, Real)
    if not real:
        msg = f"{type(seconds).__name__!r} object cannot be interpreted as an integer"
        raise TypeError(msg)
    if not seconds >= 0:
        msg = "sleep length must be non-negative"
        raise ValueError(msg)
    if seconds > MOST_SECONDS:
        msg = "timestamp too large to convert to C _PyTime_t"
        raise OverflowError(msg)
    spot = HERE.get()
    if spot is None:
        return
    spot.slept += float(seconds)
    event_loop: Any = asyncio.get_running_loop()
    if not event_loop.reaches(spot.slept):
        raise Ended
