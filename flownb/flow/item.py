"""How does one item flow through a plan? As tokens: joins, dead edges, the release.

A token is one call of one node for one item. An edge is settled when its source has
ended (then it is live or dead) or is bypassed (dead). A node starts when all its
in-edges are settled and one is live; if all are dead it is bypassed, and its out-edges
are dead. The producer is released when no awaited token is open; the item is settled
when no token is open. Nothing here knows about time, threads or queues.
"""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

from flownb.errors import FAILS, RunError, told
from flownb.flow.routing import route
from flownb.flow.start_order import order_of
from flownb.flow.token import Join, Token

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flownb.flow.scheduler import NodeRunner, Scheduler
    from flownb.flow.start_order import Order
    from flownb.plan.loop_plan import PlanEdge, PlanNode


class LiveArms:
    """Tells for "path_live": an arm is awaited once a B ran in it, or while one may come."""

    __slots__ = ("_hopeful", "_open", "_proven")

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        self._hopeful: dict[int, int] = {}
        self._proven = 0

    def ran(self, mask: int, node: PlanNode) -> None:
        """A B that ran proves its arms; one that was bypassed, or lost, does not."""
        if node.node.is_blocking:
            self._proven |= mask

    def count(self, mask: int, node: PlanNode, step: int) -> None:
        """Count a token that opened, or a mask that widened (1); or one that closed (-1)."""
        while mask:
            arm = mask & -mask
            self._open[arm] = self._open.get(arm, 0) + step
            if node.has_b:
                self._hopeful[arm] = self._hopeful.get(arm, 0) + step
            mask ^= arm

    def __bool__(self) -> bool:
        return any(self._hopeful.values()) or any(
            n for arm, n in self._open.items() if arm & self._proven
        )


