"""What takes time in a simulation, and what fails there on purpose?"""

from __future__ import annotations

import asyncio
import copy
import functools
import math
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from random import Random
from typing import TYPE_CHECKING, Any, Final

from flownb.arguments import MOST_SECONDS
from flownb.engine.calls.cache import Cache
from flownb.engine.calls.signature import EXHAUSTED
from flownb.engine.prints import HERE, who
from flownb.engine.runtime import World
from flownb.engine.simulation.virtual_loop import EPOCH, MICRO
from flownb.equality import unchanged
from flownb.errors import FAILS, InjectedFailure, LivelockError, SimulationError, beside, told
from flownb.model.nodes import drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from flownb.engine.runtime import Runtime
    from flownb.engine.simulation.virtual_loop import VirtualLoop
    from flownb.model.nodes import Node

CALLS_AT_ONE_INSTANT: Final = 100_000
HOPS_AT_ONE_INSTANT: Final = 1_000
FAILED_TICKS: Final = 1_000


class SimulatedWorld(World):
    """The world of one simulation: every call is inline, lengths are declared or slept."""

    virtual = True

    def __init__(self, seed: int = 0, *, call: bool = True, check_mutation: bool = False) -> None:
        super().__init__()
        self.inline = True
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


_REFUSED: Final = {
    "socket.__new__": "a socket",
    "socket.connect": "a socket",
    "subprocess.Popen": "a child process",
    "os.system": "a child process",
    "os.fork": "a child process",
    "os.posix_spawn": "a child process",
    "os.exec": "a child process",
    "_thread.start_new_thread": "a thread",
    "_thread.start_joinable_thread": "a thread",
}
READS_AT_ONE_INSTANT: Final = 3_000_000  # of a clock: seconds of real time
_REAL_TIME: Final = ("flownb", "fakeredis", "redis", "asyncio")  # whose modules see it


@dataclass(slots=True)
class _Stay:
    """One thread inside a simulation: its event loop, and where sleep and clocks stood."""

    event_loop: VirtualLoop
    names: list[tuple[dict[str, Any], str]]
    reads: int = 0
    instant: int = -1


_inside: dict[int, _Stay] = {}
_refusals: dict[int, SimulationError] = {}
_lock = threading.Lock()
_real_start = threading.Thread.start
_hooked = False


# (module, name) of each `from time import sleep`, and how many simulations stand in for it
_held: dict[tuple[int, str], int] = {}


def _now(stay: _Stay) -> int:
    """Virtual microseconds since the simulation began, what the node has slept included."""
    spot = HERE.get()
    us = stay.event_loop.us + (round(spot.slept * MICRO) if spot is not None else 0)
    stay.reads = stay.reads + 1 if us == stay.instant else 1
    stay.instant = us
    if stay.reads > READS_AT_ONE_INSTANT:
        msg = (
            f"{who()} has asked for the time {READS_AT_ONE_INSTANT:,} times at second "
            f"{us / MICRO:g}, and time does not pass while nobody sleeps: let it sleep in "
            "between, or give it fake="
        )
        raise _refusals.setdefault(threading.get_ident(), SimulationError(msg))
    return us


def _virtual() -> _Stay | None:
    """Give the simulation whose user code asks; None: real time is meant."""
    stay = _inside.get(threading.get_ident())
    if stay is None:
        return None
    asks = sys._getframe(2).f_globals.get("__name__", "")  # noqa: SLF001
    return None if asks.partition(".")[0] in _REAL_TIME else stay


def _clock(real: Callable[[], Any], convert: Callable[[int], Any]) -> Callable[[], Any]:
    """Make the stand-in of a clock; *convert* gives the virtual microseconds as it does."""

    @functools.wraps(real)
    def clock() -> Any:
        stay = _virtual()
        return real() if stay is None else convert(_now(stay))

    return clock


def _seconds(stay: _Stay) -> float:
    return EPOCH + _now(stay) / MICRO


def _date(real: Callable[..., Any]) -> Callable[..., Any]:
    """Make the stand-in of what gives the date of some seconds since 1970, or of now."""

    @functools.wraps(real)
    def date(seconds: float | None = None, /) -> Any:
        stay = _virtual()
        return real(seconds if seconds is not None or stay is None else _seconds(stay))

    return date


def _text(real: Callable[..., Any], arguments: int) -> Callable[..., Any]:
    """Make the stand-in of what writes a date, of now when it has *arguments* only."""

    @functools.wraps(real)
    def text(*args: Any) -> Any:
        stay = _virtual()
        now = stay is not None and len(args) == arguments
        return real(*args, _real["localtime"](_seconds(stay))) if now else real(*args)  # type: ignore[arg-type]

    return text


def _sleep(seconds: float) -> None:
    """Stand in for time.sleep while a simulation runs."""
    if threading.get_ident() in _inside:
        add_sleep(seconds)
    else:
        _real["sleep"](seconds)


def _start(thread: threading.Thread) -> None:
    """Stand in for Thread.start: before Python 3.12 a new thread is no audit event."""
    _audit("_thread.start_new_thread", None)
    _real_start(thread)


