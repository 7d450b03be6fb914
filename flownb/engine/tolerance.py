"""What if a node of a one-shot run has failed for good? What its handler says, or the run.

"stop" ends the run; "continue" goes on along the plain edges with what the node got, and of
calls over a list with what the others gave; the name of a node goes on there; anything else
goes on as if the node had returned it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flownb.engine.passes import Rounds
from flownb.errors import FAILS, RunError, beside, caused

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flownb.analysis.plan import Once, PlanEdge, PlanNode
    from flownb.engine.maps import Gathering
    from flownb.engine.scheduler import NodeRunner, Scheduler
    from flownb.engine.token import Token
    from flownb.errors import Failure


class Tolerant(Rounds):
    """An item that may go on behind a node that failed; `tolerated` says why, by node.

    `failures` describes each failure, with what the node had got.
    """

    __slots__ = ("failures", "tolerated")

    def __init__(
        self,
        loop: Scheduler,
        runners: Sequence[NodeRunner],
        iteration: int,
        payload: Any,
        once: Once,
    ) -> None:
        super().__init__(loop, runners, iteration, payload, once)
        self.tolerated: dict[int, BaseException] = {}
        self.failures: list[Failure] = []

    def failed_sources(self, plan: PlanNode) -> tuple[str, ...]:
        """Name the nodes before this one that failed while the run went on."""
        failed = {self.runners[i].name for i in self.tolerated}
        return tuple(s for s in plan.sources if s in failed)

    def failed(
        self, token: Token, error: BaseException, gathering: Gathering | None = None
    ) -> None:
        """Go on behind a node that failed for good, as its handler or the run says.

        *gathering* holds what its calls over a list gave, if it had some.
        """
        failure = self.loop.failure(token, error)
        if token.gathering is not None:  # one call of many
            token.gathering.failures[token.visit] = replace(failure, index=token.visit)
            self._gathered(token, token.gathering, None, error)
            return
        failure = replace(failure, item=self._seen(token))
        each = {} if gathering is None else gathering.failures
        self.failures += [each[i] for i in sorted(each)] or [failure]
        try:
            says = self._asked(token, failure)
            if says != "stop":
                self._go_on_failed(token, error, says, gathering)
                return
        except FAILS as wrong:
            caused(wrong, error)
            error = wrong
        if self.loop.hooks is not None:
            self.loop.hooks.failed(token, error)
        if token.at.plan.knot >= 0:
            self.knots[token.at.plan.knot].failed = True
        super().failed(token, error)

    def _asked(self, token: Token, failure: Failure) -> Any:
        """Ask the node's `on_error`, or else the run's; RunError if that raises."""
        says = token.at.node.on_error
        if callable(says):
            try:
                says = says(failure)
            except FAILS as fault:
                what = f"node {token.at.name!r}: its on_error="
                raise beside(what, fault, failure.error) from fault
        return self.once.on_error if says is None else says

    def _go_on_failed(
        self, token: Token, error: BaseException, says: Any, gathering: Gathering | None
    ) -> None:
        """Go on with the node's input, or with what its handler gave instead of an output."""
        plan, output = token.at.plan, None
        live: Collection[PlanEdge] | None
        if isinstance(says, str) and says != "continue":
            live = [e for e in plan.outs if self.runners[e.target].name == says]
            if not live:
                msg = f"on_error of node {plan.name!r} says {says!r}, but no edge leads there"
                raise RunError(msg)
        elif says == "continue":
            live = [e for e in plan.outs if e.when is None and e.condition is None]
            live = [e for e in live if e.target != plan.handler]
            if gathering is not None:
                output = self._kept(token, gathering, live)
        else:
            output, live = self.onward(token, says)
        if self.loop.hooks is not None:
            self.loop.hooks.continued(token, error, live)
        self.loop.failed(token, error)
        self.tolerated[plan.index] = error
        self._go_on(token, output, live)

    def _seen(self, token: Token) -> Any:
        """Give what a node had got, as it was then."""
        return token.payload

    def _go_on(self, token: Token, output: Any, live: Collection[PlanEdge] | None) -> None:
        """Go on behind a node, with what it gave."""
        raise NotImplementedError

    def _kept(self, token: Token, gathering: Gathering, live: Collection[PlanEdge]) -> list[Any]:
        """Take what the calls over a list gave that worked."""
        raise NotImplementedError

    def _gathered(
        self, call: Token, gathering: Gathering, output: Any, error: BaseException | None
    ) -> None:
        """Take in one call of many over a list."""
        raise NotImplementedError
