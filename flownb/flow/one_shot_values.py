"""Which values do the nodes of a one-shot run work on? Its state, a handler's answer, a list.

A `RunItem` is the one item of a one-shot run. With a dict (or nothing, or a model) as
its entry, nodes work on state: each gets the entry plus the updates of its live
ancestors. With any other entry the payload goes from node to node, as in a loop.

A node that has failed for good is dealt with as its handler says, or the run: "stop" ends the
run; "continue" goes on along the plain edges with what the node got, and of calls over a list
with what the others gave; the name of a node goes on there; anything else goes on as if the
node had returned it.

A node that maps over a list, `add_node("grade", grade, over="papers")`, is called for each
element of `state["papers"]`, in parallel, and what it gave is collected in the order of the list.
With `on_error="continue"` the list is as long as it was: None stands where a call failed, and
the run's `failures` say which and why.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from flownb.errors import FAILS, RunError, beside, caused
from flownb.flow.cycle import Rounds
from flownb.flow.routing import Popped, route
from flownb.flow.state import State, States
from flownb.flow.token import Token

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flownb.engine.calls.chain import ItemChain, RowNode
    from flownb.errors import Failure
    from flownb.flow.scheduler import NodeRunner, Resumed, Scheduler
    from flownb.flow.state import Key
    from flownb.flow.token import Join
    from flownb.model.nodes import Node
    from flownb.plan.loop_plan import Once, PlanEdge, PlanNode


class FailureRules(Rounds):
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
        if token.at.plan.cycle >= 0:
            self.cycles[token.at.plan.cycle].failed = True
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


class RunItem(FailureRules):
    """The one item of a one-shot run."""

    __slots__ = ("_passed", "_rows", "ends", "replay", "states")

    def __init__(
        self,
        loop: Scheduler,
        runners: Sequence[NodeRunner],
        iteration: int,
        payload: Any,
        once: Once,
    ) -> None:
        super().__init__(loop, runners, iteration, payload, once)
        self.memo: dict[Any, Any] = {}
        self.ends: dict[str, Any] = {}
        self._passed: dict[str, Any] = {}  # what each node passed on last
        self._rows: list[tuple[Any, Sequence[RowNode], list[Any]]] = []  # the same of rows
        self.replay: Resumed | None = loop.resumed
        schema, self.states = once.schema, None
        if works_on_state(once, payload):
            self.states = States(schema, schema.entry(payload))

    states: States | None

    def launch(self, live: Any = None) -> None:
        """Send the entry down to the first nodes."""
        entry = self.payload if self.states is None else self.states.entry
        self._spread(self.runners[0], entry, 0, live)
        self.check()
        if self.replay is not None:
            left, self.replay = self.replay.run(self), None
            for go_on in left:
                go_on()
            self.check()

    def result(self, *, partial: bool = False) -> Any:
        """Give the state; without state what the last nodes gave, by name if several.

        Raises RunError when two nodes wrote one key; a *partial* result has the later one's.
        """
        if self.states is None:
            return next(iter(self.ends.values())) if len(self.ends) == 1 else dict(self.ends)
        values = self.states.snapshot() if partial else self.states.final().values
        return self.once.schema.view(values)

    def behind(self) -> dict[str, Any]:
        """Give what each node passed on last: the state behind it, or its payload."""
        found = {n: x.values if self.states else x for n, x in self._passed.items()}
        for values, row, outputs in self._rows:
            for runner, output in zip(row, outputs, strict=False):
                if self.states is not None and not runner.passes:
                    _, values = self.once.schema.stepped(output, values, runner.name)  # noqa: PLW2901
                found[runner.name] = output if self.states is None else values
        return found

    @property
    def in_rows(self) -> bool:
        """Whether a thread may call several nodes in one go: nothing asks for a report of each."""
        hooks = self.loop.hooks
        plain = self.order is None and not self.memo and self.replay is None
        return plain and (hooks is None or hooks.in_rows) and not self.loop.watched

    # -- what a node gets ------------------------------------------------------

    def _seen(self, token: Token) -> Any:
        """Give what a node had got; the dict it was given it may have changed."""
        state = token.state
        return token.payload if state is None else self.once.schema.view(state.values)

    def copied(self, payload: Any) -> Any:
        """Give a deep copy of what goes over an edge with `copy=True`."""
        if isinstance(payload, State):
            values = copy.deepcopy(payload.values)
            return State(values, (payload,), number=payload.number)
        return super().copied(payload)

    def _begin(self, target: NodeRunner, payload: Any) -> None:
        token = Token(self, target, payload, 1, self._visit(target))
        if self._may_run(token):
            self._give(token, payload)
            self._open(token)
            self._offer(token)

    def _give(self, token: Token, payload: Any) -> None:
        """Let a node see the state as a dict of its own; a payload comes as it is."""
        if self.states is None:
            token.payload = payload
        else:
            token.state = payload
            token.payload = self.once.schema.view(payload.values)

    def _decided(self, target: NodeRunner, join: Join) -> bool | None:
        """Run the join or bypass it, if its in-edges decide that now."""
        verdict, token = join.decide(), join.token
        if verdict and token is not None:
            token.visit = self._visit(target)
            if self._may_run(token):
                self._meet(token, join)
                self._offer(token)
            self.lose(target.plan.losers)
        elif verdict is False and token is not None:
            self.close(token)
        return verdict

    def _meet(self, token: Token, join: Join) -> None:
        states = self.states
        try:
            self._give(token, states.merged(join.live.values()) if states else join.payload)
        except FAILS as error:  # a conflict, or a reducer that raised
            token.state = next(iter(join.live.values())) if states else None
            self.memo[self.key(token)] = error

    def _offer(self, token: Token) -> None:
        """The token's inputs are there: a map calls its node once for each element."""
        if token.at.node.over is None or token.gathering is not None:
            self._begun(token)
            return
        try:
            each = elements(token.at.node, token.payload)
        except FAILS as error:  # the user's key or function
            self.memo[self.key(token)] = error
            each = []
        if not each:
            self.memo.setdefault(self.key(token), [])
            self._begun(token)
            return
        gathering = Gathering(token, len(each))
        for i, element in enumerate(each):
            call = Token(self, token.at, element, 1, i)
            call.state, call.gathering = token.state, gathering
            self._open(call)
            self._begun(call)

    def _begun(self, token: Token) -> None:
        """Let a call start; while a run is taken up, its turn in the steps comes first."""
        if self.replay is None:
            super()._offer(token)
        else:
            self.replay.hold(token, functools.partial(super()._offer, token))

    # -- what comes of it ------------------------------------------------------

    def onward(self, token: Token, output: Any) -> tuple[Any, Collection[PlanEdge] | None]:
        """Fold what a node returned into the state, and choose its edges."""
        token.returned, seen = output, token.state
        if output is None and token.at.smooth:
            passed, live = output, None
        else:
            passed, live = self._routed(token, output)
        if self.loop.hooks is not None:
            self.loop.hooks.note(token, live, seen)
        return passed, live

    def _routed(self, token: Token, output: Any) -> tuple[Any, Collection[PlanEdge] | None]:
        if token.gathering is not None:
            return output, None
        plan, passed, returned = token.at.plan, output, output
        if token.at.smooth:
            if self.states is not None:
                self._update(token, output, self.states)
            return output, None
        if isinstance(output, Popped):
            came = output.verdict or self.states is None
            token.returned = returned = output.payload if came else None
        if passes_on(token.at):
            token.returned = None
        elif self.states is not None:
            passed = self._update(token, returned, self.states)
        live: Collection[PlanEdge] | None = None
        if isinstance(output, Popped):
            passed = Popped(output.verdict, output.payload if self.states is None else passed)
        if plan.branches:
            passed, live = route(plan, token.payload, passed)
        if plan.handler >= 0:
            live = [e for e in (plan.outs if live is None else live) if e.target != plan.handler]
        return passed, live

    def _update(self, token: Token, output: Any, states: States) -> Any:
        """Make the state behind the token's node; give what its edges' conditions see."""
        state, name, schema = token.state, token.at.name, self.once.schema
        if token.at.node.over is not None:
            output = {token.at.node.into or name: output}
        token.returned = update = schema.update(output, state.values, name)
        if update:
            token.state = states.updated(state, name, self._place(token), update)
        return schema.view(token.state.values) if token.at.plan.branches else None

    def _place(self, token: Token) -> Key:
        """Say where in plan order this call stands."""
        plan = token.at.plan
        if plan.cycle < 0:
            return plan.index, 0, plan.index, token.visit
        cycle = self.cycles[plan.cycle]
        return cycle.members[0], cycle.passes, plan.index, token.visit

    def walked(self, token: Token, walk: ItemChain) -> None:
        """Move a token along a row of nodes that one thread has called."""
        values = None if token.state is None else token.state.values
        self._rows.append((values, walk.row[: walk.at], walk.outputs))
        if self.states is not None and walk.steps:
            token.state = self.states.stepped(token.state, walk.values, walk.steps)
        if self.tolerated:
            for runner in walk.row[: walk.at]:
                self.tolerated.pop(runner.plan.index, None)
        token.at, token.payload = self.runners[walk.row[walk.at].plan.index], walk.payload

    def ended(self, token: Token, output: Any, live: Collection[PlanEdge] | None) -> None:
        """Go on behind a node that ended well."""
        if self.loop.hooks is not None:
            self.loop.hooks.done(token)
        if self.tolerated or token.gathering is not None:
            self._ended(token, output, live)
        else:
            self._go_on(token, output, live)

    def _ended(self, token: Token, output: Any, live: Collection[PlanEdge] | None) -> None:
        if token.gathering is not None:
            self._gathered(token, token.gathering, output, None)
            return
        if self.tolerated:
            self.tolerated.pop(token.at.plan.index, None)
        self._go_on(token, output, live)

    def _go_on(self, token: Token, output: Any, live: Collection[PlanEdge] | None) -> None:
        self._passed[token.at.name] = passed = output if self.states is None else token.state
        self._spread(token.at, passed, 1, live)
        self.close(token)
        if self._over or not self.open or self.order is not None:
            self.check()

    def _spread(
        self, runner: NodeRunner, output: Any, mask: int, live: Collection[PlanEdge] | None
    ) -> None:
        if live is None and runner.straight and self.order is None and not self.lost:
            self._fan_out(runner, output)
        else:
            super()._spread(runner, output, mask, live)
        if self.states is None and not (runner.outs if live is None else live):
            self.ends[runner.name] = output

    def _fan_out(self, runner: NodeRunner, output: Any) -> None:
        """Do the same where nothing but plain edges lead on: all that most runs have."""
        runners, joins, stateful = self.runners, self.joins, self.states is not None
        ready, awaited, view = self.loop.ready, self.loop.waiting, self.once.schema.view
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
                token = Token(self, target, output, 1)
                if stateful:
                    token.state, token.payload = output, view(output.values)
                self.open[token] = None
                if self.replay is None:
                    (awaited if target.crewed else ready).append(token)
                else:
                    self._begun(token)

    def _gathered(
        self, call: Token, gathering: Gathering, output: Any, error: BaseException | None
    ) -> None:
        """Take in one call of a map; the last one lets the node end."""
        token = gathering.token
        self.close(call)
        if not gathering.took(call.visit, output, error):
            self.check()
            return
        token.attempt = call.attempt
        if self.replay is None:
            self._collected(token, gathering)
        else:
            self.replay.hold(token, functools.partial(self._collected, token, gathering))

    def _collected(self, token: Token, gathering: Gathering) -> None:
        """Go on behind a node that was called for a whole list."""
        failure = gathering.error
        if failure is None:
            try:
                self.ended(token, *self.onward(token, gathering.results))
                return
            except FAILS as wrong:  # its update, or a condition
                failure = wrong
        self.failed(token, failure, gathering if gathering.error is not None else None)

    def _kept(self, token: Token, gathering: Gathering, live: Collection[PlanEdge]) -> list[Any]:
        """Take what the calls over a list gave that worked; None stands for the others."""
        token.returned, seen = gathering.results, token.state
        if self.states is not None:
            self._update(token, gathering.results, self.states)
        if self.loop.hooks is not None:
            self.loop.hooks.note(token, live, seen)
        return gathering.results

    # -- what an earlier attempt had done already ------------------------------

    def restored(
        self,
        token: Token,
        output: Any,
        live: Collection[PlanEdge] | None,
        error: BaseException | None,
    ) -> None:
        """Go on behind a node as it went on then, after it ended or failed with *error*."""
        if token.gathering is None and self.states is not None:
            if output:
                update = self.once.schema.loaded(output)
                place = self._place(token)
                token.state = self.states.updated(token.state, token.at.name, place, update)
        elif passes_on(token.at):
            output = token.payload
        if error is None:
            self._ended(token, output, live)
        else:
            self.tolerated[token.at.plan.index] = error
            self._go_on(token, output, live)


