"""What can go wrong, and what should the user do about it?

Every error of flownb is a `FlowError`. Its text names the node and the loop and
says what to do; the same names are attributes, so that code can act on them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from flownb.redaction import redacted

# What a user's function may raise and the loop, and the kernel, survive: also sys.exit(), an
# interrupt that hits it, pytest.fail(), a panic of a library in Rust. They fail the item.
FAILS: Final = BaseException
_SHOWN: Final = 12


def told(error: BaseException, limit: int = 2_000) -> str:
    """Tell an error by its class and text, also one whose text is huge or cannot be had.

    Passwords of addresses that were given to flownb are left out; what no store and no stream
    can take, half a character or a NUL, is written as Python would.

    >>> told(KeyError("day")), told(AssertionError())
    ("KeyError: 'day'", 'AssertionError')
    """
    try:
        text = str(error)
    except BaseException as fault:  # noqa: BLE001 - the user's own __str__
        text = f"(its text cannot be had: str() raised {type(fault).__name__})"
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text):,} characters)"
    text = redacted(text).encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Offer the closest known word, or say which there are.

    >>> did_you_mean("chekc", ["check", "audit"])
    ': did you mean "check"?'
    """
    words = list(known)
    close = difflib.get_close_matches(word, words, n=1)
    if close:
        return f': did you mean "{close[0]}"?'
    if not words:
        return ""
    return f" (there are: {', '.join(words[:_SHOWN])}{', ...' if len(words) > _SHOWN else ''})"


class FlowError(Exception):
    """Something in flownb went wrong; the subclass says in which layer."""


class GraphError(FlowError):
    r"""The graph cannot be built, read or planned as it was described.

    `problems` holds every mistake that was found, one sentence each.

    >>> str(GraphError("node 'a': no such node", "edge a -> b: unknown end"))
    "node 'a': no such node\nedge a -> b: unknown end"
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ArgumentError(GraphError, TypeError, ValueError):
    """An argument has a value that it cannot have; the text says what to give instead."""


class FlowFormatError(GraphError):
    """A drawing (React Flow JSON) cannot be read; each problem names the node or edge by its id.

    `found` holds the problems as `validate()` would give them, for who marks them in a picture.
    """

    def __init__(self, *problems: object) -> None:
        super().__init__(*map(str, problems))
        self.found = problems


class RunError(FlowError):
    """A run was asked for something it cannot do, or ended badly."""


class UnknownName(GraphError, RunError, KeyError):
    """A node, loop or queue was asked for that is not there; the text says which was meant."""

    def __str__(self) -> str:
        return "\n".join(self.problems)


class CodeFailed(RunError):
    """Code of the user's that runs beside a node has raised: a predicate, a reducer, `takes=`.

    Its own exception is `__cause__`.
    """


def caused(error: BaseException, cause: BaseException) -> None:
    """Say what caused an error, where nothing else did; its class may refuse to be changed."""
    if error is not cause and error.__cause__ is None:
        BaseException.__dict__["__cause__"].__set__(error, cause)


def noted(error: BaseException, note: str) -> None:
    """Add a note to an error, if its class lets itself be changed."""
    with suppress(Exception):
        error.add_note(note)


def beside(what: str, fault: BaseException, node_error: BaseException | None = None) -> CodeFailed:
    """Name code of the user's that raised beside a node: *what* says which it was.

    Its own error is the cause; behind that stands the node's own error, if there was one.

    >>> error = beside("node 'a': takes=", KeyError("x"))
    >>> error, error.__cause__
    (CodeFailed("node 'a': takes= raised KeyError: 'x'"), KeyError('x'))
    """
    if node_error is not None:
        caused(fault, node_error)
    error = CodeFailed(f"{what} raised {told(fault)}")
    error.__cause__ = fault
    return error


@dataclass(eq=False)
class NodeFailed(RunError):
    """A node failed for good, after all its attempts.

    The original exception is `__cause__`.
    """

    loop: str
    node: str
    iteration: int
    attempts: int
    error: str

    def __reduce__(self) -> tuple[type[NodeFailed], tuple[str, str, int, int, str]]:
        """Travel from a child process whole, also when it was made with keywords."""
        return type(self), (self.loop, self.node, self.iteration, self.attempts, self.error)

    def __str__(self) -> str:
        tries = "attempt" if self.attempts == 1 else "attempts"
        return (
            f"node {self.node!r} (loop {self.loop!r}, iteration {self.iteration}, "
            f"{self.attempts} {tries}): {self.error}"
        )


class NodeTimeout(RunError, TimeoutError):
    """An attempt took longer than the node's `timeout=`; never raised by node code itself."""


