"""How is a simulated node kept inside the simulation? By its thread.

On a simulation's thread the functions of `time` tell virtual time, `time.sleep` adds to the
node's virtual length, and sockets, child processes and new threads are refused. Other threads
see nothing of it, and flownb's own modules, with the Redis that they talk to, see real time.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.capture import HERE, who
from flownb.engine.clock import EPOCH, MICRO
from flownb.engine.world import add_sleep
from flownb.errors import SimulationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from flownb.engine.clock import VirtualLoop

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


def _clock(real: Callable[[], Any], tell: Callable[[int], Any]) -> Callable[[], Any]:
    """Make the stand-in of a clock; *tell* says the virtual microseconds as it does."""

    @functools.wraps(real)
    def clock() -> Any:
        stay = _virtual()
        return real() if stay is None else tell(_now(stay))

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
        # the node may swallow it: the simulation is told all the same
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
