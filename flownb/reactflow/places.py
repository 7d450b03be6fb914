"""Where in a file does the drawing stand? Each tool wraps React Flow's two lists in its own way.

Langflow writes them into `data`, ChainForge into `flow`, Dify into `workflow.graph`, RAGFlow
into `dsl.graph`. n8n has `connections` by node name instead of edges: they are turned round.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flownb.errors import FlowFormatError, did_you_mean
from flownb.jsonable import step

_LEVELS: Final = 3
_SHOWN: Final = 12
Step = int | str


@dataclass(frozen=True, slots=True)
class Place:
    """A drawing in a file: the way to it, the whole file, and the object with the two lists."""

    way: tuple[Step, ...]
    document: Any
    flow: dict[str, Any]

    @property
    def path(self) -> str:
        """The way, as it is written: `$.workflow.graph`."""
        return written(self.way)


def written(way: Sequence[Step]) -> str:
    """Write a way as text.

    >>> written(["flows", 0, "data"])
    '$.flows[0].data'
    """
    return "$" + "".join(map(step, way))


def find(document: Any, at: str | Sequence[Step] | None = None) -> Place:
    """Find the one drawing, or the one *at* a way such as "$.data" or ["data"].

    >>> find({"version": 1, "flow": {"nodes": [], "edges": []}}).path
    '$.flow'
    """
    ways = [_way(at)] if at is not None else list(_ways(document))
    if len(ways) > 1:
        shown = ", ".join(written(way) for way in ways[:_SHOWN]) + ", ..." * (len(ways) > _SHOWN)
        msg = f"there are {len(ways)} drawings in this file: say which, at={written(ways[0])!r}"
        raise FlowFormatError(f"{msg} ({shown})")
    if not ways:
        msg = f"there is no drawing: no object with lists 'nodes' and 'edges'{_nearly(document)}"
        raise FlowFormatError(msg)
    flow = _at(document, ways[0])
    if not _is_flow(flow):
        msg = f"at={written(ways[0])!r}: there are no lists 'nodes' and 'edges'{_nearly(flow)}"
        raise FlowFormatError(msg)
    if _is_n8n(flow):
        flow = _from_n8n(flow)
        document = _with(document, ways[0], flow)
    return Place(ways[0], document, flow)


def _with(document: Any, way: Sequence[Step], flow: Any) -> Any:
    """Put another flow where one stands."""
    if not way:
        return flow
    _at(document, way[:-1])[way[-1]] = flow
    return document


def _way(at: str | Sequence[Step]) -> tuple[Step, ...]:
    if not isinstance(at, str):
        return tuple(at)
    named = re.findall(r"\[(\d+)\]|\['([^']*)'\]|([^.\[\]]+)", at.removeprefix("$"))
    return tuple(int(number) if number else quoted or name for number, quoted, name in named)


def _at(document: Any, way: Sequence[Step]) -> Any:
    value = document
    for i, one in enumerate(way):
        keys = value if isinstance(value, dict) else range(len(value) if _is_list(value) else 0)
        if one not in keys:
            near = did_you_mean(str(one), map(str, keys))
            msg = f"at={written(way)!r}: there is nothing at {written(way[: i + 1])}{near}"
            raise FlowFormatError(msg)
        value = value[one]
    return value


def _ways(document: Any) -> Iterator[tuple[Step, ...]]:
    """Look level by level; what stands inside a drawing is a part of it."""
    level: list[tuple[tuple[Step, ...], Any]] = [((), document)]
    for depth in range(_LEVELS + 1):
        below: list[tuple[tuple[Step, ...], Any]] = []
        for way, value in level:
            if _is_flow(value):
                yield way
            elif depth < _LEVELS and isinstance(value, (dict, list)):
                parts = value.items() if isinstance(value, dict) else enumerate(value)
                below += [((*way, key), v) for key, v in parts if isinstance(v, (dict, list))]
        level = below


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_flow(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("nodes"), list):
        return False
    return isinstance(value.get("edges"), list) or _is_n8n(value)


def _nearly(document: Any) -> str:
    if not isinstance(document, dict):
        kind = {str: "a text", list: "a list", int: "a number", float: "a number"}
        return f" (the file is {kind.get(type(document), 'no object')})"
    if isinstance(document.get("nodes"), list):
        return " ('nodes' is there, 'edges' is not: give an empty list)"
    if isinstance(document.get("edges"), list):
        return " ('edges' is there, 'nodes' is not)"
    return did_you_mean("nodes", document) if document else " (the object is empty)"


# -- n8n -------------------------------------------------------------------------


def _is_n8n(flow: dict[str, Any]) -> bool:
    return isinstance(flow.get("connections"), dict) and not isinstance(flow.get("edges"), list)


def _from_n8n(flow: dict[str, Any]) -> dict[str, Any]:
    """Write what n8n has by name as React Flow's lists; the way of its handles is `output-0`."""
    rest = {k: v for k, v in flow.items() if k not in {"nodes", "connections", "edges"}}
    nodes = [_n8n_node(node) for node in flow["nodes"]]
    edges: list[Any] = []
    for source, kinds in flow["connections"].items():
        for kind, slots in kinds.items() if isinstance(kinds, dict) else ():
            for slot, to in enumerate(slots if isinstance(slots, list) else ()):
                handle = f"output-{slot}" if kind == "main" else f"{kind}-{slot}"
                ends = to if isinstance(to, list) else []
                edges += [_n8n_edge(source, handle, end) for end in ends]
    return {**rest, "nodes": nodes, "edges": edges}


def _n8n_node(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    said = {k: v for k, v in node.items() if k not in {"name", "type", "position"}}
    name = node.get("name", node.get("id"))
    made = {"id": name, "data": {"label": name, **said}}
    if "type" in node:
        made["type"] = node["type"]
    place = node.get("position")
    if isinstance(place, list) and len(place) == 2:  # noqa: PLR2004 - x and y
        made["position"] = {"x": place[0], "y": place[1]}
    return made


def _n8n_edge(source: str, handle: str, end: Any) -> dict[str, Any]:
    end = end if isinstance(end, dict) else {}
    target = f"{end.get('type', 'main')}-{end.get('index', 0)}"
    return {
        "source": source, "target": end.get("node"), "sourceHandle": handle,
        "targetHandle": target,
    }  # fmt: skip
