"""Which rules can a user set on a node or a loop?

Small frozen values, in the words of the field: `Retry` speaks stamina's language,
`Limit` a semaphore's, `LoopOptions` holds what `Graph.set_loop` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from os import PathLike
from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from flownb.address import Address, store_address
from flownb.arguments import (
    FLAG,
    MOST_SECONDS,
    NONE,
    SECONDS,
    TEXT,
    Rule,
    answering,
    at_once,
    checked,
    number,
    whole,
    word,
)
from flownb.errors import ArgumentError, GraphError

if TYPE_CHECKING:
    from flownb.errors import Failure

AwaitPolicy = Literal["none", "node", "blocking", "path_live", "path", "all"]
Pool = Literal["asyncio", "thread", "process", "dask"]
REMOTE_POOLS: Final = ("process", "dask")  # a loop in one of these lives in another process
StartRule = Literal["dataflow", "level", "sequential"]
WhenFull = Literal["block", "drop_newest", "drop_oldest", "error"]
Restart = Literal["never", "on_crash"]
OnError = Literal["skip", "dead_letter", "pause", "stop"]
RunOnError = Literal["stop", "continue"]
NodeKind = Literal["blocking", "non_blocking"]
Join = Literal["all", "each", "first"] | int
QueueMode = Literal["competing", "broadcast"]
Ack = Literal["done", "awaited", "received"]
Codec = Literal["json", "msgpack"]
Prefetch = int | Literal["auto"]
Control = Literal["notebook", "thread"]
Takes = float | Callable[[Random], float]
Fail = float | Container[int] | Callable[[Random], object]

AWAIT_POLICIES: Final[tuple[AwaitPolicy, ...]] = get_args(AwaitPolicy)
ON_ERROR: Final[tuple[OnError, ...]] = get_args(OnError)

ErrorFilter = (
    type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]
)


class _Otherwise:
    """The `when=` of the edge that is taken when no other edge of an if is.

    >>> from flownb import OTHERWISE
    >>> OTHERWISE
    OTHERWISE
    """

    def __repr__(self) -> str:
        return "OTHERWISE"

    def __reduce__(self) -> str:
        return "OTHERWISE"


OTHERWISE: Final = _Otherwise()


class _Unchanged:
    """The default of an option that keeps its value when it is not named."""

    def __repr__(self) -> str:
        return "<unchanged>"


UNCHANGED: Final[Any] = _Unchanged()  # Any: an option's type is that of its values


@dataclass(frozen=True, slots=True)
class Retry:
    """Try a node again when it fails with one of these errors.

    `on` has no default on purpose: an exception class, a tuple of them, or a
    predicate of the exception. `attempts` counts the first try. The n-th wait is
    `wait_initial` seconds, times `wait_exp_base` for each wait before it, `wait_max` at most;
    plus up to `wait_jitter` seconds, drawn from the node's own random numbers.

    >>> [Retry(on=OSError, wait_initial=0.1).wait(n) for n in (1, 2, 3)]
    [0.1, 0.2, 0.4]
    """

    on: ErrorFilter
    attempts: int = 3
    wait_initial: float = 0.1
    wait_max: float = 5.0
    wait_jitter: float = 0.0
    wait_exp_base: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what could never work, where it is written."""
        for name, rule in _RETRY.items():
            object.__setattr__(self, name, checked("Retry()", name, getattr(self, name), rule))

    def catches(self, error: BaseException) -> bool:
        """Whether this error is one to try again after."""
        if isinstance(self.on, (type, tuple)):
            return isinstance(error, self.on)
        return bool(at_once(self.on(error)))

    def wait(self, attempt: int, rng: Random | None = None) -> float:
        """Seconds to wait after attempt number *attempt* (from 1) has failed."""
        try:
            backoff = min(self.wait_max, self.wait_initial * self.wait_exp_base ** (attempt - 1))
        except OverflowError:
            backoff = self.wait_max
        return backoff + (rng.uniform(0, self.wait_jitter) if rng and self.wait_jitter else 0)


def retries(retry: Retry | tuple[Retry, ...] | None) -> tuple[Retry, ...]:
    """Give what a node's `retry=` says as policies: of several the first that catches counts."""
    return () if retry is None else retry if isinstance(retry, tuple) else (retry,)


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _is_filter(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_error, value))
    return _is_error(value) or (_PREDICATE.fits(value) and not isinstance(value, type))


