"""Which values do the nodes of a one-shot run work on? Its state, or payloads.

With a dict (or nothing, or a model) as its entry, nodes work on state: each gets the entry plus
the updates of its live ancestors. With any other entry the payload goes from node to node, as
in a loop.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from flownb.flow.routing import Popped, route
from flownb.flow.state import State, States

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flownb.flow.cycle import Cycles
    from flownb.flow.scheduler import NodeRunner, Walk
    from flownb.flow.state import Key, Row
    from flownb.flow.token import Join, Token
    from flownb.plan.loop_plan import Once, PlanEdge


class Values:
    """The values of one run, and what each node passed on last.

    `entry` is what the first nodes get, `ends` what the last ones gave; without `states` the
    payloads go from node to node.
    """

    __slots__ = ("_cycles", "_passed", "_rows", "ends", "entry", "schema", "states")

    def __init__(self, once: Once, entry: Any, cycles: Cycles | None) -> None:
        self.schema, self._cycles = once.schema, cycles
        self.ends: dict[str, Any] = {}
        self._passed: dict[str, Any] = {}
        self._rows: list[tuple[Any, Sequence[NodeRunner], Sequence[Any]]] = []
        self.states: States | None = None
        if works_on_state(once, entry):
            self.states = States(self.schema, self.schema.entry(entry))
        self.entry = entry if self.states is None else self.states.entry

    # -- what a node gets ------------------------------------------------------

    def give(self, token: Token, passed: Any) -> None:
        """Let a node see the state as a dict of its own; a payload comes as it is."""
        if self.states is None:
            token.payload = passed
        else:
            token.state = passed
            token.payload = self.schema.view(passed.values)

    def meet(self, token: Token, join: Join) -> None:
        """Let a join see what came; raises where two wrote one key, or a reducer does."""
        if self.states is None:
            token.payload = join.payload
            return
        token.state = next(iter(join.live.values()))
        self.give(token, self.states.merged(join.live.values()))

    def seen(self, token: Token) -> Any:
        """Give what a node had got; the dict it was given it may have changed."""
        state = token.state
        return token.payload if state is None else self.schema.view(state.values)

    def copied(self, passed: Any) -> Any:
        """Give a deep copy of what goes over an edge with `copy=True`."""
        if isinstance(passed, State):
            values = copy.deepcopy(passed.values)
            return State(values, (passed,), number=passed.number)
        return copy.deepcopy(passed)

    # -- what comes of it ------------------------------------------------------

    def take(self, token: Token, output: Any) -> tuple[Any, Collection[PlanEdge] | None]:
        """Fold what a node returned into the state, and choose its edges."""
        plan, passed, returned = token.at.plan, output, output
        if token.at.smooth:
            if self.states is not None:
                self.update(token, output, self.states)
            return output, None
        if isinstance(output, Popped):
            came = output.verdict or self.states is None
            token.returned = returned = output.payload if came else None
        if passes_on(token.at):
            token.returned = None
        elif self.states is not None:
            passed = self.update(token, returned, self.states)
        live: Collection[PlanEdge] | None = None
        if isinstance(output, Popped):
            passed = Popped(output.verdict, output.payload if self.states is None else passed)
        if plan.branches:
            passed, live = route(plan, token.payload, passed)
        if plan.handler >= 0:
            live = [e for e in (plan.outs if live is None else live) if e.target != plan.handler]
        return passed, live

    def update(self, token: Token, output: Any, states: States) -> Any:
        """Make the state behind the token's node; give what its edges' conditions see."""
        state, name, schema = token.state, token.at.name, self.schema
        if token.at.node.over is not None:
            output = {token.at.node.into or name: output}
        token.returned = update = schema.update(output, state.values, name)
        if update:
            token.state = states.updated(state, name, self._place(token), update)
        return schema.view(token.state.values) if token.at.plan.branches else None

    def restore(self, token: Token, output: Any) -> Any:
        """Make the state behind a node again, of what it changed in an earlier attempt."""
        if token.gathering is None and self.states is not None:
            if output:
                update = self.schema.loaded(output)
                place = self._place(token)
                token.state = self.states.updated(token.state, token.at.name, place, update)
        elif passes_on(token.at):
            return token.payload
        return output

    def _place(self, token: Token) -> Key:
        """Say where in plan order this call stands."""
        plan = token.at.plan
        if plan.cycle < 0 or self._cycles is None:
            return plan.index, 0, plan.index, token.visit
        cycle = self._cycles.of(plan)
        return cycle.members[0], cycle.passes, plan.index, token.visit

    def walked(self, token: Token, walk: Walk) -> None:
        """Take in what a row of nodes gave that one thread has called."""
        values = None if token.state is None else token.state.values
        self._rows.append((values, walk.row[: walk.at], walk.outputs))
        if self.states is not None and walk.steps:
            token.state = self.states.stepped(token.state, walk.values, walk.steps)

    def passed(self, token: Token, output: Any, live: Collection[PlanEdge] | None) -> Any:
        """Give what goes on behind a node that ended, along *live* edges; None: along all."""
        name, passed = token.at.name, output if self.states is None else token.state
        self._passed[name] = passed
        if self.states is None and not (token.at.outs if live is None else live):
            self.ends[name] = output
        return passed

    # -- what came of it -------------------------------------------------------

    def result(self, *, partial: bool = False, rows: Sequence[Row] = ()) -> Any:
        """Give the state; without state what the last nodes gave, by name if several.

        Raises RunError when two nodes wrote one key; a *partial* result has the later one's,
        and what *rows* of nodes at work have made by now.
        """
        if self.states is None:
            return next(iter(self.ends.values())) if len(self.ends) == 1 else dict(self.ends)
        values = self.states.snapshot(rows) if partial else self.states.final().values
        return self.schema.view(values)

    def behind(self) -> dict[str, Any]:
        """Give what each node passed on last: the state behind it, or its payload."""
        found = {n: x.values if self.states else x for n, x in self._passed.items()}
        for values, row, outputs in self._rows:
            for runner, output in zip(row, outputs, strict=False):
                if self.states is not None and not runner.passes:
                    _, values = self.schema.stepped(output, values, runner.name)  # noqa: PLW2901
                found[runner.name] = output if self.states is None else values
        return found


def passes_on(runner: NodeRunner) -> bool:
    """Whether a node changes nothing: an if, one that pushes, one without a function."""
    return runner.node.kind in {"if", "queue"} or runner.passes


def works_on_state(once: Once, entry: Any) -> bool:
    """Whether nodes work on a state, and not on what the node before them gave."""
    is_state = entry is None or bool(once.schema.model) or isinstance(entry, (Mapping, BaseModel))
    return once.on_state and is_state
