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
