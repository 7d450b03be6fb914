"""Does the command line say what a cell says, and fail as a script wants it?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from flownb import Graph, ToolRegistry
from flownb.cli import main

ROOT = Path(__file__).parents[1]
TOOLS = """
def read_days():
    yield from ["dry", "wet", "wet"]

def check(day):
    return day.upper()

def is_wet(day):
    return day == "WET"
"""
NODES = [
    {"id": "days", "type": "producer", "data": {"function": "read_days", "every": 0.5}},
    {"id": "check", "type": "blocking", "data": {"function": "check", "takes": 0.2}},
    {"id": "wet?", "type": "if", "data": {"function": "is_wet"}},
    {"id": "wet days", "type": "queue"},
    {"id": "storms", "type": "queueReader"},
]
EDGES = [
    {"id": "e1", "source": "days", "target": "check"},
    {"id": "e2", "source": "check", "target": "wet?"},
    {"id": "e3", "source": "wet?", "target": "wet days", "sourceHandle": "yes"},
    {"id": "e4", "source": "wet days", "target": "storms"},
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weather_tools.py").write_text(TOOLS)
    (tmp_path / "weather.json").write_text(json.dumps({"nodes": NODES, "edges": EDGES}))
    return tmp_path


def flownb(*words, code=0):
    done = CliRunner().invoke(main, words)
    assert done.exit_code == code, (done.output, done.exception)
    assert "Traceback" not in done.output
    return done.output


def tools():
    space: dict = {}
    exec(TOOLS, space)
    registry = ToolRegistry()
    for name in ("read_days", "check", "is_wet"):
        registry.register(name, space[name])
    return registry


def test_a_drawing_with_nothing_wrong_is_told_so(folder):
    said = flownb("validate", "weather.json", "--tools", "weather_tools.py")
    assert said == "weather: 5 nodes, 4 edges, 2 loops, nothing is wrong\n"


def test_what_is_wrong_is_told_in_sentences_and_by_the_exit_code(folder):
    (folder / "weather_tools.py").write_text(TOOLS.replace("check", "chek"))
    said = flownb("validate", "weather.json", "--tools", "weather_tools.py", code=1)
    assert said == "error: node 'check': there is no tool 'check': did you mean \"chek\"?\n"


def test_problems_come_as_json_too(folder):
    args = ("weather.json", "--tools", "weather_tools.py", "--json")
    assert json.loads(flownb("validate", *args)) == []
    (folder / "weather.json").write_text(json.dumps({"nodes": NODES, "edges": EDGES[1:]}))
    found = json.loads(flownb("validate", *args, code=1))
    assert [(one["level"], one["nodes"]) for one in found] == [
        ("error", ["check", "wet?"])
    ] or found


@pytest.mark.parametrize("way", [(), ("--until", "1.2"), ("--seed", "3")])
def test_the_digest_is_the_same_as_in_a_notebook(folder, way):
    said = flownb("run", "weather.json", "--tools", "weather_tools.py", *way)
    graph = Graph.from_react_flow("weather.json", tools=tools())
    options = {way[0][2:]: float(way[1]) if "." in way[1] else int(way[1])} if way else {}
    sim = graph.simulate(**options)
    assert said == f"{sim!r}\ndigest {sim.digest}\n"
    read = json.loads(flownb("run", "weather.json", "--tools", "weather_tools.py", "--json", *way))
    assert read["digest"] == sim.digest


def test_the_document_of_a_graph_runs_too(folder):
    graph = Graph.from_react_flow("weather.json", tools=tools())
    (folder / "graph.json").write_text(json.dumps(graph.to_dict(tools=tools())))
    said = flownb("run", "graph.json", "--tools", "weather_tools.py")
    assert said.endswith(f"digest {graph.simulate().digest}\n")


def test_a_graph_without_a_producer_runs_once(folder):
    (folder / "once.py").write_text("def add(state):\n    return {'value': state['value'] + 5}\n")
    drawn = {"nodes": [{"id": "add", "type": "blocking", "data": {"function": "add"}}], "edges": []}
    (folder / "once.json").write_text(json.dumps(drawn))
    args = ("once.json", "--tools", "once.py", "--state", '{"value": 1}')
    assert "digest" in flownb("run", *args)
    assert json.loads(flownb("run", *args, "--live", "--json"))["state"] == {"value": 6}


@pytest.mark.wallclock
def test_loops_run_live_until_they_are_done(folder):
    said = flownb("run", "weather.json", "--tools", "weather_tools.py", "--live")
    last = said.splitlines()[-1]
    assert last == "Status('weather': days completed 3, storms completed 2; 0 errors)"


@pytest.mark.wallclock
def test_loops_run_live_for_as_long_as_is_said(folder):
    args = ("weather.json", "--tools", "weather_tools.py", "--live", "--until", "0.3", "--json")
    assert json.loads(flownb("run", *args))["loops"]["days"]["state"] == "stopped"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("run", "nowhere.json"), "does not exist"),
        (("run", "weather.json", "--tools", "no_such_module"), "cannot be imported"),
        (("run", "weather.json", "--tools", "nowhere.py"), "cannot be imported"),
        (("run", "weather.json", "--tools", "json:dumps"), "has no ToolRegistry"),
        (("run", "weather.json", "--tools", "weather_tools.py", "--state", "{"), "is no JSON"),
        (("run", "weather.json", "--until", "0"), "until"),
    ],
)
def test_a_wrong_call_is_told_in_one_sentence(folder, words, text):
    assert text in flownb(*words, code=2)


def test_a_drawing_that_cannot_run_is_told_in_sentences(folder):
    assert "there is no tool 'read_days'" in flownb("run", "weather.json", code=1)


def test_what_is_left_out_is_told(folder):
    foreign = {"nodes": [{"id": "a", "type": "agent"}], "edges": [{"source": "a", "target": "b"}]}
    (folder / "foreign.json").write_text(json.dumps(foreign))
    said = flownb("validate", "foreign.json", "--placeholders", "--drop")
    assert "edge a -> b: there is no node 'b': left out" in said
    assert "there is no node" in flownb("validate", "foreign.json", "--placeholders", code=1)


@pytest.mark.parametrize("start", [("-m", "flownb"), ("-c", "from flownb.cli import main; main()")])
def test_it_is_there_as_a_program(folder, start):
    done = subprocess.run(
        [sys.executable, *start, "validate", "weather.json", "--tools", "weather_tools"],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "weather: 5 nodes, 4 edges, 2 loops, nothing is wrong\n"
    assert done.stderr == ""
