"""Drawings as other tools write them, and as nobody should: small, and written for the tests.

Each function gives a fresh document. `mutant` spoils one, `grown` makes one up.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from random import Random
from typing import Any

Json = Any


def node(name: str, kind: str | None = None, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"id": name, "position": {"x": 10, "y": 20}, "data": {}}
    return {**made, **({"type": kind} if kind else {}), **fields}


def edge(source: str, target: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"{source}>{target}", "source": source, "target": target, **fields}


def two_loops() -> Json:
    """The workflow contract: two loops, an if, a queue."""
    return {
        "nodes": [
            node(
                "days", "producer", data={"function": "read_days", "every": 0.5, "pool": "asyncio"}
            ),
            node("check", "blocking", data={"function": "check", "takes": 0.2}),
            node("audit", "non-blocking", data={"label": "Audit", "takes": 1, "color": "#fff"}),
            node("wet?", "if", data={"condition": {"field": "rain", "op": ">", "value": 1}}),
            node("wet days", "queue", data={"queue": "wet"}),
            node("storms", "queue-reader", data={"max_in_flight": 4}),
            node("rank", "blocking", data={"function": "check", "timeout": 5, "retry": 3}),
        ],
        "edges": [
            edge("days", "check"),
            edge("check", "wet?", animated=True),
            edge("days", "audit", label="a copy"),
            edge("wet?", "wet days", sourceHandle="yes"),
            edge("wet days", "storms"),
            edge("storms", "rank"),
        ],
        "viewport": {"x": 0, "y": 0, "zoom": 1.5},
    }


def xyflow() -> Json:
    """React Flow's own examples: built-in types, frames, labels, no data, no place."""
    return {
        "nodes": [
            node("1", "input", data={"label": "Node 0"}),
            node("2", "group", style={"width": 200}),
            node("2a", parentId="2", data={"label": "Node A.1"}, extent="parent"),
            {"id": "3", "data": {"label": None}},
            node("4", "default", hidden=True),
            node("5", "output", parentNode="2"),
            {"id": "6", "position": {"x": 1, "y": 2}},
        ],
        "edges": [
            edge("1", "2a", label="edge label", animated=True, markerEnd={"type": "arrow"}),
            {"source": "2a", "target": "3", "sourceHandle": "a"},
            edge("3", "5", type="smoothstep"),
        ],
    }


def langflow() -> Json:
    """Langflow: in `data`, handles that are JSON with odd quotes, notes, a cycle."""
    handle = "{œdataTypeœ:œChatInputœ,œidœ:œChatInput-1œ,œnameœ:œmessageœ}"
    return {
        "name": "Research Loop",
        "description": "",
        "data": {
            "nodes": [
                node(
                    "ChatInput-1",
                    "genericNode",
                    data={"node": {"template": {}}, "type": "ChatInput"},
                ),
                node("LoopComponent-1", "genericNode", data={"type": "LoopComponent"}),
                node("Parser-1", "genericNode", data={"type": "Parser"}),
                node(
                    "note-1",
                    "noteNode",
                    data={"type": "note", "node": {"description": "# read me"}},
                ),
            ],
            "edges": [
                edge("ChatInput-1", "LoopComponent-1", sourceHandle=handle, targetHandle=handle),
                edge("LoopComponent-1", "Parser-1", sourceHandle=handle),
                edge("Parser-1", "LoopComponent-1", targetHandle=handle, data={"sourceHandle": {}}),
            ],
            "viewport": {"x": 1, "y": 2, "zoom": 0.5},
        },
        "is_component": False,
    }


def flowise() -> Json:
    """Flowise: at the top, a condition whose handles have the node's id before them."""
    source = "conditionAgentflow_0"
    return {
        "nodes": [
            node(
                "startAgentflow_0", "agentFlow", data={"name": "startAgentflow", "label": "Start"}
            ),
            node(source, "agentFlow", data={"name": "conditionAgentflow", "label": "Condition 0"}),
            node("llmAgentflow_0", "agentFlow", data={"name": "llmAgentflow"}),
            node("loopAgentflow_0", "agentFlow", data={"name": "loopAgentflow"}),
            node("iterationAgentflow_0", "iteration", data={"name": "iterationAgentflow"}),
            node("agentAgentflow_0", "agentFlow", parentNode="iterationAgentflow_0"),
            node("stickyNoteAgentflow_0", "stickyNote", data={"name": "stickyNoteAgentflow"}),
        ],
        "edges": [
            edge("startAgentflow_0", source, sourceHandle="startAgentflow_0-output-startAgentflow"),
            edge(source, "llmAgentflow_0", sourceHandle=f"{source}-output-0", targetHandle="llm"),
            edge(source, "iterationAgentflow_0", sourceHandle=f"{source}-output-1"),
            edge("iterationAgentflow_0", "loopAgentflow_0"),
        ],
    }


