"""Are graphs kept in versions, built of registered functions only, and refused with all reasons?"""

from __future__ import annotations

import pytest

from flownb import Graph
from tests.support.served import document, double, run_of, serving, sums, tools

pytestmark = pytest.mark.wallclock
DRAWN = {
    "nodes": [
        {"id": "double", "type": "blocking", "data": {"function": "double"}},
        {"id": "nap", "type": "blocking", "data": {"function": "nap"}},
    ],
    "edges": [{"id": "e", "source": "double", "target": "nap"}],
}


def test_a_graph_is_kept_in_versions_and_read_back(client):
    first = client.get("graphs/sums").json()
    assert first["document"] == sums().to_dict(tools=tools)
    again = client.post("graphs", json={"document": first["document"]})
    assert again.json()["version"] == 1
    changed = sums().add_node("more", double).add_edge("double", "more").to_dict(tools=tools)
    assert client.post("graphs", json={"document": changed}).json()["version"] == 2
    versions = client.get("graphs/sums/versions").json()["graphs"]
    assert [one["version"] for one in versions] == [2, 1]
    assert client.get("graphs/sums", params={"version": 1}).json() == first
    assert run_of(client, {"value": 1})["state"] == {"value": 4}
    assert run_of(client, {"value": 1}, version=1)["state"] == {"value": 2}


def test_a_drawing_is_kept_as_a_graph_and_runs(client):
    made = client.post("graphs", json={"react_flow": DRAWN, "name": "drawn"})
    assert made.status_code == 201, made.text
    assert run_of(client, {"value": 4}, graph="drawn")["state"] == {"value": 8, "slept": 1}


def test_graphs_are_listed_with_filters(client):
    client.post("graphs", json={"document": document("other")})
    names = lambda **asked: [g["name"] for g in client.get("graphs", params=asked).json()["graphs"]]
    assert names() == ["given", "other", "sums"]
    assert names(kind="given") == ["given"]
    assert names(kind="kept", prefix="o") == ["other"]
    assert names(limit=1) == ["given"]


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"document": {"flownb": 1}}, 422, "name: field required"),
        ({"document": document("x", "dobule")}, 409, 'did you mean "double"?'),
        ({"document": document("..")}, 409, "a name is not '..'"),
        ({"document": document("given")}, 409, "is given in Python here"),
        (
            {"react_flow": {"nodes": [{"id": "a", "type": "os.system"}], "edges": []}},
            409,
            "os.system",
        ),
        ({"react_flow": "/etc/passwd"}, 422, "dict"),
        ({}, 422, "required"),
    ],
)
def test_what_makes_no_graph_is_refused_with_its_reason(client, given, status, said):
    refused = client.post("graphs", json=given)
    assert refused.status_code == status
    assert refused.headers["content-type"] == "application/problem+json"
    assert said in refused.text.replace('\\"', '"')


def test_all_mistakes_of_a_graph_are_told_at_once(client):
    wrong = document("x") | {"nodes": [
        {"name": name, "kind": "blocking", "fn": f"no_{name}"} for name in ("a", "b")
    ]}  # fmt: skip
    told = client.post("graphs", json={"document": wrong}).json()
    assert ["'no_a'" in told["problems"][0], "'no_b'" in told["problems"][1]] == [True, True]


def test_a_name_that_is_not_kept_is_told(client):
    for path in ("graphs/nope", "graphs/nope/versions", "graphs/sums?version=9"):
        refused = client.get(path)
        assert (refused.status_code, "there is no graph" in refused.text) == (404, True)
    refused = client.post("runs", json={"graph": "nope", "state": {}})
    assert (refused.status_code, "there is no graph" in refused.text) == (404, True)


def test_a_loop_is_no_one_shot_run(client):
    loop = Graph("looping").add_producer("p", [1]).add_node("n").add_edge("p", "n")
    client.post("graphs", json={"document": loop.to_dict(tools=tools)})
    refused = client.post("runs", json={"graph": "looping", "state": {}})
    assert refused.status_code == 409
    assert "producer" in refused.json()["detail"]


def test_without_a_store_graphs_live_as_long_as_the_server():
    with serving() as client:
        client.post("graphs", json={"document": document()})
        assert client.get("graphs/sums").status_code == 200
    with serving() as client:
        assert client.get("graphs/sums").status_code == 404
