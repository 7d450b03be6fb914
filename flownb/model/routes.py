"""How is a one-shot graph linked the way LangGraph's users write it?

`add_edge(START, "a")` is an entry point, `END` a node that ends the run's ways, and
`add_conditional_edges` an if behind its source: in flownb deciding is a node of its own,
so the picture, the log and the timeline show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from flownb.errors import GraphError
from flownb.model.edges import Edge

if TYPE_CHECKING:
    from flownb.model.workflow import Workflow

START: Final = "__start__"
END: Final = "__end__"

W = TypeVar("W", bound="Workflow")
Targets = Mapping[Any, str] | Iterable[str] | None


def add_router(
    workflow: Workflow, source: str, router: Callable[[Any], Any], targets: Targets
) -> str:
    """Put the if `source?` behind *source*, with an edge for each label; give its name."""
    ways = _ways(source, router, targets)
    name = f"{source}?"
    workflow.add_if(name, router)
    wanted = [Edge(source, name, owner=name)]
    wanted += [Edge(name, target, when=label, owner=name) for label, target in ways.items()]
    workflow.replace_owned(name, wanted)
    if END in ways.values():
        add_end(workflow)
    return name


def add_from_each(workflow: W, sources: Sequence[Any], *path: Any, **options: Any) -> W:
    """Link each of several nodes to one, which then waits for all of them."""
    for source in sources:
        workflow.add_edge(source, *path, **options)
    return workflow


def add_end(workflow: Workflow) -> None:
    """Add the node that ends the run's ways, unless it is there."""
    if END not in workflow.nodes:
        workflow.add_node(END, description="the end of the run")


def _ways(source: str, router: Callable[[Any], Any], targets: Targets) -> dict[Any, str]:
    where = f"add_conditional_edges({source!r})"
    if targets is None:
        targets = _literals(router)
    if targets is None:
        msg = f"{where}: say where its answers lead, as {{label: node}} or [node, ...]"
        raise GraphError(msg)
    ways = dict(targets) if isinstance(targets, Mapping) else {name: name for name in targets}
    if len(set(ways.values())) < len(ways):
        msg = f"{where}: two labels lead to one node: let the router give one label for it"
        raise GraphError(msg)
    return ways


def _literals(router: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """Read `-> Literal["a", "b"]` of a router."""
    try:
        hint = get_type_hints(router).get("return")
    except Exception:  # noqa: BLE001 - a hint may name what is not there
        return None
    return get_args(hint) if get_origin(hint) is Literal else None
