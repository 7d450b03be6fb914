"""Where has somebody put the nodes of a drawing, and what is drawn around them?

`Graph.edit` keeps both with the graph. They come from the drawing that it was read from, where
there is one, and go back into it; what nobody has moved stays as it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flownb.model.topology import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flownb.model.topology import Topology

Spot = tuple[float, float]
_PAD: Final = 24.0  # between a frame and what it holds, in pixels
_HEAD: Final = 24.0  # what its label needs
_BOX: Final = (180.0, 60.0)  # a node whose size nobody has said
_NEAR: Final = 0.5  # pixels: rounded is not moved


def read_places(graph: Topology) -> tuple[dict[str, Spot], dict[str, Frame]]:
    """Give the places and frames that the drawing of a graph has; both are empty without one.

    >>> from flownb import Graph
    >>> drawn = {
    ...     "nodes": [
    ...         {"id": "g", "type": "group", "position": {"x": 100, "y": 50}, "data": {}},
    ...         {"id": "a", "type": "producer", "parentId": "g", "position": {"x": 10, "y": 20}},
    ...     ],
    ...     "edges": [],
    ... }
    >>> read_places(Graph.from_react_flow(drawn))
    ({'a': (110.0, 70.0)}, {'g': Frame(label='g', members=('a',), folded=False)})
    """
    if graph.drawing is None:
        return {}, {}
    raw = {str(node["id"]): node for node in graph.drawing.place.flow["nodes"]}
    names = {node_id: name for name, node_id in graph.drawing.ids.items() if node_id in raw}
    places, members = {}, dict[str, list[str]]()
    for node_id, name in names.items():
        spot = _absolute(raw[node_id], raw)
        if spot is not None and name in graph.nodes:
            places[name] = spot
        holder = _parent(raw[node_id])
        if holder in raw and holder not in names and name in graph.nodes:
            members.setdefault(str(holder), []).append(name)
    frames = {key: Frame(_label(raw[key]), tuple(held)) for key, held in members.items()}
    return places, frames


def read_labels(graph: Topology) -> dict[str, str]:
    """Give what the boxes of a drawing say, by the name of the node, where it is another word."""
    if graph.drawing is None:
        return {}
    raw = {str(node["id"]): node for node in graph.drawing.place.flow["nodes"]}
    labels = {n: _label(raw[i]) for n, i in graph.drawing.ids.items() if i in raw}
    return {name: label for name, label in labels.items() if label != name}


def write_places(nodes: list[Any], graph: Topology, id_of: Callable[[str], str]) -> None:
    """Write places and frames of a graph into drawn nodes; *id_of* gives the id of a name."""
    if not graph._places and not graph._frames:
        return
    before, framed = read_places(graph)
    raw = {str(node["id"]): node for node in nodes}
    moved = {
        name: spot
        for name, spot in graph._places.items()
        if name not in before or _is_moved(spot, before[name])
    }
    for key in framed.keys() - graph._frames.keys():
        _let_out([raw[id_of(n)] for n in framed[key].members if id_of(n) in raw], raw)
    for key, frame in graph._frames.items():
        same = framed.get(key) == frame and not any(name in moved for name in frame.members)
        if not same:
            _write_frame(key, frame, nodes, raw, [id_of(n) for n in frame.members], graph._places)
            moved |= {name: graph._places[name] for name in frame.members if name in graph._places}
    for name, spot in moved.items():
        node = raw.get(id_of(name))
        if node is not None:
            _put(node, spot, raw)


def _write_frame(  # noqa: PLR0917 - one frame, and all that it is measured by
    key: str,
    frame: Frame,
    nodes: list[Any],
    raw: dict[str, Any],
    ids: Sequence[str],
    places: Mapping[str, Spot],
) -> None:
    inside = [raw[one] for one in ids if one in raw]
    spots = [
        (places[n], raw[i])
        for n, i in zip(frame.members, ids, strict=True)
        if i in raw and n in places
    ]
    if not spots:
        return
    left = min(x for (x, _), _ in spots) - _PAD
    top = min(y for (_, y), _ in spots) - _PAD - _HEAD
    right = max(x + _size(node)[0] for (x, _), node in spots) + _PAD
    bottom = max(y + _size(node)[1] for (_, y), node in spots) + _PAD
    held = raw.get(key)
    if held is None:
        held = raw[key] = {"id": key, "type": "group", "data": {"label": frame.label}}
        nodes.insert(0, held)  # React Flow asks for a parent before its children
    elif isinstance(held.get("data"), dict) and _label(held) != frame.label:
        held["data"]["label"] = frame.label
    old = [node for node in raw.values() if _parent(node) == key and node not in inside]
    _let_out(old, raw)
    _put(held, (left, top), raw)
    size = {"width": right - left, "height": bottom - top}
    held["style"] = {**(held["style"] if isinstance(held.get("style"), dict) else {}), **size}
    for node in inside:
        node.pop("parentNode", None)
        node["parentId"] = key
    nodes.sort(key=lambda node: _parent(node) is not None)


def _let_out(nodes: Sequence[dict[str, Any]], raw: Mapping[str, Any]) -> None:
    for node in nodes:
        spot = _absolute(node, raw)
        for gone in ("parentId", "parentNode", "extent"):
            node.pop(gone, None)
        if spot is not None:
            node["position"] = {"x": spot[0], "y": spot[1]}


def _put(node: dict[str, Any], spot: Spot, raw: Mapping[str, Any]) -> None:
    x, y = spot
    parent = raw.get(_parent(node) or "")
    off = _absolute(parent, raw) if parent is not None else None
    if off is not None:
        x, y = x - off[0], y - off[1]
    node["position"] = {"x": round(x, 1), "y": round(y, 1)}
    node.pop("positionAbsolute", None)


def _absolute(node: Any, raw: Mapping[str, Any]) -> Spot | None:
    """Give the place of a node on the sheet: its own, and that of what holds it."""
    x, y = 0.0, 0.0
    for _ in range(len(raw) + 1):
        place = node.get("position")
        if not isinstance(place, dict) or not all(_is_number(place.get(k)) for k in "xy"):
            return None
        x, y = x + place["x"], y + place["y"]
        node = raw.get(_parent(node) or "")
        if node is None:
            return x, y
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _FAR


_FAR: Final = 1e6


def _is_moved(a: Spot, b: Spot) -> bool:
    return abs(a[0] - b[0]) > _NEAR or abs(a[1] - b[1]) > _NEAR


def _parent(node: Mapping[str, Any]) -> str | None:
    found = node.get("parentId") or node.get("parentNode")
    return None if found is None else str(found)


def _label(node: Mapping[str, Any]) -> str:
    data = node.get("data")
    said = data.get("label") if isinstance(data, dict) else None
    return said if isinstance(said, str) and said.strip() else str(node["id"])


def _size(node: Mapping[str, Any]) -> Spot:
    measured = node.get("measured")
    for box in (measured if isinstance(measured, dict) else {}, node):
        wide, high = box.get("width"), box.get("height")
        if _is_number(wide) and _is_number(high):
            return wide, high  # type: ignore[return-value]  # they are numbers
    return _BOX