_PREDICATE: Final = answering("the exception")


_RETRY: Final[Mapping[str, Rule]] = {
    "on": Rule(
        "give an exception class, a tuple of them, or a predicate",
        _is_filter,
        more=_PREDICATE.more,
    ),
    "attempts": whole("attempts, the first try counts", least=1),
    "wait_initial": SECONDS,
    "wait_max": SECONDS,
    "wait_jitter": SECONDS,
    "wait_exp_base": number("times that each wait is longer", above=0),
}


_CONCURRENCY: Final = whole("calls at once", least=1) | NONE
_PER_SECOND: Final = number("starts a second", least=1e-9) | NONE


class Limit:
    """At most `concurrency` calls at once, at most `per_second` starts a second.

    One `Limit` given to several nodes is shared by them, in all graphs of this process: one GPU,
    one rate-limited service, "two machines". Waiting for it shows on the timeline. A sync call
    that has timed out keeps its place until it really ends.

    >>> Limit(concurrency=2)
    Limit(concurrency=2)
    """

    __slots__ = ("__weakref__", "concurrency", "per_second")

    def __init__(self, concurrency: int | None = None, per_second: float | None = None) -> None:
        if concurrency is None and per_second is None:
            msg = (
                "Limit(): give concurrency= (calls at once), per_second= (starts a second), or both"
            )
            raise ArgumentError(msg)
        self.concurrency = checked("Limit()", "concurrency", concurrency, _CONCURRENCY)
        self.per_second = checked("Limit()", "per_second", per_second, _PER_SECOND)

    def __repr__(self) -> str:
        given = {"concurrency": self.concurrency, "per_second": self.per_second}
        return f"Limit({', '.join(f'{k}={v!r}' for k, v in given.items() if v is not None)})"


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """What `Graph.set_loop` sets for one loop, and explains; times in seconds.

    `pool`, `await_policy`, `start_rule`, `max_in_flight`, `when_full`, `on_error`, `restart`,
    `transactional`, `checkpoint`, `persistence_interval`, `resources`, `thread_sensitive`.
    """

    pool: Pool = "thread"
    await_policy: AwaitPolicy = "path"
    start_rule: StartRule = "dataflow"
    max_in_flight: int = 64
    when_full: WhenFull = "block"
    on_error: OnError | Callable[[Failure], OnError] = "skip"
    restart: Restart = "never"
    transactional: bool = False
    checkpoint: Any = field(default=None, repr=False)  # its password is nobody's business
    persistence_interval: float = 1.0
    resources: Mapping[str, Any] = field(default_factory=dict)
    thread_sensitive: bool = False

    def __post_init__(self) -> None:
        """Refuse the address of a store that cannot be one, where it is written."""
        if isinstance(self.checkpoint, str):
            try:
                store_address(self.checkpoint)
            except ValueError as error:
                given = f"checkpoint={Address.of(self.checkpoint)!r}"
                raise GraphError(f"set_loop({given}): {error}") from None


def _is_store(value: object) -> bool:
    kept = (hasattr(value, "find") and hasattr(value, "save")) or hasattr(value, "loops")
    return isinstance(value, PathLike) or (kept and not isinstance(value, type))


LOOP: Final[Mapping[str, Rule]] = {
    "pool": word(*get_args(Pool)),
    "await_policy": word(*AWAIT_POLICIES),
    "start_rule": word(*get_args(StartRule)),
    "max_in_flight": whole("items", least=1),
    "when_full": word(*get_args(WhenFull)),
    "on_error": word(*ON_ERROR) | answering("the failure"),
    "restart": word(*get_args(Restart)),
    "transactional": FLAG,
    "checkpoint": Rule(
        "give the store: a path, a URL, or what open_store() gave",
        lambda value: value is None or TEXT.fits(value) or _is_store(value),
    ),
    "persistence_interval": number(
        "seconds between two checkpoints, 0 for one after each item", least=0, most=MOST_SECONDS
    ),
    "resources": Rule(
        "give a dict, a name for each resource",
        lambda value: isinstance(value, Mapping) and all(isinstance(key, str) for key in value),
    ),
    "thread_sensitive": FLAG,
}