@dataclass(eq=False)
class IterationLimit(RunError):
    """A node of a one-shot run was to run more often than its limit; `state` is the partial one."""

    graph: str
    node: str
    limit: int
    state: object = None

    def __reduce__(self) -> tuple[type[IterationLimit], tuple[str, str, int, object]]:
        """Travel whole, also when it was made with keywords."""
        return type(self), (self.graph, self.node, self.limit, self.state)

    def __str__(self) -> str:
        return (
            f"node {self.node!r} of graph {self.graph!r} has run {self.limit} times and was to run "
            "again: is there a way out of its cycle? Else raise max_iterations= (of run() or of "
            "the node), or FLOWNB_MAX_ITERATIONS; the error's .state holds what there is so far"
        )


class StateConflict(RunError):
    """Two parallel nodes wrote one key of the state, and it has no reducer."""

    def __init__(self, key: str, *nodes: str) -> None:
        self.key, self.nodes = key, nodes
        who = " and ".join(map(repr, nodes))
        super().__init__(
            f"nodes {who} run in parallel and both wrote {key!r}: let one follow the other, "
            f"let them write different keys, or give Graph(reducers={{{key!r}: ...}}), "
            "for example operator.add"
        )

    def __reduce__(self) -> tuple[type[StateConflict], tuple[str, ...]]:
        """Travel whole, although it was made of other words than its text."""
        return type(self), (self.key, *self.nodes)


class LoopStopped(RunError):
    """What was asked of a loop needs it running, and it has ended."""


class InFlightFull(RunError):
    """`when_full="error"`: the loop already has `max_in_flight` items in flight."""


class DeadlockError(RunError):
    """In virtual time nothing can ever happen again, and somebody still waits."""


class LivelockError(RunError):
    """In virtual time too many calls happened at one instant."""


class SimulationError(RunError):
    """A simulated node tried to reach the world outside the simulation."""


class InjectedFailure(RunError):
    """A simulated failure, as the node's `fail=` asked for."""


class QueueError(FlowError):
    """A message could not be pushed, read or settled."""


class QueueUnavailable(QueueError):
    """The Redis server does not answer: it is not there, or not any more.

    Loops do not raise it, they wait until the server is back and say so in their status.
    """


class StoreError(FlowError):
    """A run or a graph could not be saved or loaded."""


class NotKept(StoreError):
    """A store keeps no run or graph of this name."""


class RunTaken(StoreError):
    """Somebody else goes on with a run."""


class LoopTaken(StoreError):
    """Somebody else goes on with a loop; what a store raises whose record is not the newest."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that failed, and why.

    `item` is what the producer made, so it can be offered again (in a one-shot run: what
    the failed node had got); `error` is the first exception of the item, raised by `node` of
    `loop` in this `iteration` after so many `attempts`, with its `traceback` as text; `errors`
    names every node that failed. `time` is in seconds on the run's clock. `index` is the place
    in the list of one call of many (`over=`).
    """

    loop: str
    node: str
    iteration: int
    item: Any
    attempts: int
    error: BaseException
    errors: tuple[tuple[str, BaseException], ...] = ()
    traceback: str = ""
    time: float = 0.0
    index: int | None = None

    def __repr__(self) -> str:
        error = " ".join(told(self.error, 200).split())
        which = f"iteration {self.iteration}" if self.index is None else f"element {self.index}"
        return f"Failure({self.loop}/{self.node}, {which}, {error})"

    def record(self) -> dict[str, Any]:
        """Return what a dead letter carries; the item must be JSON to travel."""
        return {
            "loop": self.loop,
            "node": self.node,
            "iteration": self.iteration,
            "item": self.item,
            "attempts": self.attempts,
            "error": told(self.error),
            "traceback": self.traceback,
        }
