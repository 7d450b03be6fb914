"""Does a graph go out as React Flow JSON and come back as it was?"""

from __future__ import annotations

import json

from hypothesis import given

from flownb import Graph
from flownb.model.document.encode import to_dict
from flownb.reactflow.exporter import to_react_flow
from tests.model.document.test_document import TOOLS, full, workflows


def check(graph):
    graph.edges = {ends: edge for ends, edge in graph.edges.items() if {*ends} <= {*graph.nodes}}
    drawn = to_react_flow(graph, tools=TOOLS)
    back = Graph.from_react_flow(json.dumps(drawn), tools=TOOLS)
    assert to_dict(back, tools=TOOLS) == to_dict(graph, tools=TOOLS)
    assert back.to_react_flow(tools=TOOLS) == drawn


def test_everything_a_graph_can_hold_comes_back():
    check(full())


@given(workflows())
def test_every_graph_comes_back(graph):
    check(graph)