DIFY = """\
app:
  description: 'Sorts mails: quickly'
  mode: workflow
  name: Mail sorter
kind: app
version: 0.1.3
workflow:
  features: {}
  graph:
    edges:
    - data: &line {isInIteration: false, sourceType: start}
      id: 1711-source-1712-target
      source: '1711'
      sourceHandle: source
      target: '1712'
      targetHandle: target
      type: custom
    - data: *line
      id: 1712-true
      source: '1712'
      sourceHandle: 'true'
      target: '1713'
    - id: 1712-case
      source: '1712'
      sourceHandle: 6f54c0b2-9d4e-4c8b-9f6a-0a0b1c2d3e4f
      target: '1714'
    nodes:
    - data: {title: Start, type: start, variables: []}
      id: '1711'
      position: {x: 80, y: 282.5}
      type: custom
    - data: {title: IF/ELSE, type: if-else}
      id: '1712'
      position: {x: 384, y: 282}
      type: custom
    - data: {title: LLM, type: llm, context: {enabled: no, since: 2024-01-02}}
      id: '1713'
      type: custom
    - data: {title: Code, type: code}
      id: '1714'
      type: custom
    - data: {text: a remark, type: ''}
      id: '1715'
      type: custom-note
    viewport: {x: 0, y: 0, zoom: 0.7}
"""


def dify() -> Json:
    """Dify: YAML, in `workflow.graph`; this is the same as JSON."""
    import yaml

    return json.loads(json.dumps(yaml.safe_load(DIFY), default=str))


def ragflow() -> Json:
    """RAGFlow: in `dsl.graph`."""
    return {
        "id": 9,
        "title": {"en": "SQL assistant"},
        "dsl": {
            "components": {"begin": {"downstream": ["Switch:A"], "obj": {}}},
            "graph": {
                "nodes": [
                    node(
                        "begin", "beginNode", data={"label": "Begin", "name": "begin", "form": {}}
                    ),
                    node("Switch:A", "switchNode", data={"label": "Switch", "name": "Switch_0"}),
                    node("Generate:B", "generateNode", data={"label": "Generate", "name": "b"}),
                    node("Iteration:C", "group", data={"label": "Iteration"}),
                    node("IterationItem:C", "iterationStartNode", parentId="Iteration:C"),
                    node("Note:D", "noteNode", data={"label": "Note", "name": "a note"}),
                ],
                "edges": [
                    edge("begin", "Switch:A"),
                    edge("Switch:A", "Generate:B", sourceHandle="Case 1"),
                    edge("Switch:A", "Iteration:C", sourceHandle="end_cpn_ids"),
                ],
            },
            "history": [],
        },
        "avatar": "data:image/png;base64,AAAA",
    }


def chainforge() -> Json:
    """ChainForge: in `flow`, with edges that dangle."""
    return {
        "flow": {
            "nodes": [
                node(
                    "textfields-1", "textfields", data={"fields": {"f0": "a {x}"}}, dragging=False
                ),
                node("prompt-2", "prompt", data={"llms": [{"name": "GPT", "settings": {}}]}),
                node("vis-3", "vis"),
            ],
            "edges": [
                edge("textfields-1", "prompt-2", sourceHandle="output", targetHandle="text"),
                edge("prompt-2", "eval-9", sourceHandle="prompt"),
                edge("eval-9", "vis-3"),
                edge("prompt-2", "vis-3", sourceHandle="prompt", targetHandle="input"),
            ],
            "viewport": {"x": 0, "y": 0, "zoom": 1},
        },
        "cache": {"1.json": {"nodes": 3}},
    }


def chainner() -> Json:
    """chaiNNer: in `content`, nodes that nothing links."""
    nodes = [node("31b7", "regularNode", data={"schemaId": "chainner:image:load", "inputData": {}})]
    return {"version": "0.21.0", "content": {"nodes": nodes, "edges": []}, "checksum": "1a"}