_CLOCKS: Final[dict[str, Callable[[int], Any]]] = {
    "time": lambda us: EPOCH + us / MICRO,
    "time_ns": lambda us: (EPOCH * MICRO + us) * 1000,
    "monotonic": lambda us: us / MICRO,
    "monotonic_ns": lambda us: us * 1000,
    "perf_counter": lambda us: us / MICRO,
    "perf_counter_ns": lambda us: us * 1000,
}
_DATES: Final = ("gmtime", "localtime", "ctime")
_TEXTS: Final = {"asctime": 0, "strftime": 1}
_real: Final[dict[str, Any]] = {
    name: getattr(time, name) for name in ("sleep", *_CLOCKS, *_DATES, *_TEXTS)
}
_stand_in: Final[dict[str, Any]] = {
    "sleep": _sleep,
    **{name: _clock(_real[name], tell) for name, tell in _CLOCKS.items()},
    **{name: _date(_real[name]) for name in _DATES},
    **{name: _text(_real[name], arguments) for name, arguments in _TEXTS.items()},
}


# by identity, whether it is the real one or a stand-in of another simulation
_known: Final = {id(f): name for table in (_real, _stand_in) for name, f in table.items()}


def _audit(event: str, _: Any) -> None:
    if event in _REFUSED and threading.get_ident() in _inside:
        msg = f"{who()} tried to open {_REFUSED[event]} in a simulation: give it fake="
        # the node may swallow it: the simulation learns of it all the same
        raise _refusals.setdefault(threading.get_ident(), SimulationError(msg))


@contextmanager
def sandboxed(functions: Iterable[Any], event_loop: VirtualLoop) -> Iterator[None]:
    """Keep this thread inside the simulation; *functions* are the node functions.

    `from time import sleep` in the module or cell of a node function is seen too.
    """
    _hook()
    me = threading.get_ident()
    spaces = _spaces(functions)
    with _lock:
        names = [(g, k) for g in spaces for k, v in list(g.items()) if id(v) in _known]
        _inside[me] = _Stay(event_loop, names)
        for name, stand_in in _stand_in.items():
            setattr(time, name, stand_in)
        threading.Thread.start = _start  # type: ignore[assignment]
        for space, name in names:
            space[name] = _stand_in[_known[id(space[name])]]
            _held[id(space), name] = _held.get((id(space), name), 0) + 1
    try:
        yield
        if me in _refusals:
            raise _refusals[me]
    finally:
        leave(me)


def leave(thread: int) -> None:
    """Put back what no other simulation needs any more; again does nothing."""
    with _lock:
        stay = _inside.pop(thread, None)
        _refusals.pop(thread, None)
        for space, name in [] if stay is None else stay.names:
            _held[id(space), name] -= 1
            if not _held[id(space), name]:
                del _held[id(space), name]
                if (known := _known.get(id(space.get(name)))) is not None:
                    space[name] = _real[known]
        if not _inside:
            for name, real in _real.items():
                setattr(time, name, real)
            threading.Thread.start = _real_start  # type: ignore[method-assign]


def asks_the_date(fn: Any) -> str:
    """Name what a function calls that no simulation can stand in for: "datetime.now", say.

    The classes of `datetime` are written in C and ask the machine. Seen is what stands in the
    function's own code, and in functions inside it.
    """
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = getattr(fn, "run", fn)
    code, space = getattr(fn, "__code__", None), getattr(fn, "__globals__", {})
    codes = [] if code is None else [code]
    for one in codes:
        codes += [part for part in one.co_consts if hasattr(part, "co_names")]
        verbs = [name for name in one.co_names if name in _DATE_VERBS]
        of_date = any(_is_date(space.get(name)) for name in one.co_names)
        if verbs and of_date:
            return f"datetime.{verbs[0]}"
    return ""


def _is_date(value: Any) -> bool:
    dates = sys.modules.get("datetime")
    return dates is not None and any(value is x for x in (dates, dates.datetime, dates.date))


_DATE_VERBS: Final = ("now", "utcnow", "today")


def _hook() -> None:
    """Install the audit hook, once and for all: Python has no way to take one off."""
    global _hooked  # noqa: PLW0603
    with _lock:
        if not _hooked:
            sys.addaudithook(_audit)
            _hooked = True


def _spaces(functions: Iterable[Any]) -> list[dict[str, Any]]:
    found = {id(g): g for f in functions for g in _globals(f) if isinstance(g, dict)}
    own = [vars(time), globals()]
    return [g for g in found.values() if all(g is not mine for mine in own)]


def _globals(fn: Any) -> Iterator[Any]:
    """Give the global names that a function, generator, object or class node sees."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    frame = getattr(fn, "gi_frame", None) or getattr(fn, "ag_frame", None)
    if frame is not None:
        yield frame.f_globals
    if hasattr(fn, "__globals__"):
        yield fn.__globals__
        yield getattr(getattr(fn, "__wrapped__", None), "__globals__", None)
        return
    for base in type(fn).__mro__:
        yield from (getattr(member, "__globals__", None) for member in vars(base).values())
