"""What does an item need of whoever runs it? A `Scheduler` that starts and gives up its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Collection, Mapping, Sequence

    from flownb.flow.state import Step
    from flownb.model.nodes import Node
    from flownb.plan.loop_plan import LoopPlan, PlanEdge, PlanNode


class Scheduler(Protocol):
    """Runs the tokens of items: a loop, a one-shot run, or a simulation."""

    plan: LoopPlan
    ready: deque[Any]
    """Tokens that may start; the item appends, the scheduler takes them in this order."""
    waiting: deque[Any]
    """The same for async nodes without policies."""
    hooks: RunHooks | None
    resumed: Resumed | None

    def token(self, item: Any, at: Any, payload: Any, mask: int, visit: int = 0) -> Any:
        """Make the token of a call to come."""

    def now(self) -> float:
        """Seconds since the run began."""

    def abandon(self, token: Any) -> None:
        """End a call whose outcome nobody wants."""

    def may_release(self, item: Any) -> bool:
        """Whether an item of which something is still open may let its producer go on."""

    def released(self, item: Any, /) -> None:
        """No awaited token of the item is open."""

    def settled(self, item: Any, /) -> None:
        """Nothing of the item is open any more."""

    def unthrottled(self, parked: list[Any], /) -> None:
        """The item has its slot: what it held back may start."""

    def failed(self, token: Any, error: BaseException, /) -> None:
        """A node has failed for good."""

    def failure(self, token: Any, error: BaseException, /) -> Any:
        """Describe a node's failure, for a handler that is asked about it."""

    def skipped(self, node: str, /) -> None:
        """A node had ended in an earlier attempt."""

    def crash(self, error: BaseException, /) -> None:
        """End the run with an error."""

    @property
    def error(self) -> BaseException | None:
        """What has ended the run."""

    @property
    def watched(self) -> bool:
        """Whether each call is to be reported by itself."""


class NodeRunner(Protocol):
    """One node of a plan, and what calls it."""

    name: str
    plan: PlanNode
    node: Node
    outs: tuple[PlanEdge, ...]
    counts: bool
    """Whether it waits for several inputs."""
    passes: bool
    """Whether it has no function: the payload passes on."""
    straight: bool
    """Whether nothing but plain edges lead on, in a run."""
    smooth: bool
    """The same, and its function is all there is to call."""
    crewed: bool
    """Whether it is async and without policies."""


class Walk(Protocol):
    """A row of nodes of a run that one thread has called, one after the other.

    `row[at]` is the node that goes on as any other; those before it gave `outputs` and changed
    the state in `steps`, which made `values`; `payload` is what `row[at]` got.
    """

    row: Sequence[NodeRunner]
    at: int
    outputs: Sequence[Any]
    steps: Sequence[Step]
    values: dict[str, Any]
    payload: Any


class RunHooks(Protocol):
    """Called at each step of a one-shot run before it counts, say to keep it in a store."""

    def may_start(self, token: Any) -> bool:
        """Note that a call starts; False: it starts by itself, when that is saved."""

    def note(self, token: Any, live: Collection[PlanEdge] | None, seen: Any) -> None:
        """Write down what a node gave, before anybody can change it."""

    def done(self, token: Any) -> None:
        """Note that a call ended well."""

    def continued(
        self, token: Any, error: BaseException, live: Collection[PlanEdge] | None
    ) -> None:
        """Note that a node failed, and the run goes on with that."""

    def failed(self, token: Any, error: BaseException) -> None:
        """Note that a node failed for good."""

    def passed(self, chain: Any, returned: Any, seen: Mapping[str, Any]) -> bool:
        """Note, in the thread of a row, that a node ended; False: the next may not begin."""

    def look(self, run: Any, values: Mapping[str, Any]) -> None:
        """Remember what the next node of a row is about to see."""

    @property
    def in_rows(self) -> bool:
        """Whether the thread that calls a chain of nodes may report them."""


class Resumed(Protocol):
    """Gives the steps of an earlier attempt back to a run, in their order."""

    def hold(self, token: Any, go_on: Callable[[], None]) -> None:
        """Keep a step until its turn comes."""

    def run(self, item: Any) -> list[Callable[[], None]]:
        """Go on as it went on then; give the steps that are left."""
