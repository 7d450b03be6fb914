"""Does the document of every graph load in a process that has only the registry?

The graphs are those of the tests, of the notebooks and of the oracle: whatever was built
while their code ran. Each is written down with its functions registered under names that
mean nothing, and read back here and in a process of its own, to the same plan.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from flownb import Graph, GraphError, ToolRegistry
from flownb.model.document.decode import ERRORS
from flownb.model.document.encode import to_dict
from flownb.model.nodes import BaseNode
from flownb.model.policies import Retry, retries
from flownb.model.tools import alike
from flownb.model.workflow import Workflow
from flownb.plan.compiler import compile_once, compile_plan
from tests.support.cases import graph_of, random_case

HERE = Path(__file__).parent
MODULES = (
    "tests.engine.runs.test_run_cases",
    "tests.engine.runs.test_run_cycles",
    "tests.engine.runs.test_run_failures",
    "tests.flow.test_rules_joins", "tests.model.test_workflow",
)  # fmt: skip
NOTEBOOKS = (
    "02_who_waits.ipynb", "03_ifs_and_joins.ipynb", "04_two_loops_and_a_queue.ipynb",
    "05_failure_and_retry.ipynb", "06_overload.ipynb", "07_a_case_from_life.ipynb",
    "10_patterns.ipynb",
)  # fmt: skip
# What a document cannot hold, whatever is registered: things that are neither JSON nor functions.
CANNOT = (
    "cannot be written down",
    "comes back as",
    "not JSON",
    "a document holds",
    "nput should be",
    "surrogate",
)
MOST = 1_000  # nodes; documents of any size are read alike


@contextlib.contextmanager
def recorded(monkeypatch) -> Iterator[list[Workflow]]:
    """Collect every graph that is made."""
    made: list[Workflow] = []
    init = Workflow.__init__

    def noted(self, *args, **kwargs):
        init(self, *args, **kwargs)
        made.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(Workflow, "__init__", noted)
        yield made


def run_tests(module_name: str, monkeypatch) -> list[Workflow]:
    """Call the tests of a module that need nothing; whether they pass is their own affair."""
    module = importlib.import_module(module_name)
    tests = [f for name, f in vars(module).items() if name.startswith("test_") and callable(f)]
    with recorded(monkeypatch) as made:
        for test in tests:
            marked = getattr(test, "pytestmark", ())
            if not marked and not inspect.signature(test).parameters:
                with contextlib.suppress(Exception, pytest.skip.Exception):
                    test()
    return made


def run_cells(notebook: Path, monkeypatch) -> list[Workflow]:
    """Run the cells of a notebook that build, as far as they can run here."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    names: dict = {"__name__": "__main__"}
    with recorded(monkeypatch) as made:
        for cell in cells:
            text = "".join(cell["source"])
            if cell["cell_type"] == "code" and not {"await", "start"} & words(text):
                with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
                    exec(text, names)
    return made


def words(text: str) -> set[str]:
    """Give the names that a cell calls as methods, and "await" if it does."""
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a magic, or await at the top
        return {"await"}
    return {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}


def callables(graph: Workflow) -> Iterator[object]:
    """Everything in a graph that a document has to name."""
    for node in graph.nodes.values():
        yield type(node.fn) if isinstance(node.fn, BaseNode) else node.fn
        yield node.more
        yield from (node.fake, node.takes, node.fail, node.on_error, node.over, node.cache)
        for retry in retries(node.retry):
            yield from retry.on if isinstance(retry.on, tuple) else (retry.on,)
        yield node.queue and node.queue.model
    yield from (edge.condition for edge in graph.edges.values())
    yield from (graph.state_model, *graph.reducers.values())
    for options in graph.options.values():
        yield from (options.get("on_error"), *named(options.get("resources")).values())


def named(resources: object) -> dict:
    return resources if isinstance(resources, dict) else {}


def registered(graph: Workflow) -> ToolRegistry:
    tools = ToolRegistry()
    for i, fn in enumerate(callables(graph)):
        own = getattr(fn, "__name__", "")
        if callable(fn) and ERRORS.get(own) is not fn and tools.name_of(fn) is None:
            tools.register(f"t{i}", fn)
    return tools


