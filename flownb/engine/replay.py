"""How does a run that stopped find its place again? It goes through its steps once more.

The steps are taken in the order in which they were saved, and nobody is called: a node
whose end is among them ends again, with what it gave then. So joins, cycles, passes and
visits come out as they were, also where the order of arrival decided. What then has not
ended yet starts.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from flownb.engine.inplace import change
from flownb.errors import RunError
from flownb.stores.codec import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from flownb.analysis.plan import PlanEdge
    from flownb.engine.once import RunItem
    from flownb.engine.token import Token
    from flownb.stores.base import Step

Key = tuple[str, int, int]


class Replay:
    """The steps of a run's earlier attempts, and the tokens that wait for their turn in them."""

    def __init__(self, run_id: str, steps: Iterable[Step]) -> None:
        self.run_id = run_id
        self._left = deque(step for step in steps if step.kind in {"done", "continued"})
        self._held: dict[Key, tuple[Token, Callable[[], None]]] = {}

    def hold(self, token: Token, go_on: Callable[[], None]) -> None:
        """Keep a token until its step comes; if none does, *go_on* when all steps are over."""
        self._held[_key(token)] = token, go_on

    def run(self, item: RunItem) -> list[Callable[[], None]]:
        """Go through all steps; give how it goes on with what none of them ended."""
        while self._left and item.loop.error is None:
            step = self._left.popleft()
            held = self._held.pop((step.node, step.visit, step.part), None)
            token = self._map_of(item, step) if held is None else held[0]
            self._end(item, token, step)
        return [go_on for token, go_on in self._held.values() if not token.cancelled]

    def _map_of(self, item: RunItem, step: Step) -> Token:
        """Find the node whose calls over a list are held: it was decided for all of them."""
        calls = [
            t
            for t, _ in self._held.values()
            if t.gathering is not None and _key(t.gathering.token) == (step.node, step.visit, -1)
        ]
        if not calls:
            raise RunError(
                f"run {self.run_id!r} cannot be taken up: node {step.node!r} had ended, and now "
                "the graph does not lead there any more"
            )
        for call in calls:
            del self._held[_key(call)]
            item.close(call)
        return calls[0].gathering.token  # type: ignore[no-any-return]

    def _end(self, item: RunItem, token: Token, step: Step) -> None:
        item.loop.skipped(step.node)
        item.memo.pop(item.key(token), None)
        token.attempt = step.attempts
        if step.changed is not None:
            change(token.state, item.once.schema.loaded(decode(step.changed)))
        error = RunError(step.error) if step.kind == "continued" else None
        item.restored(token, step.value, _edges(token, step.live), error)


def _key(token: Token) -> Key:
    part = -1 if token.gathering is None else token.gathering.token.visit
    return token.at.name, token.visit, part


def _edges(token: Token, live: tuple[str, ...] | None) -> Collection[PlanEdge] | None:
    if live is None:
        return None
    runners: Any = token.item.runners
    return [e for e in token.at.outs if runners[e.target].name in live]
