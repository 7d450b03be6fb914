"""How is a sync node in the middle of a loop called? With those behind it, in one thread.

The thread that calls a token's node goes on to the nodes that hang on nothing else, so that one
hop is paid for all of them; what each gave is remembered, and the item goes on as if they were
called one by one. Where a row takes longer than a moment, what has ended is entered into the
books, and the call at work becomes a call as any other: see `Turn`.
"""

from __future__ import annotations

import functools
import threading
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

from flownb.engine.calls.call import Call
from flownb.engine.calls.outcome import OpenCall
from flownb.engine.calls.steps import PATIENCE, Steps, can_stand_in_row
from flownb.engine.calls.turn import DEAD, Turn
from flownb.engine.prints import HERE, Spot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flownb.engine.calls.outcome import Pending
    from flownb.engine.calls.steps import ChainNode
    from flownb.engine.calls.turn import RowState
    from flownb.plan.loop_plan import LoopPlan


class Followers:
    """The nodes that may be called in one row with a node that it begins with."""

    def __init__(self, head: ChainNode, loop: LoopPlan) -> None:
        self._head, self._loop = head, loop
        self._able: list[ChainNode] | None = None
        self._known: dict[frozenset[int], Steps] = {}

    @functools.cached_property
    def _losers(self) -> set[int]:
        return {index for node in self._loop.nodes for index in node.losers}

    def steps(self, runners: Sequence[ChainNode]) -> Steps:
        """Give the row of an item with these runners; a node that takes its time begins its own."""
        if self._able is None:
            self._able = self._behind(runners, self._fits)
        out = frozenset(r.plan.index for r in self._able if r.memory.long or r.is_async)
        found = self._known.get(out)
        if found is None:
            able = {r.plan.index for r in self._able} - out
            row = self._behind(runners, lambda runner: runner.plan.index in able)
            found = self._known[out] = Steps([self._head, *row])
        return found

    def _fits(self, runner: ChainNode) -> bool:
        """Whether a node may be called in a row that begins in the middle of a loop.

        Not where it needs a slot first, where it may be given up alone, or where what it pushes
        or remembers belongs to a moment of the item.
        """
        plan, head, options = runner.plan, self._head.plan, self._loop.options
        losers = self._losers
        alone = not plan.index or runner.pushing is not None or options.checkpoint is not None
        alone = alone or (plan.detached and not head.detached)
        alone = alone or (plan.index in losers and head.index not in losers)
        alone = alone or bool(runner.ctx_name and options.transactional)
        return not alone and can_stand_in_row(runner, leaves=True)

    def _behind(
        self, runners: Sequence[ChainNode], fits: Callable[[ChainNode], bool]
    ) -> list[ChainNode]:
        """Give those that fit and whose sources are in the row, in the order of the plan."""
        known, found = {self._head.name}, []
        ahead = [edge.target for edge in self._head.outs]
        heapify(ahead)
        while ahead:
            runner = runners[heappop(ahead)]
            if runner.name in known or not known.issuperset(runner.plan.sources):
                continue
            if fits(runner):
                known.add(runner.name)
                found.append(runner)
                for edge in runner.outs:
                    heappush(ahead, edge.target)
        return found


class TokenRow:
    """The row of one token, called in a thread.

    *due*: the second of the run at which it has taken longer than a moment.
    """

    def __init__(self, steps: Steps, token: Call) -> None:
        self.steps, self.token, self._runtime = steps, token, steps.runtime
        head = functools.partial(steps.head, token.payload)
        self.turn = Turn(head, steps.copy(), first=token.iteration, pulls=False)
        self.turn.token = token
        self._begun = self.due = 0.0
        self._is_open = False
        self._thread: threading.Thread

    @property
    def node_at_work(self) -> str:
        """The name of the node that is called just now."""
        return self.steps.names[min(len(self.turn.at_work().values), len(self.steps.nodes) - 1)]

    def in_thread(self) -> Callable[[], None]:
        """Call the row; give what reports it to the event loop."""
        runtime, turn = self._runtime, self.turn
        self._thread = threading.current_thread()
        self._begun = runtime.now()
        self.due = self._begun + self.steps.patience
        self.token.walk = self
        context, spot = runtime.context.copy(), Spot(runtime.write_line)
        spot.where = functools.partial(self.steps.where, turn)
        context.run(HERE.set, spot)
        context.run(turn.work)
        context.run(spot.end)
        return self._landed

    # -- on the event loop -----------------------------------------------------

    def _landed(self) -> None:
        """Go on with what the row has given."""
        token, turn = self.token, self.turn
        turn.over = True
        if self._is_open:
            turn.end()
        elif not token.cancelled:
            self._enter(*self._reached())
        turn.forget()

    def _reached(self) -> tuple[RowState, list[int], int]:
        """Give the row, its readings, and how many of its calls have ended."""
        turn = self.turn
        if turn.rows:
            return turn.rows[0], turn.times, len(self.steps.nodes)
        _, times, values, row = turn.at_work()
        return row, times, len(values)

    def _enter(
        self, row: RowState, times: list[int], calls: int, at_work: Pending | None = None
    ) -> None:
        """Let the item go on: it meets the calls that have ended as it comes to them."""
        token, steps = self.token, self.steps
        token.walk = None
        memo = steps.memo(row, times, calls)
        last = at_work or steps.broken(row, times, calls, self.turn.error)
        if calls and last is not None:
            memo[steps.nodes[calls].plan.index, 0] = last
        token.item.remember(memo)
        first = steps.ended(row, times, 0) if calls else last
        assert first is not None  # noqa: S101 - the call of the token has ended, in some way
        first.follow(token)

    def look(self) -> None:
        """See to a row that takes longer than a moment: it goes on as an item."""
        turn, steps = self.turn, self.steps
        row, times, calls = self._reached()
        now = self._runtime.now()
        self.due = now + max(steps.patience, now - self._begun)  # ever more seldom
        if turn.rows or (calls == 0 and steps.nodes[0].node.timeout is None):
            return  # it is about to end, or is nothing but the call of its token
        turn.take()
        row, times, calls = self._reached()
        if turn.rows or calls == len(steps.nodes):
            return
        self._is_open, node = True, steps.nodes[calls]
        call = turn.call if turn.call is not None and turn.call.at is node else None
        at_work = OpenCall(
            turn, row, calls, calls + 1, self._second(times[-1]), leave=_nothing, call=call
        )
        node.memory.timed(PATIENCE)
        if self._thread in self._runtime.threads.running:
            self._runtime.threads.running[self._thread] = node.name
        self._enter(row, times, calls, at_work)

    def leave(self) -> None:
        """Enter what has ended by now into the books: nobody waits for the rest."""
        self.turn.take()
        token, steps = self.token, self.steps
        row, times, calls = self._reached()
        token.walk = None
        for i in range(calls):
            if row[0][i] is not DEAD:
                node: Any = steps.nodes[i]
                start, end = (self._second(t) for t in times[i : i + 2])
                call = Call(token.item, node, None, 0)
                node.site.span(call, "work", start, steps.output(row, i), end)
        token.at = steps.nodes[min(calls, len(steps.nodes) - 1)]

    def _second(self, reading: int) -> float:
        return reading / 1e9 - self._runtime.origin


def _nothing() -> None:
    """Leave the thread to the call: the next one has another."""
