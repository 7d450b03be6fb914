"""What differs between a live loop and a simulated one? Only this.

Live, a call takes as long as it takes. In a simulation a call takes, in virtual
seconds, what it awaits on the clock, plus what it passes to `time.sleep` or
`ctx.sleep`, plus its declared `takes=`; any other work takes none.
"""

from __future__ import annotations

import asyncio
import copy
import math
import time
from numbers import Real
from random import Random
from typing import TYPE_CHECKING, Any, Final

from flownb.arguments import MOST_SECONDS
from flownb.engine.cached import Cache, cache
from flownb.engine.capture import HERE
from flownb.engine.signature import EXHAUSTED, FAILS
from flownb.equality import unchanged
from flownb.errors import InjectedFailure, LivelockError, SimulationError, beside, told
from flownb.model.nodes import drawn

if TYPE_CHECKING:
    from flownb.engine.calling import Runner
    from flownb.engine.item import Token
    from flownb.engine.loop import LoopManager
    from flownb.model.nodes import Node

CALLS_AT_ONE_INSTANT: Final = 100_000
HOPS_AT_ONE_INSTANT: Final = 1_000
FAILED_TICKS: Final = 1_000


class Live:
    """The real world."""

    inline = False
    cache = cache

    def calls(self, node: Node) -> bool:  # noqa: ARG002
        """Every node is called."""
        return True

    def extra(self, runner: Runner, output: Any, error: Any = None) -> float:  # noqa: ARG002
        """A call takes no time but its own."""
        return 0.0

    def may_fail(self, runner: Runner, token: Token) -> None:
        """Nothing fails but what fails."""

    def called(self, loop: LoopManager, now: float) -> None:
        """Nothing to watch: real time passes by itself."""

    def progress(self) -> None:
        """Nothing to watch."""

    def tick_failed(self, loop: LoopManager, times: int) -> None:
        """Nothing to watch: a live loop may try for ever."""

    def hopped(self, loop: LoopManager, hops: int) -> None:
        """Nothing to watch."""

    def watched(self, token: Token) -> Any:
        """Nothing to compare with later."""

    def check_unchanged(self, token: Token) -> None:
        """Nothing to compare."""

    def sleep(self, seconds: float) -> None:
        """Sleep in the node's own thread."""
        time.sleep(seconds)


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

    def extra(self, runner: Runner, output: Any, error: BaseException | None = None) -> float:
        """Virtual seconds that the call that just gave *output*, or failed, still has to last."""
        if output is EXHAUSTED:
            return 0.0
        spot = HERE.get()
        slept = 0.0
        if spot is not None:
            slept, spot.slept = spot.slept, 0.0
        takes = runner.node.takes
        if callable(takes):
            takes = drawn(runner.node, self._rng("takes", runner), error)
        return slept if takes is None else slept + takes

    def may_fail(self, runner: Runner, token: Token) -> None:
        """Fail here if `fail=` says so: a probability, item numbers, or a function of the rng."""
        fail = runner.node.fail
        if fail is None:
            return
        rng = self._rng("fail", runner)
        try:
            if isinstance(fail, int | float):
                hit = rng.random() < fail
            else:
                hit = bool(fail(rng) if callable(fail) else token.iteration in fail)
        except FAILS as fault:
            raise beside(f"node {runner.name!r}: its fail=", fault) from fault
        if hit:
            said = getattr(fail, "__name__", type(fail)) if callable(fail) else fail
            msg = f"fail={said} said so"  # never an address: the same in every process
            raise InjectedFailure(msg)

    def called(self, loop: LoopManager, now: float) -> None:
        """Count the calls at one instant; too many are a livelock."""
        self._calls = self._calls + 1 if now == self._instant else 1
        self._instant = now
        # one item of a huge graph is no livelock
        if self._calls > CALLS_AT_ONE_INSTANT and self._calls > 2 * len(loop.runners):
            msg = (
                f"loop {loop.name!r}: {CALLS_AT_ONE_INSTANT:,} calls at second {now:g} "
                "and time does not pass: give its producer every=, a node takes=, "
                "or the simulation iterations="
            )
            loop.crash(LivelockError(msg))

    def tick_failed(self, loop: LoopManager, times: int) -> None:
        """Watch a producer that has failed *times* times in a row: its items may never come."""
        if times >= FAILED_TICKS and loop.until == math.inf:
            msg = (
                f"loop {loop.name!r}: its producer failed {times:,} times in a row and the "
                "simulation waits for more items: end the source with StopIteration, "
                "or give the simulation until="
            )
            loop.crash(LivelockError(msg))

    def progress(self) -> None:
        """A source that will end has made an item: that is no livelock."""
        self._calls = 0

    def hopped(self, loop: LoopManager, hops: int) -> None:
        """Watch a message that has crossed *hops* queues: a ring at one instant is a livelock."""
        now = loop.now()
        if now != self._hop_instant:
            self._hop_instant, self._first_hop = now, hops
        if hops - self._first_hop > HOPS_AT_ONE_INSTANT:
            msg = (
                f"loop {loop.name!r}: a message went round {HOPS_AT_ONE_INSTANT:,} queues "
                f"at second {now:g} and time does not pass: the ring of queues never drains; "
                "give a node in it takes="
            )
            loop.crash(LivelockError(msg))

    def sleep(self, seconds: float) -> None:
        """Make the simulated call last longer."""
        add_sleep(seconds)

    def watched(self, token: Token) -> Any:
        """Copy a payload that others get too, if mutation is to be checked."""
        if not self._check_mutation:
            return None
        try:
            return copy.deepcopy(token.payload)
        except Exception as error:  # noqa: BLE001 - of the payload's own making
            text = f"check_mutation: this payload cannot be copied, so nobody looks: {told(error)}"
            token.at.loop.log(token.at.name, token.iteration, "warning", text)
            return None

    def check_unchanged(self, token: Token) -> None:
        """Name a node that changed a payload it shares."""
        if unchanged(token.payload, token.before):
            return
        msg = (
            f"node {token.at.name!r} (loop {token.at.loop.name!r}, iteration {token.iteration}) "
            "changed a payload that other nodes get too: return a new one, or link with copy=True"
        )
        token.at.loop.crash(SimulationError(msg))

    def _rng(self, what: str, runner: Runner) -> Random:
        key = (what, runner.name)
        if key not in self._rngs:
            text = f"{self._seed}/{runner.loop.name}/{runner.name}/{what}"
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
