"""Does the command line say what a cell says, and fail as a script wants it?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from importlib import metadata
from pathlib import Path

import click
import httpx
import pytest
from click.testing import CliRunner

from flownb import Graph, ToolRegistry
from flownb.cli import load_tools, main
from tests.support.servers import real_server_url

__all__ = ["real_server_url"]
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
    (tmp_path / "ours.json").write_text(json.dumps(Graph("ours").add_node("n").to_dict()))
    (tmp_path / "empty.py").write_text(
        "from flownb import Graph\ngraph = Graph('empty').add_producer('p', [])"
    )
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
        ("error", ["check", "wet?", "wet days"])
    ]


def test_tools_that_others_have_registered_hide_none_of_the_modules(folder, monkeypatch):
    monkeypatch.setattr("flownb.model.tools.tools", registered_by_another := ToolRegistry())
    registered_by_another.register("is_wet", str.isupper)
    registered_by_another.register("loud", str.upper)
    found = load_tools("weather_tools.py")
    assert sorted(found) == ["check", "is_wet", "loud", "read_days"]
    assert found.get("is_wet").__module__ == "weather_tools"


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
def test_a_run_that_is_kept_is_listed(folder):
    flownb("run", "ours.json", "--live", "--store", "runs.sqlite")
    assert "completed" in flownb("runs", "list", "--store", "runs.sqlite")


@pytest.mark.wallclock
def test_a_loop_that_ends_with_an_error_gives_exit_code_1(folder):
    (folder / "dies.py").write_text(
        "from flownb import Graph\n"
        "def source():\n    yield 1\n    raise ValueError('dead')\n"
        "graph = Graph('dies').add_producer('p', source).set_loop('p', on_error='stop')"
    )
    assert "dead" in flownb("run", "dies.py", "--live", code=1)


@pytest.mark.wallclock
@pytest.mark.redis
def test_loops_run_live_on_a_server(folder, real_server_url):
    said = flownb(
        "run", "weather.json", "--tools", "weather_tools.py", "--live", "--redis", real_server_url
    )
    assert "storms completed 2" in said


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
        (("run", "."), "'.' is no file"),
        (("run", "ours.json", "--store", "runs.sqlite"), "--store: only with --live"),
        (("run", "ours.json", "--live", "--seed", "1"), "--seed: only in virtual time"),
        (("run", "ours.json", "--live", "--until", "1"), "--until: only for loops"),
        (("run", "empty.py:graph", "--state", "{}"), "--state: only for a graph without"),
        (("draw", "ours.json", "-o", "ours.png"), "it is drawn as .svg"),
        (("run", "os:path", "--tools", "x", "--drop"), "--tools, --drop: only for a drawing"),
        (("run", "ours.json", "--placeholders"), "--placeholders: only for a drawing"),
    ],
)
def test_a_wrong_call_is_told_in_one_sentence(folder, words, text):
    assert text in flownb(*words, code=2)


def test_a_drawing_that_cannot_run_is_told_in_sentences(folder):
    assert "there is no tool 'read_days'" in flownb("run", "weather.json", code=1)


def test_parts_that_nothing_links_are_told(folder):
    drawn = {"nodes": [{"id": "a", "type": "blocking"}, {"id": "b", "type": "blocking"}]}
    (folder / "parts.json").write_text(json.dumps({**drawn, "edges": []}))
    assert flownb("validate", "parts.json").startswith("warning: 2 parts that no edge links")


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


def verbs(group, *before):
    """Name every verb there is, with the group that it stands in."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs(command, *before, name)
        else:
            yield " ".join([*before, name])


@pytest.mark.parametrize("verb", sorted(verbs(main)))
def test_every_verb_explains_itself_and_its_options_and_has_a_line_in_the_readme(verb):
    said = flownb(*verb.split(), "--help")
    assert said.startswith(f"Usage: main {verb} ")
    command = main
    for name in verb.split():
        command = command.commands[name]
    assert command.help
    assert f"`flownb {verb}" in (ROOT / "README.md").read_text("utf-8")


def test_the_installed_program_is_this_one():
    (program,) = metadata.entry_points(group="console_scripts", name="flownb")
    assert program.load() is main


def test_a_shell_completes_its_verbs():
    asked = {"_FLOWNB_COMPLETE": "bash_complete", "COMP_WORDS": "flownb ru", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from flownb.cli import main; main(prog_name='flownb')"],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT), **asked},
    )  # fmt: skip
    assert done.stdout.split() == ["plain,run", "plain,runs"]


