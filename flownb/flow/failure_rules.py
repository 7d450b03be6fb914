"""What does a one-shot run do when a node has failed? What `on_error` of the node or run says.

"stop" ends the run; "continue" goes on along the plain edges with what the node got, and of
calls over a list with what the others gave; the name of a node goes on there; anything else
goes on as if the node had returned it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flownb.errors import FAILS, RunError, beside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flownb.errors import Failure
    from flownb.flow.scheduler import NodeRunner
    from flownb.flow.token import Token
    from flownb.plan.loop_plan import PlanEdge, PlanNode


class FailureRules:
    """The failures of one run; `tolerated` says by node which error the run goes on with."""

    __slots__ = ("_on_error", "_runners", "failures", "tolerated")

    def __init__(self, on_error: str, runners: Sequence[NodeRunner]) -> None:
        self._on_error, self._runners = on_error, runners
        self.tolerated: dict[str, BaseException] = {}
        self.failures: list[Failure] = []

    def sources(self, plan: PlanNode) -> tuple[str, ...]:
        """Name the nodes before this one that failed while the run went on."""
        return tuple(name for name in plan.sources if name in self.tolerated)

    def add(self, failure: Failure, each: Mapping[int, Failure]) -> None:
        """Keep a failure; of calls over a list that of *each* element."""
        self.failures += [each[i] for i in sorted(each)] or [failure]

    def ask(self, token: Token, failure: Failure) -> Any:
        """Ask the node's `on_error`, or else the run's; CodeFailed if that raises."""
        says = token.at.node.on_error
        if callable(says):
            try:
                says = says(failure)
            except FAILS as fault:
                what = f"node {token.at.name!r}: its on_error="
                raise beside(what, fault, failure.error) from fault
        return self._on_error if says is None else says

    def ways(self, plan: PlanNode, says: str) -> list[PlanEdge]:
        """Give the edges that a run goes on along: the plain ones, or that to a named node."""
        if says == "continue":
            plain = [e for e in plan.outs if e.when is None and e.condition is None]
            return [e for e in plain if e.target != plan.handler]
        named = [e for e in plan.outs if self._runners[e.target].name == says]
        if not named:
            msg = f"on_error of node {plan.name!r} says {says!r}, but no edge leads there"
            raise RunError(msg)
        return named
