"""How is a one-shot graph linked the way LangGraph's users write it?

`add_edge(START, "a")` is an entry point, `END` a node that ends the run's ways, and
`add_conditional_edges` an if behind its source: in flownb deciding is a node of its own,
so the picture, the log and the timeline show it. These words mean here what they mean
there: a router answers with one label or a list of labels, several routers behind one node
all decide, `START` may have one, too. What is not taken (`Send`) is refused in words. One
thing differs: a node with several ways in waits for all of them, as there only behind
`add_edge([...], node)`; `join=` says otherwise.

The ifs are the builder's. They are named "source?", or "source?2" where that name is
taken, and `Node.router` says whose they are: no node of a user is ever replaced by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    get_args,
    get_origin,
    get_type_hints,
)

from flownb.errors import GraphError
from flownb.model.edges import END, START, AnyOf, Edge
from flownb.model.nodes import make_node
from flownb.model.tools import origin

if TYPE_CHECKING:
    from flownb.model.nodes import Node
    from flownb.model.topology import NodeRef, Topology


def end_node() -> Node:
    """Make the node that ends the run's ways."""
    return make_node(END, "blocking", None, {"description": "the end of the run"})


def check_ends(edge: Edge) -> None:
    """Refuse an edge that leads to the start, or on from the end."""
    if edge.target == START:
        msg = f"edge {edge.source} -> START: nothing leads to the start; name the node you mean"
        raise GraphError(msg)
    if edge.source == START:
        msg = (
            f"edge START -> {edge.target}: START can only be the first end of add_edge(); else say "
            f"set_entry_point({edge.target!r})"
        )
        raise GraphError(msg)
    if edge.source == END:
        msg = f"edge END -> {edge.target}: END is the end of the run, nothing comes behind it"
        raise GraphError(msg)


def check_name(workflow: Topology, node: Node) -> None:
    """Refuse a user's node under a name that is the builder's."""
    if node.name in {START, END}:
        msg = f"node {node.name!r}: this name stands for {node.name[2:-2].upper()}: choose another"
        raise GraphError(msg)
    held = workflow.nodes.get(node.name)
    if held is not None and held.router is not None:
        msg = (
            f"node {node.name!r}: add_conditional_edges({held.router!r}, ...) has put its router "
            f"under this name: choose another, or remove_node({node.name!r}) first"
        )
        raise GraphError(msg)


# -- which router is it? -------------------------------------------------------


def router_name(workflow: Topology, source: str, router: Callable[..., Any]) -> str:
    """Name the if of a router: the one it had when its cell is run again, else a free one."""
    for node in workflow.nodes.values():
        if node.router == source and _is_again(source, node.fn, router):
            return node.name
    names = (f"{source}?{n if n > 1 else ''}" for n in count(1))
    return next(name for name in names if name not in workflow.nodes)


def _is_again(source: str, old: Any, new: Any) -> bool:
    """Whether a router comes from the cell that *old* came from; by name, else by place.

    Lambdas have no name. Two in one cell or file are two routers, unless one line makes
    both. One of another file may be another router, or the same after its cell was edited.
    """
    if "<lambda>" not in origin(old)[1] or "<lambda>" not in origin(new)[1]:
        return _definition(old) == _definition(new)
    was, now = old.__code__, new.__code__
    if was.co_filename == now.co_filename:
        return bool(was.co_firstlineno == now.co_firstlineno)
    if was.co_code != now.co_code or was.co_consts != now.co_consts:
        warnings.warn(
            f"add_conditional_edges({source!r}): this lambda replaces the one that was the router "
            "there before; give routers names (def) to have several",
            stacklevel=5,
        )
    return True


def _definition(router: Any) -> tuple[str, str]:
    while isinstance(router, partial):
        router = router.func
    return origin(router) if origin(router)[1] else origin(type(router))


# -- where do its answers lead? ------------------------------------------------


def ways(
    source: str, router: Callable[..., Any], targets: Any, ref: Callable[[NodeRef], str]
) -> dict[str, Any]:
    """Give the nodes that the router may lead to, each with its label or labels.

    *ref* gives the name of what stands for a node.
    """
    where = f"add_conditional_edges({source!r})"
    labels: dict[str, list[Any]] = {}
    for label, target in _pairs(where, router, targets):
        name = ref(target)
        labels.setdefault(name, []).append(name if label is _ITSELF else label)
        check_ends(Edge(where, name))
    if not labels:
        msg = f"{where}: say where its answers lead, as {{label: node}} or [node, ...]"
        raise GraphError(msg)
    # None alone as `when=` would be an edge that is always live
    return {n: AnyOf(each) if each == [None] or each[1:] else each[0] for n, each in labels.items()}


def _pairs(where: str, router: Callable[..., Any], targets: Any) -> Iterable[tuple[Any, Any]]:
    if targets is None:
        targets = list(_literals(_returned(router)))
    if isinstance(targets, Mapping):
        return targets.items()
    if isinstance(targets, (set, frozenset)):
        msg = f"{where}: a set of nodes has no order, and edges have one: give a list"
        raise GraphError(msg)
    alone = isinstance(targets, str) or not isinstance(targets, Iterable)
    return [(_ITSELF, target) for target in ([targets] if alone else dict.fromkeys(targets))]


def _returned(router: Callable[..., Any]) -> Any:
    try:
        return get_type_hints(router).get("return")
    except Exception:  # noqa: BLE001 - a hint may name what is not there
        return None


def _literals(hint: Any) -> Iterator[Any]:
    """Read `-> Literal["a", "b"]` of a router, also inside `list[...]` or beside `None`."""
    if get_origin(hint) is Literal:
        yield from get_args(hint)
        return
    for part in get_args(hint):
        yield from _literals(part)


_ITSELF: Final = object()  # the label of a target that was given without one: its name