@pytest.mark.parametrize(
    ("source", "words", "said"),
    [
        (
            "graph.add_node('n', lambda _: 1 / 0)",
            "run FILE --live",
            "node 'n' of graph 'g' failed: Zero",
        ),
        ("graph.add_node('n')", "draw FILE -o nowhere/x.svg", "No such file"),
        (
            "graph.add_node('n').add_queue('q')",
            "queues list FILE --redis redis://127.0.0.1:1",
            "no usable Redis",
        ),
        ("graph.add_node('n').add_queue('q')", "queues list FILE --redis nonsense", "is no URL"),
        ("graph.add_node('n')", "runs show x --store mongodb://x", "mongodb"),
        ("graph.add_node('n')", "serve FILE --token short", "at least 8 characters"),
        ("graph.add_node('n')", "serve FILE --host 203.0.113.9", "no server can listen"),
        ("raise SystemExit(3)", "explain FILE", "cannot be imported: SystemExit: 3"),
        ("raise KeyboardInterrupt", "explain FILE", "Aborted!"),
    ],
)
def test_whatever_goes_wrong_is_told_in_a_sentence(folder, source, words, said):
    (folder / "wrong.py").write_text(f"from flownb import Graph\ngraph = Graph('g')\n{source}\n")
    done = CliRunner().invoke(main, words.replace("FILE", "wrong.py").split())
    assert done.exit_code in {1, 2}
    assert said in done.output
    assert isinstance(done.exception, SystemExit)


def test_a_simulation_that_ends_in_an_error_gives_a_script_its_exit_code(folder):
    (folder / "wrong.py").write_text(
        "from flownb import Graph\n"
        "graph = Graph('g').add_node('n', lambda _: 1 / 0)\n"
    )  # fmt: skip
    assert "division by zero" in flownb("run", "wrong.py", code=1)


# -- looking, and what is kept ---------------------------------------------------