def n8n() -> Json:
    """n8n: nodes by name, connections by name; a cycle, slots that are empty, other kinds."""
    return {
        "name": "Mail",
        "nodes": [
            {"id": "a1", "name": "Every hour", "type": "n8n-nodes-base.cron", "position": [0, 10],
             "parameters": {"rule": {"interval": [{}]}}, "typeVersion": 1.1},
            {"id": "a2", "name": "New?", "type": "n8n-nodes-base.if", "position": [200, 10]},
            {"id": "a3", "name": "Wait", "type": "n8n-nodes-base.wait", "position": [400, 0]},
            {"id": "a4", "name": "Answer", "type": "@n8n/n8n-nodes-langchain.agent"},
            {"id": "a5", "name": "Model", "type": "@n8n/n8n-nodes-langchain.lmChat"},
            {"id": "a6", "name": "Sticky", "type": "n8n-nodes-base.stickyNote", "position": [0, 0]},
        ],
        "connections": {
            "Every hour": {"main": [[{"node": "New?", "type": "main", "index": 0}]]},
            "New?": {"main": [
                [{"node": "Answer", "type": "main", "index": 0}],
                [{"node": "Wait", "type": "main", "index": 0}],
            ]},
            "Wait": {"main": [[{"node": "New?", "type": "main", "index": 0}], None, []]},
            "Model": {"ai_languageModel": [[{"node": "Answer", "type": "ai_languageModel"}]]},
            "Gone": {"main": [[{"node": "Answer", "type": "main", "index": 0}]]},
        },
        "settings": {}, "active": False, "pinData": {},
    }  # fmt: skip


TOOLS: dict[str, Callable[[], Json]] = {
    made.__name__: made
    for made in (xyflow, langflow, flowise, dify, ragflow, chainforge, chainner, n8n)
}


# -- what nobody should write --------------------------------------------------

_ODD: list[Any] = [
    None, True, 0, -1, 1.5, 10**400, math.nan, math.inf, "", " ", "a", "\ud800", "x" * 3_000,
    [], {}, [[]], {"__proto__": {"x": 1}}, {"id": 1}, "__proto__", "__start__", "__end__",
    [None], 1e308,
    {"any": []}, {"otherwise": True}, {"field": "a.b", "op": ">", "value": 1}, "yes", "queue",
    "producer", "if", "non-blocking", "queueReader", {"name": "Scale", "settings": {"x": None}},
]  # fmt: skip
_KEYS = (
    "id", "type", "data", "position", "parentId", "parentNode", "source", "target", "sourceHandle",
    "targetHandle", "label", "nodes", "edges", "connections", "flownb", "function", "every",
    "retry", "queue", "condition", "pool", "limit", "when", "kind", "items", "class", "join",
    "__proto__",
)  # fmt: skip


def _parts(value: Json, found: list[Json]) -> list[Json]:
    if isinstance(value, (dict, list)):
        found.append(value)
        for part in value.values() if isinstance(value, dict) else value:
            _parts(part, found)
    return found


def mutant(rng: Random, document: Json) -> str:
    """Spoil a document in a few places; give its text, which may be no JSON."""
    value = copy.deepcopy(document)
    for _ in range(rng.randint(1, 4)):
        _spoil(rng, rng.choice(_parts(value, [])))
    text = json.dumps(value, ensure_ascii=rng.random() < 0.7)
    if rng.random() < 0.15:
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(['"', "{", "[", ",", "}", "\0", "NaN", "", "\ufeff", "1e999"])
        text += json.dumps(value)[at + rng.randint(0, 3) :]
    elif rng.random() < 0.1:
        text = text.replace('"id":', '"id": "x", "id":', 1)
    elif rng.random() < 0.05:
        deep = rng.choice([50, 200, 100_000])
        text = text.replace("null", "[" * deep + "]" * deep, 1)
    return text


def _spoil(rng: Random, part: Json) -> None:
    odd = copy.deepcopy(rng.choice(_ODD))
    if isinstance(part, list):
        what = rng.randrange(5)
        if not part or what == 0:
            part.append(odd)
        elif what == 1:
            del part[rng.randrange(len(part))]
        elif what == 2:
            part.append(copy.deepcopy(rng.choice(part)))
        elif what == 3:
            part[rng.randrange(len(part))] = odd
        else:
            rng.shuffle(part)
        return
    keys = list(part)
    what = rng.randrange(4)
    if not keys or what == 0:
        part[rng.choice(_KEYS)] = odd
    elif what == 1:
        del part[rng.choice(keys)]
    elif what == 2:
        part[rng.choice(keys)] = odd
    else:
        key, other = rng.choice(keys), rng.choice(keys)
        part[key], part[other] = part[other], part[key]


