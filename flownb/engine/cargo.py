"""What travels when a loop moves to another process? One cloudpickle of all it needs.

Functions that were defined in a cell travel by value. A later plan refers to what is
there already: a node that was not edited keeps its state, its instance and its place in
its source, as it would in the kernel.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flownb.analysis.luggage import stuck
from flownb.engine import cells
from flownb.errors import GraphError, told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flownb.analysis.plan import LoopPlan
    from flownb.engine.logs import Logs
    from flownb.queues.spec import QueueSpec


@dataclass(frozen=True, slots=True)
class Cargo:
    """Everything a loop needs where it will live."""

    plan: LoopPlan
    server: Any
    specs: Sequence[QueueSpec]
    namespace: str = "flownb"
    tools: Any = None
    middleware: tuple[Any, ...] = ()
    watched: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    logs: tuple[Logs, ...] = ()


class Shared:
    """Numbers what both sides have: the nodes and limits of all plans sent so far."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._things: list[Any] = []

    def learn(self, plan: LoopPlan) -> None:
        """Number what is new in a plan, in the same order on both sides."""
        for node in plan.nodes:
            self._add(node.node)
            if node.node.limit is not None:
                self._add(node.node.limit)

    def _add(self, thing: Any) -> None:
        if id(thing) not in self._numbers:
            self._numbers[id(thing)] = len(self._things)
            self._things.append(thing)

    def number(self, thing: Any) -> int | None:
        """Give the number of what the other side has, too."""
        return self._numbers.get(id(thing))

    def thing(self, number: int) -> Any:
        """Give what has that number."""
        return self._things[number]


def load(cargo: Cargo, where: str) -> bytes:
    """Pickle all a loop needs; raises GraphError that names what cannot travel."""
    try:
        return cells.dumps(cargo)
    except Exception as failure:  # a __reduce__ may raise anything
        raise GraphError(_complaint(cargo, where, failure)) from failure


def _complaint(cargo: Cargo, where: str, failure: Exception) -> str:
    import cloudpickle

    loop, why = cargo.plan.loop, told(failure)
    for what, value in (("tools=", cargo.tools), *((_name(m), m) for m in cargo.middleware)):
        try:
            cloudpickle.dumps(value)
        except Exception:  # noqa: BLE001 - as above
            return f"loop {loop!r}: {what} cannot move to {where} ({why}); use pool='thread'"
    for node in cargo.plan.nodes:
        if why_not := stuck(node.node.fn, where):
            return f"loop {loop!r}, node {node.name!r}: {why_not}"
    return f"loop {loop!r} cannot move to {where} ({why}); use pool='thread'"


def _name(middleware: Any) -> str:
    return f"middleware {getattr(middleware, '__name__', type(middleware).__name__)!r}"


def environment() -> dict[str, str]:
    """Give the environment as a cell may have changed it since this process began."""
    return dict(os.environ)


def dump_plan(plan: LoopPlan, specs: Sequence[QueueSpec], shared: Shared) -> bytes:
    """Pickle a later plan; what *shared* knows travels as a number."""
    content = cells.dumps((plan, tuple(specs)), shared.number)
    shared.learn(plan)
    return content


def load_plan(content: bytes, shared: Shared) -> tuple[LoopPlan, tuple[QueueSpec, ...]]:
    """Open what `dump_plan` made."""
    plan, specs = cells.loads(content, shared.thing)
    shared.learn(plan)
    return plan, specs