class Item:
    """One iteration: what the producer made, and everything that comes of it."""

    __slots__ = (
        "arms",
        "errors",
        "held_back",
        "idle_since",
        "index",
        "iteration",
        "joins",
        "loop",
        "lost",
        "memo",
        "message",
        "open",
        "order",
        "parked",
        "payload",
        "popped",
        "produced",
        "released",
        "runners",
        "settled",
        "shed",
        "slot",
        "throttled",
        "visits",
        "waits",
    )  # fmt: skip

    def __init__(
        self, loop: Scheduler, runners: Sequence[NodeRunner], iteration: int, payload: Any
    ) -> None:
        self.loop = loop
        self.runners = runners
        self.iteration = iteration
        self.payload = payload
        self.index: int | None = None  # its number in the source; a message has none
        self.message: Any = None
        self.memo: dict[Any, Any] | None = None
        self.open: dict[Token, None] = {}
        self.order: Order[Token] | None = order_of(loop.plan)
        self.lost: set[int] = set()
        self.popped: list[tuple[str, str]] = []
        self.held_back: list[Any] = []
        self.waits = 0  # how many awaited tokens are open, unless `arms` knows better
        self.arms = LiveArms() if loop.plan.policy == "path_live" else None
        self.joins: dict[int, Join] = {}
        self.visits: dict[int, int] = {}
        self.errors: list[tuple[Token, BaseException]] = []
        self.parked: list[Token] = []
        self.produced = 0.0
        self.idle_since: float | None = None
        self.released = self.settled = self.slot = self.throttled = self.shed = False

    @property
    def in_rows(self) -> bool:
        """Whether a thread may call several of its nodes in one go."""
        return False

    def key(self, token: Token) -> Any:
        """Say under what an outcome that is known already is kept in `memo`."""
        return token.at.plan.index, token.visit

    def failed_sources(self, plan: PlanNode) -> tuple[str, ...]:  # noqa: ARG002
        """Name nobody: in a loop nothing runs behind a node that failed."""
        return ()

    def onward(self, token: Token, output: Any) -> tuple[Any, Collection[PlanEdge] | None]:
        """Choose the edges behind a node that gave *output*; None means all of them."""
        if token.at.plan.branches:
            return route(token.at.plan, token.payload, output)
        return output, None

    def launch(self, live: Any = None) -> None:
        """Send the payload down the arms: the producer has ended."""
        if isinstance(live, BaseException):  # a condition behind the producer has failed
            self.failed(Token(self, self.runners[0], self.payload, 0), live)
            return
        self._spread(self.runners[0], self.payload, 0, live)
        self.check()

    def ended(self, token: Token, output: Any, live: Collection[PlanEdge] | None) -> None:
        """Go on behind a node that ended well; *live* None means all edges are."""
        if self.arms is not None:
            self.arms.ran(token.mask, token.at.plan)
        self._spread(token.at, output, token.mask, live)
        self.close(token)
        self.check()

    def failed(self, token: Token, error: BaseException) -> None:
        """Go on behind a node that failed for good: its out-edges die, marked."""
        self.errors.append((token, error))
        self.loop.failed(token, error)
        if self.arms is not None:
            self.arms.ran(token.mask, token.at.plan)
        self._kill(token.at.outs, failed=True)
        self.close(token)
        self.check()

    def check(self) -> None:
        """Release the producer and settle the item, when it is time."""
        if self.order is not None:
            self.loop.ready.extend(self.order.turn())
        if not self.released:
            self._release()
        if not self.open and not self.settled:
            self.settled = True
            self.loop.settled(self)

    def _release(self) -> None:
        if self.waits or self.arms:
            self.idle_since = None
        elif not self.loop.may_release(self):
            # the await set is done, only the slot is missing: from here on it is throttled
            self.idle_since = self.loop.now() if self.idle_since is None else self.idle_since
        else:
            self.released = True
            self.loop.released(self)

    def granted(self) -> None:
        """Take the slot that has become free: what it held back may start."""
        self.slot, self.throttled = True, False
        parked, self.parked = self.parked, []
        self.loop.unthrottled(parked)
        self.check()

    # -- tokens ----------------------------------------------------------------

    def _spread(
        self, runner: NodeRunner, output: Any, mask: int, live: Collection[PlanEdge] | None
    ) -> None:
        for edge in runner.outs:
            if live is None or edge in live:
                self._deliver(edge, output, mask)
            elif runner.plan.join_behind:
                self._kill((edge,), failed=False)

    def _deliver(self, edge: PlanEdge, payload: Any, mask: int) -> None:
        if edge.target in self.lost:
            return
        target = self.runners[edge.target]
        mask = (mask if edge.keep else 0) | edge.force
        if edge.copy:
            payload = self._copied(edge, payload)
        if target.counts:
            self._arrive(self._join(target), edge, payload, mask)
        else:
            visit = self._visit(target) if target.plan.multi else 0
            token = Token(self, target, payload, mask, visit)
            self._open(token)
            self._offer(token)

    def _copied(self, edge: PlanEdge, payload: Any) -> Any:
        """Give a deep copy; where that cannot be made, the call behind the edge fails."""
        try:
            return self.copied(payload)
        except FAILS as error:
            state = getattr(self, "states", None) is not None
            what = "the state" if state else f"a {type(payload).__name__}"
            way = f"{self.runners[edge.source].name} -> {self.runners[edge.target].name}"
            fault = RunError(
                f"edge {way} has copy=True, but {what} cannot be copied ({told(error)}): "
                "hand on plain data, or leave copy= out"
            )
            fault.__cause__ = error
            visit = self.visits.get(edge.target, 0)  # the next one of that node
            self.memo = {**(self.memo or {}), (edge.target, visit): fault}
            return payload

    def copied(self, payload: Any) -> Any:
        """Give a deep copy of what goes over an edge with `copy=True`."""
        return copy.deepcopy(payload)

    def _visit(self, target: NodeRunner) -> int:
        if not target.plan.multi:
            return 0
        visit = self.visits.get(target.plan.index, 0)
        self.visits[target.plan.index] = visit + 1
        return visit

    def _offer(self, token: Token) -> None:
        """The token's inputs are there: it starts now, or when the start rule lets it."""
        if self.order is not None and token.at.plan.awaited:
            self.order.offer(token)
        else:
            self.loop.ready.append(token)

    def _open(self, token: Token) -> None:
        self.open[token] = None
        if self.arms is None:
            self.waits += token.mask
        else:
            self.arms.count(token.mask, token.at.plan, 1)

    def close(self, token: Token) -> None:
        """Take a token out of the books; the item goes on with `check`."""
        if self.open.pop(token, self) is self:  # it lost while it was ending
            return
        if self.arms is None:
            self.waits -= token.mask
        else:
            self.arms.count(token.mask, token.at.plan, -1)
        if self.order is not None:
            self.order.closed(token)

    # -- joins -----------------------------------------------------------------

    def _join(self, target: NodeRunner) -> Join:
        join = self.joins.get(target.plan.index)
        if join is None:
            join = self.joins[target.plan.index] = Join(target.plan)
        return join

    def _arrive(self, join: Join, edge: PlanEdge, payload: Any, mask: int) -> None:
        target = self.runners[edge.target]
        join.left -= 1
        if join.decided:
            return
        if join.token is None:
            join.token = Token(self, target, None, mask)
            self._open(join.token)
        elif mask & ~join.token.mask:
            new = mask & ~join.token.mask
            join.token.mask |= new
            if self.arms is None:
                self.waits += new
            else:
                self.arms.count(new, target.plan, 1)
        join.live[self.runners[edge.source].name] = payload
        if join.left and join.patient:
            return
        if self._decided(target, join) is False:
            self._kill(target.outs, failed=join.failed)

    def _decided(self, target: NodeRunner, join: Join) -> bool | None:
        """Run the join or bypass it, if its in-edges decide that now."""
        verdict = join.decide()
        if verdict and join.token is not None:
            try:
                join.token.payload = join.payload
            except RunError as error:
                self.memo = {**(self.memo or {}), self.key(join.token): error}
            self._offer(join.token)
            self.lose(target.plan.losers)
        elif verdict is False and join.token is not None:
            self.close(join.token)
        return verdict

    def lose(self, nodes: Collection[int]) -> None:
        """These nodes do not start any more; those that run are left behind."""
        self.lost.update(nodes)
        for token in [t for t in self.open if t.at.plan.index in self.lost]:
            self.loop.abandon(token)
            if token.entered and token.task is not None:
                # a task that is cancelled before its first turn cannot leave its limit itself
                token.task.add_done_callback(functools.partial(_leave, token))
            self.close(token)
        for index in self.lost & self.joins.keys():
            self.joins[index].decided = True

    def _kill(self, edges: Sequence[PlanEdge], *, failed: bool) -> None:
        """Count dead edges at the joins behind them; a node with one dead in-edge is bypassed."""
        stack = [(edge, failed) for edge in reversed(edges)]
        while stack:
            edge, mark = stack.pop()
            target = self.runners[edge.target]
            passed: bool | None = mark
            if target.counts:
                passed = self._kill_edge(target, self._join(target), mark=mark)
            elif not target.plan.join_behind or target.plan.multi:
                continue
            if passed is not None:
                stack.extend((e, passed) for e in reversed(target.outs))

    def _kill_edge(self, target: NodeRunner, join: Join, *, mark: bool) -> bool | None:
        """Settle a dead in-edge; say which mark the join passes on, None while it does not."""
        join.left -= 1
        join.failed |= mark
        return join.failed if self._decided(target, join) is False else None


def _leave(token: Token, _: Any) -> None:
    token.at.leave_gate(token)
