"""How does one item flow through a plan? As tokens: joins, dead edges, the release.

A token is one call of one node for one item. An edge is settled when its source has
ended (then it is live or dead) or is bypassed (dead). A node starts when all its
in-edges are settled and one is live; if all are dead it is bypassed, and its out-edges
are dead. The producer is released when no awaited token is open; the item is settled
when no token is open. Nothing here knows about time, threads or queues.

The one item of a one-shot run has three parts more: `cycles` holds back what goes round until
a pass is over, `failure_rules` says whether it goes on behind a node that failed, and `values`
are what its nodes work on.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flownb.errors import FAILS, IterationLimit, RunError, caused, told
from flownb.flow.cycle import Cycles
from flownb.flow.failure_rules import FailureRules
from flownb.flow.map_calls import Gathering, elements, further
from flownb.flow.routing import route
from flownb.flow.run_values import Values
from flownb.flow.start_order import order_of
from flownb.flow.token import Join
from flownb.plan.await_sets import RULES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from flownb.flow.cycle import Arrivals, Cycle
    from flownb.flow.scheduler import NodeRunner, Scheduler, Walk
    from flownb.flow.start_order import Order
    from flownb.flow.token import Token
    from flownb.plan.loop_plan import Once, PlanEdge, PlanNode


class LiveArms:
    """Tells which arms "path_live" awaits: those in which a blocking node ran, or still may."""

    __slots__ = ("_hopeful", "_open", "_proven")

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        self._hopeful: dict[int, int] = {}
        self._proven = 0

    def ran(self, mask: int, node: PlanNode) -> None:
        """Note that a node ran: a blocking one proves its arms; one bypassed, or lost, does not."""
        if node.node.is_blocking:
            self._proven |= mask

    def count(self, mask: int, node: PlanNode, step: int) -> None:
        """Count a token that opened, or a mask that widened (1); or one that closed (-1)."""
        while mask:
            arm = mask & -mask
            self._open[arm] = self._open.get(arm, 0) + step
            if node.has_blocking:
                self._hopeful[arm] = self._hopeful.get(arm, 0) + step
            mask ^= arm

    def __bool__(self) -> bool:
        return any(self._hopeful.values()) or any(
            n for arm, n in self._open.items() if arm & self._proven
        )


class Item:
    """One iteration: what the producer made, and everything that comes of it."""

    __slots__ = (
        "arms", "cycles", "errors", "failure_rules", "held_back", "idle_since", "index",
        "iteration", "joins", "loop", "lost", "memo", "message", "most", "open", "order",
        "parked", "payload", "popped", "produced", "released", "replay", "runners", "settled",
        "shed", "slot", "throttled", "values", "visits", "waits",
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
        self.arms = LiveArms() if RULES[loop.plan.policy].if_ran else None
        self.joins: dict[int, Join] = {}
        self.visits: dict[int, int] = {}
        self.errors: list[tuple[Token, BaseException]] = []
        self.parked: list[Token] = []
        self.produced = 0.0
        self.idle_since: float | None = None
        self.released = self.settled = self.slot = self.throttled = self.shed = False
        self.most = 0  # how often a node of a cycle may run
        self.cycles: Cycles | None = None
        self.failure_rules: FailureRules | None = None
        self.values: Values | None = None
        self.replay = loop.resumed

    def run_once(self, once: Once) -> None:
        """Be the one item of a run, by these rules."""
        self.most, self.memo = once.most, {}
        self.cycles = Cycles(once.cycles, self.runners) if once.cycles else None
        self.failure_rules = FailureRules(once.on_error, self.runners)
        self.values = Values(once, self.payload, self.cycles)

    @property
    def in_rows(self) -> bool:
        """Whether a thread may call several nodes in one go: nothing asks for a report of each."""
        plain, hooks = self.order is None and not self.memo, self.loop.hooks
        if self.values is None:
            return plain
        rows = plain and self.replay is None and (hooks is None or hooks.in_rows)
        return rows and not self.loop.watched

    def key(self, token: Token) -> Any:
        """Say under what an outcome that is known already is kept in `memo`."""
        return token.at.plan.index, token.visit

    def knows(self, token: Token) -> bool:
        """Whether the outcome of a call is known already, or it has begun: it is not made."""
        return self.memo is not None and self.key(token) in self.memo

    def _know(self, key: Any, outcome: Any) -> None:
        """Let a call to come end with that, without being made."""
        self.remember({key: outcome})

    def remember(self, memo: dict[Any, Any]) -> None:
        """Let calls to come end with these outcomes, by `key`, without being made."""
        self.memo = {**(self.memo or {}), **memo}

    def failed_sources(self, plan: PlanNode) -> tuple[str, ...]:
        """Name the nodes before this one that failed while the run went on."""
        return () if self.failure_rules is None else self.failure_rules.sources(plan)

    # -- the way of an item ----------------------------------------------------

    def launch(self, live: Any = None) -> None:
        """Send the payload down the arms: the producer has ended."""
        if isinstance(live, BaseException):  # a condition behind the producer has failed
            self._fail(self.loop.token(self, self.runners[0], self.payload, 0), live)
            return
        payload = self.payload if self.values is None else self.values.entry
        self._spread(self.runners[0], payload, 0, live)
        self.check()
        if self.replay is not None:
            left, self.replay = self.replay.run(self), None
            for go_on in left:
                go_on()
            self.check()

    def onward(self, token: Token, output: Any) -> tuple[Any, Collection[PlanEdge] | None]:
        """Take what a node gave, and choose the edges behind it; None means all of them."""
        if self.values is None:
            if token.at.plan.branches:
                return self.route(token.at.plan, token.payload, output)
            return output, None
        token.returned, seen = output, token.state
        passed, live = output, None
        if token.gathering is None and (output is not None or not token.at.smooth):
            passed, live = self.values.take(token, output)
        if self.loop.hooks is not None:
            self.loop.hooks.note(token, live, seen)
        return passed, live

    def route(self, plan: PlanNode, payload: Any, output: Any) -> tuple[Any, Collection[PlanEdge]]:
        """Choose the edges behind a node of a loop that got *payload*, in whatever thread."""
        return route(plan, payload, output)

    def ended(self, token: Token, output: Any, live: Collection[PlanEdge] | None) -> None:
        """Go on behind a node that ended well; *live* None means all edges are."""
        if self.loop.hooks is not None:
            self.loop.hooks.done(token)
        if token.gathering is not None:
            self._gathered(token, token.gathering, output, None)
            return
        if self.failure_rules is not None and self.failure_rules.tolerated:
            self.failure_rules.tolerated.pop(token.at.name, None)
        self._go_on(token, output, live)

    def _go_on(self, token: Token, output: Any, live: Collection[PlanEdge] | None) -> None:
        if self.arms is not None:
            self.arms.ran(token.mask, token.at.plan)
        if self.values is not None:
            output = self.values.passed(token, output, live)
        if live is None and token.at.straight and self.order is None and not self.lost:
            self._fan_out(token.at, output)
        else:
            self._spread(token.at, output, token.mask, live)
        self.close(token)
        self.check()

    def walked(self, token: Token, walk: Walk) -> None:
        """Move a token of a run along a row of nodes that one thread has called."""
        if self.values is not None:
            self.values.walked(token, walk)
        if self.failure_rules is not None and self.failure_rules.tolerated:
            for runner in walk.row[: walk.at]:
                self.failure_rules.tolerated.pop(runner.name, None)
        token.at, token.payload = self.runners[walk.row[walk.at].plan.index], walk.payload

    def restored(
        self,
        token: Token,
        output: Any,
        live: Collection[PlanEdge] | None,
        error: BaseException | None,
        each: Mapping[int, tuple[BaseException, Any]],
    ) -> None:
        """Go on behind a node as it went on then, after it ended or failed with *error*.

        *each* says which of its calls over a list had failed, and what they had got.
        """
        if error is not None and self.failure_rules is not None:
            seen = token.payload if self.values is None else self.values.seen(token)
            failure = replace(self.loop.failure(token, error), item=seen)
            self.failure_rules.add(
                failure,
                {i: replace(failure, error=e, item=x, index=i) for i, (e, x) in each.items()},
            )
        if self.values is not None:
            output = self.values.restore(token, output)
        if token.gathering is not None and error is None:
            self._gathered(token, token.gathering, output, None)
            return
        if self.failure_rules is not None:
            self.failure_rules.tolerated.pop(token.at.name, None)
            if error is not None:
                self.failure_rules.tolerated[token.at.name] = error
        self._go_on(token, output, live)

    def check(self) -> None:
        """Release the producer and settle the item, when it is time."""
        if self.cycles is not None and self.cycles.over:
            self._next_passes(self.cycles)
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

    # -- failures --------------------------------------------------------------

    def failed(self, token: Token, error: BaseException) -> None:
        """Go on behind a node that failed for good: its out-edges die, unless a rule says else."""
        if self.failure_rules is None:
            self._fail(token, error)
        elif token.gathering is not None:  # one call of many
            failure = self.loop.failure(token, error)
            token.gathering.failures[token.visit] = replace(failure, index=token.visit)
            if self.loop.hooks is not None:
                self.loop.hooks.failed(token, error)
            self._gathered(token, token.gathering, None, error)
        else:
            self._apply_rules(self.failure_rules, token, error)

    def _fail(self, token: Token, error: BaseException) -> None:
        self.errors.append((token, error))
        self.loop.failed(token, error)
        if self.arms is not None:
            self.arms.ran(token.mask, token.at.plan)
        self._kill(token.at.outs, failed=True)
        self.close(token)
        self.check()

    def _apply_rules(
        self,
        rules: FailureRules,
        token: Token,
        error: BaseException,
        gathering: Gathering | None = None,
    ) -> None:
        """Do as a node's handler or the run says; *gathering* has what calls over a list gave."""
        failure = self.loop.failure(token, error)
        seen = token.payload if self.values is None else self.values.seen(token)
        failure = replace(failure, item=seen)
        rules.add(failure, {} if gathering is None else gathering.failures)
        try:
            says = rules.ask(token, failure)
            if says != "stop":
                self._tolerate(rules, token, error, says, gathering)
                return
        except FAILS as wrong:
            caused(wrong, error)
            error = wrong
        if self.loop.hooks is not None:
            self.loop.hooks.failed(token, error)
        if self.cycles is not None and token.at.plan.cycle >= 0:
            self.cycles.of(token.at.plan).failed = True
        self._fail(token, error)

    def _tolerate(
        self,
        rules: FailureRules,
        token: Token,
        error: BaseException,
        says: Any,
        gathering: Gathering | None,
    ) -> None:
        """Go on with the node's input, or with what its handler gave instead of an output."""
        output: Any = None
        live: Collection[PlanEdge] | None
        if isinstance(says, str):
            live = rules.ways(token.at.plan, says)
            if says == "continue" and gathering is not None:
                output = self._kept(token, gathering, live)
        else:
            output, live = self.onward(token, says)
        if self.loop.hooks is not None:
            self.loop.hooks.continued(token, error, live)
        self.loop.failed(token, error)
        rules.tolerated[token.at.name] = error
        self._go_on(token, output, live)

    # -- tokens ----------------------------------------------------------------

    def _spread(
        self, runner: NodeRunner, output: Any, mask: int, live: Collection[PlanEdge] | None
    ) -> None:
        for edge in runner.outs:
            if live is None or edge in live:
                self._deliver(edge, output, mask)
            elif runner.plan.join_behind:
                self._kill((edge,), failed=False)

    def _fan_out(self, runner: NodeRunner, output: Any) -> None:
        """Do the same where nothing but plain edges lead on: all that most runs have."""
        runners, joins, values = self.runners, self.joins, self.values
        ready, awaited, make = self.loop.ready, self.loop.waiting, self.loop.token
        if values is not None and values.states is None:
            values = None
        for edge in runner.outs:
            target = runners[edge.target]
            if target.counts:
                join = joins.get(edge.target)
                if join is not None and join.expects_more:
                    join.left -= 1
                    join.live[runner.name] = output
                else:
                    self._arrive(self._join(target), edge, output, 1)
            else:
                token = make(self, target, output, 1)
                if values is not None:
                    token.state, token.payload = output, values.schema.view(output.values)
                self.open[token] = None
                self.waits += 1
                if self.replay is None:
                    (awaited if target.crewed else ready).append(token)
                else:
                    self._begin(token)

    def _deliver(self, edge: PlanEdge, payload: Any, mask: int) -> None:
        if edge.target in self.lost:
            return
        cycles = self.cycles
        if cycles is not None and (cycle := cycles.holding(edge)) is not None:
            cycle.sent(edge, payload)
        else:
            self._reach(edge, payload, (mask if edge.keep else 0) | edge.force)

    def _reach(self, edge: PlanEdge, payload: Any, mask: int) -> None:
        target = self.runners[edge.target]
        if edge.copy:
            payload = self._copied(edge, payload)
        if target.counts if self.cycles is None else self._counts(target):
            self._arrive(self._join(target), edge, payload, mask)
            return
        token = self.loop.token(self, target, payload, mask, self._visit(target.plan))
        if self.values is None:
            self._open(token)
            self._admit(token)
        elif self._may_run(token):
            self.values.give(token, payload)
            self._open(token)
            self._offer(token)

    def _copied(self, edge: PlanEdge, payload: Any) -> Any:
        """Give a deep copy; where that cannot be made, the call behind the edge fails."""
        values = self.values
        try:
            return copy.deepcopy(payload) if values is None else values.copied(payload)
        except FAILS as error:
            state = values is not None and values.states is not None
            what = "the state" if state else f"a {type(payload).__name__}"
            way = f"{self.runners[edge.source].name} -> {self.runners[edge.target].name}"
            fault = RunError(
                f"edge {way} has copy=True, but {what} cannot be copied ({told(error)}): "
                "hand on plain data, or leave copy= out"
            )
            fault.__cause__ = error
            visit = self.visits.get(edge.target, 0)  # the next one of that node
            self._know((edge.target, visit), fault)
            return payload

    def _counts(self, target: NodeRunner) -> bool:
        """Whether the node waits for several inputs, in this pass of its cycle."""
        inputs = None if self.cycles is None else self.cycles.inputs(target.plan)
        return target.counts if inputs is None else inputs > 1

    def _visit(self, plan: PlanNode) -> int:
        if not plan.multi and plan.cycle < 0:
            return 0
        visit = self.visits.get(plan.index, 0)
        self.visits[plan.index] = visit + 1
        return visit

    def _may_run(self, token: Token) -> bool:
        """Whether the node may run once more; if not the run is over."""
        if token.at.plan.cycle < 0:
            return True
        most = token.at.node.max_iterations or self.most
        if token.visit < most:
            return True
        self.loop.crash(IterationLimit(self.loop.plan.graph, token.at.name, most))
        return False

    def _offer(self, token: Token) -> None:
        """The inputs of a run's node are there: a map calls it once for each element."""
        if token.at.node.over is not None:
            self._call_each(token)
        else:
            self._begin(token)

    def _begin(self, token: Token) -> None:
        """Let a call start; while a run is taken up, its turn in the steps comes first."""
        if self.replay is None:
            self._admit(token)
        else:
            self.replay.hold(token, functools.partial(self._admit, token))

    def _admit(self, token: Token) -> None:
        """Let a token start now, or when the start rule lets it."""
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
        if self.cycles is not None and token.gathering is None:  # one call of many settles nothing
            self.cycles.settle(token.at.plan)

    # -- calls over a list -----------------------------------------------------

    def _call_each(self, token: Token) -> None:
        try:
            each = elements(token.at.node, token.payload)
        except FAILS as error:  # the user's key or function
            self._know(self.key(token), error)
            each = []
        if not each:
            key = self.key(token)
            self._know(key, (self.memo or {}).get(key, []))
            self._begin(token)
            return
        self._add_calls(Gathering(token), (), each)

    def _add_calls(self, gathering: Gathering, place: tuple[int, ...], each: list[Any]) -> None:
        token, calls = gathering.token, []
        for i, element in enumerate(each):
            visit = gathering.add((*place, i))
            call = self.loop.token(self, token.at, element, token.mask, visit)
            call.state, call.gathering = token.state, gathering
            calls.append(call)
            self._open(call)
        for call in calls:
            self._begin(call)

    def _gathered(
        self, call: Token, gathering: Gathering, output: Any, error: BaseException | None
    ) -> None:
        """Take in one call of a map; the last one lets the node end."""
        token = gathering.token
        if error is None and self._adds(call, gathering, output):
            return
        self.close(call)
        if not gathering.took(call.visit, output, error):
            self.check()
            return
        token.attempt = call.attempt
        if self.replay is None:
            self._collected(token, gathering)
        else:
            self.replay.hold(token, functools.partial(self._collected, token, gathering))

    def _adds(self, call: Token, gathering: Gathering, output: Any) -> bool:
        """Call the node for what a call has found, too; True: that failed, and so did the call."""
        try:
            each = further(call.at.node, output)
        except FAILS as fault:
            self.failed(call, fault)
            return True
        place, most = gathering.places[call.visit], call.at.node.max_iterations or self.most
        if each and len(place) >= most:
            self.loop.crash(IterationLimit(self.loop.plan.graph, call.at.name, most))
        else:
            self._add_calls(gathering, place, each)
        return False

    def _collected(self, token: Token, gathering: Gathering) -> None:
        """Go on behind a node that was called for a whole list."""
        error = gathering.error
        if error is None:
            try:
                self.ended(token, *self.onward(token, gathering.results))
                return
            except FAILS as wrong:  # its update, or a condition
                error = wrong
        if self.failure_rules is not None:
            some = gathering if gathering.error is not None else None
            self._apply_rules(self.failure_rules, token, error, some)

    def _kept(self, token: Token, gathering: Gathering, live: Collection[PlanEdge]) -> list[Any]:
        """Take what the calls over a list gave that worked; None stands for the others."""
        token.returned, seen = gathering.results, token.state
        if self.values is not None and self.values.states is not None:
            self.values.update(token, gathering.results, self.values.states)
        if self.loop.hooks is not None:
            self.loop.hooks.note(token, live, seen)
        return gathering.results

    # -- joins -----------------------------------------------------------------

    def _join(self, target: NodeRunner) -> Join:
        join = self.joins.get(target.plan.index)
        if join is None:
            join = self.joins[target.plan.index] = Join(target.plan)
            inputs = None if self.cycles is None else self.cycles.inputs(target.plan)
            join.left = join.left if inputs is None else inputs
        return join

    def _arrive(self, join: Join, edge: PlanEdge, payload: Any, mask: int) -> None:
        target = self.runners[edge.target]
        join.left -= 1
        if join.decided:
            return
        if join.token is None:
            join.token = self.loop.token(self, target, None, mask)
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
        verdict, token = join.decide(), join.token
        if verdict and token is not None:
            token.visit = self._visit(target.plan)
            if self._may_run(token):
                self._meet(token, join)
                (self._admit if self.values is None else self._offer)(token)
            self.lose(target.plan.losers)
        elif verdict is False and token is not None:
            self.loop.abandon(token)
            self.close(token)
        return verdict

    def _meet(self, token: Token, join: Join) -> None:
        try:
            if self.values is None:
                token.payload = join.payload
            else:
                self.values.meet(token, join)
        except FAILS as error:  # a conflict, or a reducer that raised
            self._know(self.key(token), error)

    def lose(self, nodes: Collection[int]) -> None:
        """These nodes do not start any more; those that run are left behind."""
        self.lost.update(nodes)
        for token in [t for t in self.open if t.at.plan.index in self.lost]:
            self.loop.abandon(token)
            self.close(token)
        for index in self.lost & self.joins.keys():
            self.joins[index].decided = True

    def _kill(self, edges: Sequence[PlanEdge], *, failed: bool) -> None:
        """Count dead edges at the joins behind them; a node with one dead in-edge is bypassed."""
        if self.cycles is not None:
            edges = [e for e in edges if not self.cycles.holding(e)]
        self._settle_dead(edges, failed=failed)

    def _settle_dead(self, edges: Sequence[PlanEdge], *, failed: bool) -> None:
        cycles, stack = self.cycles, [(e, failed) for e in reversed(edges)]
        while stack:
            edge, mark = stack.pop()
            target = self.runners[edge.target]
            passed: bool | None = mark
            if target.counts if cycles is None else self._counts(target):
                passed = self._kill_edge(target, self._join(target), mark=mark)
            elif not target.plan.join_behind or target.plan.multi:
                continue
            elif cycles is not None:
                cycles.settle(target.plan)
            if passed is not None:
                outs = reversed(target.outs)
                stack += [(e, passed) for e in outs if cycles is None or not cycles.holding(e)]

    def _kill_edge(self, target: NodeRunner, join: Join, *, mark: bool) -> bool | None:
        """Settle a dead in-edge; say which mark the join passes on, None while it does not."""
        join.left -= 1
        join.failed |= mark
        if self._decided(target, join) is not False:
            return None
        if join.token is None and self.cycles is not None:
            self.cycles.settle(target.plan)
        return join.failed

    # -- the next pass ---------------------------------------------------------

    def _next_passes(self, cycles: Cycles) -> None:
        """Go on with the cycles whose pass is over."""
        for cycle in cycles.over:
            starts = cycle.next_pass()
            for index in cycle.wanted if starts else ():
                self.joins.pop(index, None)
            for index, arrivals in starts.items():
                self._enter(cycle, self.runners[index], arrivals)
            if not starts:
                self._leave(cycle)
        cycles.over.clear()

    def _enter(self, cycle: Cycle, target: NodeRunner, arrivals: Arrivals) -> None:
        """Let what came back start a node, or be one input of a join."""
        extra = len(arrivals) - 1
        if cycle.wanted[target.plan.index] + extra == 1:
            self._reach(*arrivals[0], 1)
            return
        join = self._join(target)
        join.left += extra
        for edge, payload in arrivals:
            self._arrive(join, edge, payload, 1)

    def _leave(self, cycle: Cycle) -> None:
        """Settle the edges that leave a cycle which goes round no more."""
        live, dead = cycle.outgoing()
        for edge, payload in live:
            self._reach(edge, payload, 1)
        self._settle_dead(dead, failed=cycle.failed)
