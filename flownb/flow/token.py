"""What is a token? One call of one node for one item. A `Join` collects what a node waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flownb.errors import RunError

if TYPE_CHECKING:
    from flownb.flow.scheduler import NodeRunner
    from flownb.plan.loop_plan import PlanNode


class Token:
    """One node call to come, under way, or waiting at a join.

    `at` is the node's runner, `mask` says who waits for it, `visit` counts the calls of this
    node in this iteration. `state` is what the node sees of a run's state, `returned` what it
    gave; `gathering` holds the calls of a node over a list, of which this is one.
    """

    __slots__ = (
        "admitted", "at", "attempt", "cancelled", "gathering", "item", "mask", "payload",
        "returned", "state", "visit",
    )  # fmt: skip

    def __init__(self, item: Any, at: NodeRunner, payload: Any, mask: int, visit: int = 0) -> None:
        self.item = item
        self.at = at
        self.payload = payload
        self.mask = mask
        self.visit = visit
        self.attempt = 0
        self.state: Any = None
        self.returned: Any = None
        self.gathering: Any = None
        self.admitted = self.cancelled = False

    @property
    def iteration(self) -> int:
        """The iteration of its item."""
        return int(self.item.iteration)


def join_runs(needed: int | None, live: int, left: int, *, failed: bool = False) -> bool | None:
    """Say whether a join runs (True) or is bypassed (False); None while it has to wait.

    It *needed* so many live edges, or (None) all of its edges to be settled, one of them live:
    *live* are, *left* are not settled yet. *failed*: one of those that died did so by a failure.

    >>> join_runs(None, live=1, left=1), join_runs(None, live=1, left=0), join_runs(2, 1, left=0)
    (None, True, False)
    """
    if needed is None:
        return None if left else live > 0 and not failed
    if live >= needed:
        return True
    return False if live + left < needed else None


class Join:
    """What a join node has got so far in this iteration."""

    __slots__ = ("_needed", "_plan", "decided", "failed", "left", "live", "patient", "token")

    def __init__(self, plan: PlanNode) -> None:
        self._plan = plan
        self._needed = {"all": None, "first": 1}.get(plan.join, plan.join)  # type: ignore[arg-type]
        self.patient = self._needed is None  # it waits for all of them
        self.left = len(plan.sources)
        self.live: dict[str, Any] = {}
        self.failed = self.decided = False
        self.token: Token | None = None

    @property
    def expects_more(self) -> bool:
        """Whether it has a token already, and one more live edge decides nothing."""
        return self.patient and self.left > 1 and self.token is not None

    def decide(self) -> bool | None:
        """Say, once, that it runs (True) or is bypassed (False); None while it waits."""
        verdict = self._verdict()
        self.decided = self.decided or verdict is not None
        return verdict

    def _verdict(self) -> bool | None:
        if self.decided:
            return None
        return join_runs(self._needed, len(self.live), self.left, failed=self.failed)

    @property
    def payload(self) -> Any:
        """Give the one payload as it is, or `{source: output}` in edge order: the plan says.

        Raises RunError when a router took several ways that lead to one payload here.
        """
        if self._plan.merges and len(self.live) > 1 and self._plan.join != "first":
            ways = ", ".join(map(repr, self.live))
            msg = (
                f"node {self._plan.name!r} gets one payload, and a router took several ways to it"
                f" ({ways}): let it give one of their labels, or run the graph on a dict, whose"
                " updates are merged"
            )
            raise RunError(msg)
        if self._plan.merges or self._plan.join == "first":
            return next(iter(self.live.values()))
        return {s: self.live[s] for s in self._plan.sources if s in self.live}
