"""Is the JSON Schema that comes with the package that of the models, and of what we write?"""

from __future__ import annotations

import json

import jsonschema
import pytest

from flownb import Graph
from flownb.model.nodes import KINDS
from flownb.reactflow.dialect import DATA, data_schema, make_schema, schema
from flownb.reactflow.exporter import to_react_flow
from tests.model.document.test_document import TOOLS, full
from tests.support import drawings


def test_the_schema_that_comes_along_is_that_of_the_models():
    assert schema() == json.loads(json.dumps(make_schema()))


def test_what_we_write_and_the_contract_are_valid():
    checker = jsonschema.Draft202012Validator(schema())
    graph = full()
    graph.edges = {k: e for k, e in graph.edges.items() if {*k} <= {*graph.nodes}}
    for drawn in (to_react_flow(graph, tools=TOOLS), drawings.two_loops()):
        assert list(checker.iter_errors(drawn)) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda drawn: drawn["nodes"][0].pop("id"),
        lambda drawn: drawn["nodes"][0]["data"].update(kind="producer", every="often"),
        lambda drawn: drawn["edges"][0].pop("target"),
        lambda drawn: drawn.pop("nodes"),
    ],
)
def test_what_is_wrong_is_not_valid(spoil):
    drawn = Graph("g").add_producer("p").add_node("a").add_edge("p", "a").to_react_flow()
    spoil(drawn)
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(drawn))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_schema_of_a_form(kind):
    form = data_schema(kind)
    jsonschema.Draft202012Validator.check_schema(form)
    known = {f.alias or name for name, f in DATA[kind].model_fields.items()}
    assert set(form["properties"]) == known
    assert all(
        "description" in field for name, field in form["properties"].items() if name != "kind"
    )