_TYPES = (
    "producer", "blocking", "non-blocking", "if", "queue", "queue-reader", "group", "note",
    "default", "input", "agent", "nonBlockingNode", "QueueReader", "loop",
)  # fmt: skip
_HANDLES = (None, "yes", "no", "true", "output-0", "output-1", "right", "otherwise", "case-1")


def grown(rng: Random) -> str:
    """Make a drawing up by the grammar of React Flow's JSON."""
    ids: list[Any] = [f"n{i}" for i in range(rng.randint(0, 25))]
    if rng.random() < 0.1 and ids:
        ids[0] = 7
    nodes = [_grown_node(rng, one, ids) for one in ids]
    ends = [*ids, *(["gone"] if rng.random() < 0.2 else [])]
    edges = [_grown_edge(rng, i, ends) for i in range(rng.randint(0, 40) if ends else 0)]
    flow: Json = {"nodes": nodes, "edges": edges}
    if rng.random() < 0.3:
        flow["viewport"] = {"x": 0, "y": 0, "zoom": 1}
    for key in rng.choice([(), (), ("data",), ("flow",), ("dsl", "graph"), ("a", "b", "c")])[::-1]:
        flow = {key: flow, "version": 1}
    return json.dumps(flow)


def _grown_node(rng: Random, name: Any, ids: list[Any]) -> dict[str, Any]:
    kind = rng.choice(_TYPES)
    data: dict[str, Any] = {"label": f"Node {name}"} if rng.random() < 0.5 else {}
    if rng.random() < 0.3:
        data["takes"] = rng.choice([0, 0.5, 2])
    if kind in {"producer", "queue-reader"} and rng.random() < 0.4:
        data["maxInFlight"] = rng.randint(1, 9)
    if kind == "queue-reader" and rng.random() < 0.7:
        data["queue"] = "q"
    if kind == "if" and rng.random() < 0.7:
        op = rng.choice(["==", ">", "in", "exists"])
        data["condition"] = {"field": "a.b", "op": op, "value": [1]}
    made: dict[str, Any] = {"id": name, "data": data}
    if rng.random() < 0.9:
        made["type"] = kind
    if rng.random() < 0.8:
        made["position"] = {"x": rng.randint(-500, 500), "y": rng.random() * 100}
    if rng.random() < 0.2:
        made[rng.choice(["parentId", "parentNode"])] = rng.choice(ids)
    if rng.random() < 0.1:
        made["hidden"] = True
    return made