def passes_on(runner: NodeRunner) -> bool:
    """Whether a node changes nothing: an if, one that pushes, one without a function."""
    return runner.node.kind in {"if", "queue"} or runner.passes


def works_on_state(once: Once, entry: Any) -> bool:
    """Whether nodes work on a state, and not on what the node before them gave."""
    is_state = entry is None or bool(once.schema.model) or isinstance(entry, (Mapping, BaseModel))
    return once.on_state and is_state


class Gathering:
    """The calls of one node over the elements of a list, and what they gave so far."""

    __slots__ = ("error", "failures", "left", "results", "token")

    def __init__(self, token: Token, count: int) -> None:
        self.token, self.left = token, count
        self.results: list[Any] = [None] * count
        self.error: BaseException | None = None
        self.failures: dict[int, Failure] = {}

    def took(self, place: int, result: Any, error: BaseException | None) -> bool:
        """Take in one call; say whether it was the last one."""
        self.results[place] = result
        self.error = error if self.error is None else self.error
        self.left -= 1
        return self.left == 0


def elements(node: Node, state: Any) -> list[Any]:
    """Give the elements that *node* is called for: a key of the state, or a function of it."""
    over, what = node.over, f"node {node.name!r}: over="
    if callable(over):
        try:
            found = over(state)
        except FAILS as fault:
            raise beside(what, fault) from fault
        return _listed(found, f"{what} what it gave")
    try:
        found = state[over] if isinstance(state, dict) else getattr(state, str(over))
    except (KeyError, AttributeError, TypeError):
        msg = f"{what}{over!r}, but the state has no {over!r}"
        raise RunError(msg) from None
    return _listed(found, f"{what}{over!r}")


def _listed(found: Any, what: str) -> list[Any]:
    """Give the elements in their order; what goes by letters, keys or by chance is refused."""
    if isinstance(found, (str, bytes, Mapping, set, frozenset)):
        msg = f"{what} is a {type(found).__name__}: give a list"
        raise RunError(msg)
    try:
        return list(found)
    except FAILS as fault:
        raise beside(f"{what}: going through it", fault) from fault