def shape(graph: Workflow) -> list:
    """What the plans of a graph say, in plain values; [] when it has none."""
    try:
        plans = [compile_plan(graph, loop) for loop in graph.producers] or [compile_once(graph)]
    except (GraphError, KeyError):
        return []
    return [
        [n.name, n.node.kind, n.awaited, n.detached, n.merges, n.multi, n.node.router, repr(n.join)]
        + [[e.target, repr(e.when), e.condition is not None, e.copy] for e in n.outs]
        for plan in plans
        for n in plan.nodes
    ]


def written(graphs: list[Workflow]) -> list[tuple[Workflow, ToolRegistry, str]]:
    """Write all that can be written; what cannot is refused for what no name could mend."""
    found = []
    for graph in graphs:
        if len(graph.nodes) > MOST or not is_sound(graph):
            continue
        tools = registered(graph)
        try:
            found.append((graph, tools, json.dumps(to_dict(graph, tools=tools))))
        except GraphError as error:
            assert all(any(word in p for word in CANNOT) for p in error.problems), error  # noqa: PT017
    return found


def is_sound(graph: Workflow) -> bool:
    """Whether what stands for a policy is one; `validate` names what is not."""
    policies = [r for n in graph.nodes.values() for r in retries(n.retry)]
    return all(isinstance(r, Retry) for r in policies)


ELSEWHERE = """
import cloudpickle, json, sys
from flownb import Graph
shape, cases = cloudpickle.load(open(sys.argv[1], "rb"))
for number, (tools, text) in enumerate(map(cloudpickle.loads, cases)):
    graph = Graph.from_dict(json.loads(text), tools=tools)
    print(json.dumps([number, graph.to_dict(tools=tools) == json.loads(text), shape(graph)]))
"""


def elsewhere(cases: list[tuple[Workflow, ToolRegistry, str]], tmp_path: Path) -> int:
    """Read documents in a process that has the registries and nothing else; count them."""
    modules = [m for name, m in sys.modules.items() if name.split(".")[0] in {"tests", "conftest"}]
    travelling, expected = [], []
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        for graph, tools, text in cases:
            with contextlib.suppress(Exception):  # a lock, or an open file, in a closure
                travelling.append(cloudpickle.dumps((tools, text)))
                expected.append(shape(graph))
        (tmp_path / "cases").write_bytes(cloudpickle.dumps((shape, travelling)))
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path / "cases")], check=False,
        cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(HERE.parent)},
    )  # fmt: skip
    assert not done.returncode, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said == [[i, True, shape_] for i, shape_ in enumerate(expected)]
    return len(said)


def check(graphs: list[Workflow], tmp_path: Path) -> int:
    cases = written(graphs)
    for graph, tools, text in cases:
        back = Graph.from_dict(json.loads(text), tools=tools)
        assert back.to_dict(tools=tools) == json.loads(text)
        assert shape(back) == shape(graph)
        old, new = filter(callable, callables(graph)), filter(callable, callables(back))
        assert all(map(alike, old, new))
    return elsewhere(cases, tmp_path)


@pytest.mark.parametrize("nth", [4, pytest.param(1, marks=pytest.mark.nightly)])
def test_every_graph_comes_back_in_a_process_that_has_only_the_registry(nth, monkeypatch, tmp_path):
    made = [graph for module in MODULES for graph in run_tests(module, monkeypatch)]
    for notebook in NOTEBOOKS:
        made += run_cells(HERE.parent / "notebooks" / notebook, monkeypatch)
    random = [random_graph(seed) for seed in range(8)]
    assert check([*made[::nth], *random], tmp_path) > 450 / nth
    for graph, tools, text in written(random):
        back = Graph.from_dict(json.loads(text), tools=tools)
        assert back.simulate(iterations=2).digest == graph.simulate(iterations=2).digest


def random_graph(seed: int) -> Graph:
    graph = graph_of(random_case(seed))
    for node in [graph.nodes[name] for name in graph.producers]:
        graph.add_producer(node.name, source_of(node.fn), takes=node.takes)
    return graph


def source_of(items: list):
    def source():
        yield from items

    return source