def _grown_edge(rng: Random, number: int, ends: list[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"source": rng.choice(ends), "target": rng.choice(ends)}
    if rng.random() < 0.8:
        made["id"] = f"e{number}"
    if rng.random() < 0.5:
        made["sourceHandle"] = rng.choice(_HANDLES)
    if rng.random() < 0.2:
        made["label"] = rng.choice(["yes", "no", "a label", None])
    if rng.random() < 0.1:
        made["data"] = {"when": rng.choice([True, "x", 3, None, {"otherwise": True}])}
    return made


# -- what other tools write, in all their versions -----------------------------


class Sketch:
    """A drawing before any tool has written it: its ids and ends, and what holds or decides."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        count = rng.choice([0, 1, 2, 5, 8, 13, 40])
        self.ids = [
            f"{rng.choice(['Agent', 'llm', 'Größe', '17', 'a b'])}-{i}" for i in range(count)
        ]
        roles = rng.choices(["node", "if", "note"], [8, 2, 1], k=count)
        self.roles = dict(zip(self.ids, roles, strict=True))
        self.groups: dict[str, list[str]] = {}
        self.ends: list[tuple[str, str]] = []
        for _ in range(rng.choice([0, count // 2, count, 2 * count]) if count else 0):
            ends = tuple(rng.choice(self.ids) for _ in range(2))
            if ends not in self.ends and (ends[0] != ends[1] or rng.random() < 0.1):
                self.ends.append(ends)  # type: ignore[arg-type]

    def group(self) -> None:
        """Put some nodes into a frame, which may stand behind them in the file."""
        inside = [one for one in self.ids if self.rng.random() < 0.3]
        if inside:
            self.groups["frame-1"] = inside
            self.ids.insert(self.rng.choice([0, len(self.ids)]), "frame-1")
            self.roles["frame-1"] = "group"

    def dangle(self) -> None:
        """Let an edge lead to what has been deleted."""
        if self.ids and self.rng.random() < 0.3:
            self.ends.append((self.rng.choice(self.ids), "deleted-1"))

    def parent(self, node: str) -> str | None:
        return next((key for key, inside in self.groups.items() if node in inside), None)

    def facts(self) -> dict[str, int]:
        """Count by hand what `Drawing.facts` has to say, but for the depth."""
        ids = set(self.ids)
        pairs = {(a, b) for a, b in self.ends if a in ids and b in ids}
        fed, feed = {b for _, b in pairs}, {a for a, _ in pairs}
        part = {one: one for one in ids}
        for a, b in pairs:
            old, new = part[a], part[b]
            part = {one: new if root == old else root for one, root in part.items()}
        left = set(pairs)
        while free := {b for _, b in left} - {a for a, _ in left}:
            left = {(a, b) for a, b in left if b not in free}
        return {
            "nodes": len(ids), "edges": len(self.ends), "simple_edges": len(pairs),
            "sources": len(feed - fed), "sinks": len(fed - feed), "isolated": len(ids - fed - feed),
            "components": len(set(part.values())), "cyclic": int(bool(left)),
        }  # fmt: skip


def _place(rng: Random) -> dict[str, Any]:
    at = {"x": rng.randint(-900, 900), "y": rng.random() * 500}
    more = {"positionAbsolute": dict(at), "selected": False, "width": 300, "dragging": False}
    return {"position": at, **(more if rng.random() < 0.5 else {})}


def _flow(
    sketch: Sketch, node: Callable[[str, str], Json], edge: Callable[[str, str], Json]
) -> Json:
    """Write React Flow's two lists with what a tool says of each node and edge."""
    rng, nodes = sketch.rng, []
    for one in sketch.ids:
        parent = sketch.parent(one)
        key = rng.choice(["parentId", "parentNode"])
        held = {key: parent, "extent": "parent"} if parent else {}
        nodes.append({"id": one, **_place(rng), **held, **node(one, sketch.roles[one])})
    edges = [{"source": a, "target": b, **edge(a, b)} for a, b in sketch.ends]
    for i, one in enumerate(edges):
        if rng.random() < 0.9:
            one["id"] = f"reactflow__edge-{i}"
    view = {"viewport": {"x": 0.5, "y": -3, "zoom": 0.7}} if rng.random() < 0.6 else {}
    return {"nodes": nodes, "edges": edges, **view}


def _langflow(sketch: Sketch) -> Json:
    rng = sketch.rng

    def node(name: str, role: str) -> Json:
        kind = "noteNode" if role == "note" else "genericNode"
        said = {"type": "note" if role == "note" else "Prompt", "id": name, "showNode": True}
        more = {"template": {"code": {"value": "import os\nos.abort()", "type": "code"}}}
        return {"type": kind, "data": {**said, "node": {"display_name": name, **more}}}

    def edge(a: str, b: str) -> Json:
        handle = "{œdataTypeœ:œPromptœ,œidœ:œ" + a + "œ,œnameœ:œpromptœ,œoutput_typesœ:[œMessageœ]}"
        return {"sourceHandle": handle, "targetHandle": handle, "animated": True,
                "data": {"sourceHandle": {"id": a}, "targetHandle": {"id": b}}}  # fmt: skip

    drawn = {"name": "A flow", "data": _flow(sketch, node, edge), "last_tested_version": "1.1.1"}
    return rng.choice([drawn, {"flows": [drawn]}, drawn["data"]])


def _flowise(sketch: Sketch) -> Json:
    sketch.group()
    rng = sketch.rng

    def node(name: str, role: str) -> Json:
        kinds = {"note": "stickyNote", "group": "iteration"}
        names = {"if": "conditionAgentflow", "note": "stickyNoteAgentflow"}
        kind = kinds.get(role, rng.choice(["agentFlow", "customNode"]))
        data = {"id": name, "label": name, "inputs": {"model": ""}, "version": 2}
        return {"type": kind, "data": {**data, "name": names.get(role, "llmAgentflow")}}

    def edge(a: str, b: str) -> Json:
        handle = f"{a}-output-{rng.choice(['0', '1', '2', 'llmAgentflow'])}"
        data = {"sourceColor": "#fff", "edgeLabel": "0", "isHumanInput": False}
        return {"sourceHandle": handle, "targetHandle": b, "type": "agentFlow", "data": data}

    return _flow(sketch, node, edge)


def _dify(sketch: Sketch) -> Json:
    sketch.group()
    rng = sketch.rng

    def node(name: str, role: str) -> Json:
        kinds = {"note": "custom-note", "group": rng.choice(["custom", "group"])}
        names = {"if": "if-else", "note": "", "group": rng.choice(["iteration", "loop"])}
        data = {"title": name, "type": names.get(role, "llm"), "desc": "", "selected": False}
        return {"type": kinds.get(role, "custom"), "data": data}

    def edge(a: str, b: str) -> Json:
        handle = rng.choice(["source", "true", "false", "6f54c0b2-9d4e", "fail-branch"])
        return {"type": "custom", "sourceHandle": handle, "targetHandle": "target", "zIndex": 0,
                "data": {"sourceType": "llm", "targetType": "code", "isInLoop": False}}  # fmt: skip

    graph = _flow(sketch, node, edge)
    app = {"app": {"mode": "workflow", "name": "an app"}, "kind": "app", "version": "0.3.0"}
    return rng.choice([{**app, "workflow": {"graph": graph, "features": {}}}, {"graph": graph}])


def _ragflow(sketch: Sketch) -> Json:
    sketch.group()
    rng = sketch.rng

    def node(name: str, role: str) -> Json:
        kind = {"note": "noteNode", "group": "group", "if": "switchNode"}.get(role, "ragNode")
        return {"type": kind, "data": {"label": "Generate", "name": name, "form": {"x": [None]}}}

    def edge(a: str, b: str) -> Json:
        handles = {"sourceHandle": rng.choice(["b", "Case 1", "end_cpn_ids"]), "targetHandle": "a"}
        return {**handles, "type": "buttonEdge", "markerEnd": "logo", "style": {"stroke": "gray"}}

    dsl = {"graph": _flow(sketch, node, edge), "components": {}, "history": [], "path": []}
    return rng.choice([{"id": 3, "title": "a", "dsl": dsl}, dsl])


def _chainforge(sketch: Sketch) -> Json:
    sketch.dangle()

    def node(name: str, role: str) -> Json:
        kind = {"note": "comment", "if": "evaluator"}.get(role, "prompt")
        return {"type": kind, "data": {"prompt": "{x}", "llms": [], "title": name}}

    def edge(a: str, b: str) -> Json:
        return {"sourceHandle": "prompt", "targetHandle": "x", "interactionWidth": 100,
                "markerEnd": {"type": "arrow", "width": "22px"}}  # fmt: skip

    return {
        "flow": _flow(sketch, node, edge),
        "cache": {"r.cache": [{"nodes": 1}]},
        "rfInstance": 0,
    }


def _n8n(sketch: Sketch) -> Json:
    sketch.dangle()
    rng = sketch.rng
    nodes = []
    for i, name in enumerate(sketch.ids):
        kinds = {"note": "stickyNote", "if": rng.choice(["if", "switch", "filter"])}
        kind = f"n8n-nodes-base.{kinds.get(sketch.roles[name], 'set')}"
        made = {"name": name, "type": kind, "typeVersion": 2.1, "position": [i, 2]}
        nodes.append({**made, **rng.choice([{}, {"id": f"uuid-{i}"}, {"disabled": True}])})
    links: dict[str, Any] = {}
    for a, b in sketch.ends:
        slots = links.setdefault(a, {}).setdefault(rng.choice(["main", "main", "ai_tool"]), [])
        slots += [rng.choice([[], None]) for _ in range(rng.choice([0, 0, 1]))]
        slots.append([{"node": b, "type": "main", "index": 0}])
    flow = {"nodes": nodes, "connections": links, "settings": {}, "pinData": {}, "name": "mail"}
    return rng.choice([flow, {"workflow": flow, "id": 1}])


ELSEWHERE: dict[str, Callable[[Sketch], Json]] = {
    "langflow": _langflow, "flowise": _flowise, "dify": _dify, "ragflow": _ragflow,
    "chainforge": _chainforge, "n8n": _n8n,
}  # fmt: skip


def elsewhere(seed: int) -> tuple[Json, dict[str, int]]:
    """Give a file as one of six tools writes it, and what is in it, counted by hand."""
    rng = Random(seed)
    sketch = Sketch(rng)
    drawn = ELSEWHERE[[*ELSEWHERE][seed % len(ELSEWHERE)]](sketch)
    return drawn, sketch.facts()