PIPELINE = """
from flownb import Graph

def double(state):
    return {"value": state["value"] * 2}

def inverse(state):
    return {"value": 1 / state["value"]}

graph = (
    Graph("sums").add_node("double", double).add_node("inverse", inverse)
    .add_edge("double", "inverse")
)
"""
LOOPS = """
from flownb import Graph

graph = (
    Graph("loops").add_producer("days", every=0.05).add_node("check", takes=0.01)
    .add_queue("wet", external=True).add_edge("days", "check", "wet")
)
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "pipeline_of_test.py").write_text(PIPELINE)
    (tmp_path / "loops_of_test.py").write_text(LOOPS)
    yield tmp_path
    for name in ("pipeline_of_test", "loops_of_test"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("file", ["pipeline_of_test:graph", "pipeline_of_test.py"])
def test_a_graph_is_taken_from_a_module_too(modules, file):
    assert "nothing is wrong" in flownb("validate", file)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("nowhere.json", "file 'nowhere.json' does not exist"),
        ("no_such_module:graph", "no_such_module cannot be imported"),
        ("pipeline_of_test:grpah", "has no graph 'grpah'"),
    ],
)
def test_what_is_no_graph_is_told_in_a_sentence(modules, file, said):
    assert said in flownb("explain", file, code=2)


def test_explain_says_who_waits_in_words_as_json_and_as_a_picture(modules):
    assert "days" in flownb("explain", "loops_of_test:graph")
    told = json.loads(flownb("explain", "loops_of_test:graph", "--json"))
    assert "check" in told["loops"]["days"]["awaits"]
    assert flownb("explain", "loops_of_test:graph", "--svg").startswith("<svg")


def test_draw_writes_the_picture_into_a_file_or_to_the_terminal(modules):
    picture = flownb("draw", "loops_of_test:graph")
    assert picture.startswith("<svg")
    flownb("draw", "loops_of_test:graph", "-o", "loops.svg")
    assert (modules / "loops.svg").read_text("utf-8") == picture.removesuffix("\n")


def test_simulate_prints_the_timeline_and_its_digest(modules):
    words = flownb("simulate", "loops_of_test:graph", "--until", "1")
    told = json.loads(flownb("simulate", "loops_of_test:graph", "--until", "1", "--json"))
    assert told["digest"] in words
    assert {span["node"] for span in told["spans"]} >= {"days", "check"}


@pytest.mark.wallclock
def test_the_demo_runs_and_says_how_it_went(modules):
    told = json.loads(flownb("demo", "--seconds", "1", "--json"))
    assert told["loops"]["days"]["done"] > 0


def test_runs_are_listed_shown_cancelled_and_resumed(modules):
    import pipeline_of_test

    graph = pipeline_of_test.graph
    graph.run({"value": 1}, store="runs.sqlite", run_id="good")
    with pytest.raises(ZeroDivisionError):
        graph.run({"value": 0}, store="runs.sqlite", run_id="bad")
    kept = ["--store", "runs.sqlite"]
    listed = json.loads(flownb("runs", "list", *kept, "--json"))
    assert [run["run_id"] for run in listed] == ["bad", "good"]
    assert "bad  failed" in flownb("runs", "list", *kept, "--status", "failed")
    assert "division by zero" in flownb("runs", "show", "bad", *kept)
    assert json.loads(flownb("runs", "show", "good", *kept, "--json"))["state"] == {"value": 0.5}
    assert "there is no run 'nope'" in flownb("runs", "show", "nope", *kept, code=1)
    assert "is completed already" in flownb("runs", "cancel", "good", *kept, code=1)
    said = flownb("runs", "resume", "bad", "pipeline_of_test:graph", *kept, code=1)
    assert "ZeroDivisionError" in said
    again = modules / "pipeline_of_test.py"
    again.write_text(PIPELINE.replace("1 / state", "state"))
    sys.modules.pop("pipeline_of_test")
    resumed = flownb("runs", "resume", "bad", "pipeline_of_test.py", *kept, "--json")
    assert json.loads(resumed)["status"] == "completed"


def test_a_run_that_waits_is_cancelled_in_its_store(modules):
    import pipeline_of_test

    from flownb.stores import open_store

    with closing(open_store("runs.sqlite")) as kept:
        pipeline_of_test.graph._submit({"value": 1}, store=kept.runs, run_id="waits")
    assert flownb("runs", "cancel", "waits", "--store", "runs.sqlite") == "waits: cancelled\n"
    assert "waits  cancelled" in flownb("runs", "list", "--store", "runs.sqlite")


@pytest.mark.redis
def test_queues_are_counted_cleared_and_dead_letters_listed(modules, real_server_url):
    import loops_of_test

    orch = loops_of_test.graph.start(redis=real_server_url)
    asyncio.run(orch.wait(iterations=3))
    orch.stop().wait(20)
    at = ["loops_of_test:graph", "--redis", real_server_url]
    (told,) = json.loads(flownb("queues", "list", *at, "--json"))
    assert (told["queue"], told["depth"] > 0, orch.name) == ("wet", True, "loops")
    assert f"wet: depth {told['depth']}," in flownb("queues", "stats", "wet", *at)
    assert json.loads(flownb("queues", "dead", "days", *at, "--json")) == []
    assert flownb("queues", "replay", "days", *at) == "0 replayed\n"
    seen = json.loads(flownb("queues", "peek", "wet", *at, "--count", "2", "--json"))
    assert [one["data"] for one in seen] == [0, 1]
    said = flownb("queues", "forget", "wet", "gone", *at, code=1)
    assert "share one backlog" in said
    assert flownb("queues", "clear", "wet", *at, "--yes") == f"{told['depth']} dropped\n"
    assert "wte" in flownb("queues", "stats", "wte", *at, code=1)


@pytest.mark.wallclock
def test_serve_prints_its_address_answers_and_ends_cleanly(modules):
    words = [sys.executable, "-m", "flownb", "serve", "loops_of_test:graph", "pipeline_of_test.py"]
    started = subprocess.Popen(
        [*words, "--port", "0", "--json", "--store", "runs.sqlite"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": f"{ROOT}:{modules}"},
    )  # fmt: skip
    try:
        told = json.loads(started.stdout.readline())
        given = {"Authorization": f"Bearer {told['token']}"}
        asked = {"graph": "sums", "state": {"value": 2}}
        ran = httpx.post(f"{told['address']}runs?wait=20", json=asked, headers=given, timeout=30)
        assert ran.json()["state"] == {"value": 0.25}
        health = httpx.get(f"{told['address']}health", timeout=30).json()
        assert health["graphs"] == ["loops"]
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == 0
    finally:
        started.kill()
        started.wait()
        started.stdout.close()
