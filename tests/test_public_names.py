"""Is what a user may name all that is offered, explained, and importable?"""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import re
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import pydantic
import pytest

import flownb
import flownb.queues
import flownb.stores
import flownb.typing
from flownb import Graph, errors

PUBLIC = {
    **{name: getattr(flownb, name) for name in flownb.__all__},
    **{name: value for name, value in vars(flownb.typing).items() if name in flownb.typing.__all__},
    **{name: getattr(flownb.queues, name) for name in flownb.queues.__all__},
    **{name: getattr(flownb.stores, name) for name in flownb.stores.__all__},
    **{n: e for n, e in vars(errors).items() if isinstance(e, type) and issubclass(e, Exception)},
}
# Made and driven by the engine: of these the names are public, and a few verbs.
_DRIVEN = {"LoopManager", "QueueManager", "Server"}
CLASSES = sorted(
    (n, c) for n, c in PUBLIC.items() if inspect.isclass(c) and n not in _DRIVEN
)  # fmt: skip
_ELSEWHERE = {
    *dir(builtins),
    *("Any", "AsyncIterable", "AsyncRedis", "Awaitable", "Callable", "ClassVar", "Container"),
    *("Final", "Generator", "Iterable", "Iterator", "Literal", "Mapping", "PathLike", "Random"),
    *("Redis", "Schema", "Self", "Sequence", "builtins", "asyncio", "F", "C_co"),
}

SHOWN = {"svg", "plot"}
OFFERED = {
    "Graph": """
        add_conditional_edges add_edge add_if add_node add_producer add_queue
        add_queue_reader aresume arun clear_cache compare draw drawing edges edit entry_points
        explain explore flow_edges from_dict from_networkx from_react_flow include
        is_queue_edge last_run loop_options name node nodes options plan producer producers
        queue_links reducers remove_edge remove_node rename_node resume run set_entry_point
        set_loop simulate start state_model step sweep to_dict to_networkx to_react_flow
        unlinked use validate version
    """,
    "Orchestrator": """
        apply cancel dag dashboard explain failures is_over live_timeline logs logs_view
        metrics name on outputs pause queues record resume snapshot start status step stop swap
        timeline view wait workflow
    """,
    "Simulation": """
        digest duration events explain failures logs metrics name outputs releases state timeline
    """,
    "WorkflowRun": """
        behind cached calls cancel duration error events failures graph lines logs metrics nodes
        queues run_id started state status table timeline visited workflow
    """,
    "Explanation": """
        answers arms await_set capacity compare detached hints loops makespan measured policy
        reading release text unknown why with_measured workflow
    """,
    "Context": """
        clock config failed log meta pop position push resources rng sleep state tools
    """,
    "SyncContext": """
        clock config failed log meta pop position push resources rng sleep state tools
    """,
}


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def made():
    """One object of each class, as a user gets it."""
    graph = Graph("g").add_producer("p", range(3)).add_node("n").add_edge("p", "n")
    once = Graph("once").add_node("a", lambda state: state)
    sim, seen = graph.simulate(), []
    Graph("c").add_producer("p", [1]).add_node("n", lambda _, ctx: seen.append(ctx)).add_edge(
        "p", "n"
    ).simulate()
    return {
        "Graph": graph, "Simulation": sim, "Explanation": graph.explain(),
        "WorkflowRun": once.run({}), "SyncContext": seen[0],
    }  # fmt: skip


def test_dir_of_the_package_shows_the_public_names_and_no_others():
    assert [name for name in dir(flownb) if not name.startswith("__")] == sorted(flownb.__all__)


def test_a_type_checker_and_python_know_the_same_names_by_the_same_modules():
    tree = ast.parse(inspect.getsource(flownb))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    read = {a.asname: node.module for node in block.body for a in node.names}
    assert read == flownb._HOME


@pytest.mark.parametrize("name", sorted(OFFERED))
def test_completion_offers_what_is_public_all_of_it_and_nothing_else(name):
    wanted = set(OFFERED[name].split()) | (SHOWN if hasattr(PUBLIC[name], "plot") else set())
    thing = made().get(name)
    if thing is not None:
        assert public(thing) == wanted
    else:
        assert public(PUBLIC[name]) <= wanted


@pytest.mark.wallclock
def test_a_run_offers_its_verbs_and_nothing_else():
    orch = Graph("g").add_producer("p", range(3)).start()
    offered = public(orch)
    orch.stop().wait(10)
    assert offered == set(OFFERED["Orchestrator"].split()) | SHOWN


COMPLETE = """
    import json, sys
    from IPython.core.completer import provisionalcompleter
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    shell.run_cell('''
    import flownb
    from flownb import Graph
    graph = Graph("g").add_producer("p", range(3)).add_node("n", abs).add_edge("p", "n")
    sim = graph.simulate()
    why = graph.explain()
    run = Graph("h").add_node("n", lambda s: s).run({})
    '''.replace("\\n    ", "\\n"))
    def complete(text, jedi):
        shell.Completer.use_jedi = jedi
        with provisionalcompleter():
            found = shell.Completer.completions(text, len(text))
            return sorted({c.text.split(".")[-1] for c in found})
    print(json.dumps({f"{text} {jedi}": complete(text, jedi)
        for text in ("flownb.", "graph.", "sim.", "why.", "run.", "graph.set_loop('p', ",
                     "@graph.node(", "@graph.producer(", "graph.add_node('n', ")
        for jedi in (False, True)}))
"""


@pytest.fixture(scope="module")
def completed():
    """What IPython offers, with jedi and without."""
    pytest.importorskip("IPython")
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(COMPLETE)],
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("jedi", [False, True])
@pytest.mark.parametrize(
    ("text", "name"),
    [("graph.", "Graph"), ("sim.", "Simulation"), ("why.", "Explanation"), ("run.", "WorkflowRun")],
)
def test_ipython_offers_what_is_public(completed, text, name, jedi):
    assert set(completed[f"{text} {jedi}"]) == set(OFFERED[name].split()) | SHOWN


@pytest.mark.parametrize("jedi", [False, True])
def test_ipython_offers_the_public_names_of_the_package(completed, jedi):
    assert completed[f"flownb. {jedi}"] == sorted(flownb.__all__)


@pytest.mark.parametrize("verb", ["set_loop", "node", "producer", "add_node"])
def test_ipython_offers_every_option_of_a_call(completed, verb):
    pytest.importorskip("jedi")
    (offered,) = (set(v) for k, v in completed.items() if f".{verb}(" in k and k.endswith("True"))
    parameters = inspect.signature(getattr(Graph, verb)).parameters.values()
    options = {f"{p.name}=" for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert options <= offered


# -- explained -----------------------------------------------------------------


def _undocumented(cls):
    """The public attributes that neither have a docstring nor stand in that of their class."""
    texts = " ".join(inspect.getdoc(k) or "" for k in cls.__mro__ if k is not object)
    for name in sorted(public(cls) | set(OFFERED.get(cls.__name__, "").split())):
        value = inspect.getattr_static(cls, name, None)
        owner = next((k for k in cls.__mro__ if name in vars(k)), cls)
        if not owner.__module__.startswith("flownb") or name in vars(pydantic.BaseModel):
            continue  # of a tuple, of pydantic
        told = isinstance(value, property | classmethod | staticmethod) or callable(value)
        if not (told and inspect.getdoc(value)) and not re.search(rf"`{name}\b", texts):
            yield from {name} - set(_told_below(owner))


def _told_below(cls):
    """The fields of a record that have a docstring of their own below them."""
    (body,) = (node.body for node in ast.parse(textwrap.dedent(inspect.getsource(cls))).body)
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            yield field.target.id


@pytest.mark.parametrize(("name", "cls"), CLASSES, ids=[name for name, _ in CLASSES])
def test_every_public_attribute_is_explained(name, cls):
    assert list(_undocumented(cls)) == []
    assert inspect.getdoc(cls)


VERBS = [
    (name, verb)
    for name in ("Graph", "Orchestrator", "Simulation", "Context", "SyncContext", "Timeline")
    for verb in sorted(public(PUBLIC[name]))
    if inspect.isfunction(getattr(PUBLIC[name], verb))
]


@pytest.mark.parametrize(("name", "verb"), VERBS, ids=[".".join(v) for v in VERBS])
def test_every_option_of_a_verb_is_explained(name, verb):
    function = getattr(PUBLIC[name], verb)
    text = " ".join(inspect.getdoc(function).split())
    options = [p.name for p in inspect.signature(function).parameters.values() if p.kind == 3]
    if "ptions are those of `" not in text:
        assert [o for o in options if not re.search(rf"\*{o}\*|`{o}`|{o}=", text)] == []


@pytest.mark.parametrize("name", ["Context", "SyncContext"])
def test_help_of_a_context_shows_all_that_it_has(name):
    text = subprocess.run(
        [sys.executable, "-c", f"import flownb; help(flownb.{name})"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert [w for w in OFFERED[name].split() if f" {w}" not in text] == []
    for key in ("loop", "node", "iteration", "visit", "attempt", "message_id", "deliveries"):
        assert f"`{key}`" in text


# -- importable ----------------------------------------------------------------


def _annotations(cls):
    for base in cls.__mro__:
        if not base.__module__.startswith("flownb") or base.__name__.startswith("_"):
            continue
        for name, value in vars(base).items():
            function = value.fget if isinstance(value, property) else value
            function = getattr(function, "__func__", function)
            if not name.startswith("_") and inspect.isfunction(function):
                yield from ((name, told) for told in function.__annotations__.values())
        own = vars(base).get("__annotations__", {})
        yield from ((n, a) for n, a in own.items() if not n.startswith("_"))


@pytest.mark.parametrize(("name", "cls"), CLASSES, ids=[name for name, _ in CLASSES])
def test_what_a_public_signature_names_can_be_imported(name, cls):
    named = {
        (where, node.id)
        for where, told in _annotations(cls)
        for node in ast.walk(ast.parse(told if isinstance(told, str) else "None"))
        if isinstance(node, ast.Name)
    }
    assert (
        sorted(x for x in named if x[1] not in PUBLIC and x[1] not in _ELSEWHERE and x[1][0] != "_")
        == []
    )


def test_every_error_of_the_package_can_be_imported_from_one_place():
    ours = {name for name, value in vars(errors).items() if isinstance(value, type)}
    elsewhere = [
        f"{module.name}: {node.name}"
        for module in Path(flownb.__file__).parent.rglob("*.py")
        if module.name != "errors.py"
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
        and ours & {base.id for base in node.bases if isinstance(base, ast.Name)}
    ]
    assert elsewhere == []


# What a node of yours gives or was given, and what the views and pictures of upper layers are.
YOURS = {
    *("call", "config", "outputs", "pop", "run", "setup", "step", "teardown", "value"),
    *("dag", "dashboard", "edit", "explore", "live_timeline", "logs_view", "plot", "snapshot"),
    *("queues", "state", "to_networkx", "view"),
    *("send", "throw", "wait"),  # what was asked for: a request is a coroutine, too
}


@pytest.mark.parametrize(("name", "cls"), CLASSES, ids=[name for name, _ in CLASSES])
def test_a_result_is_any_only_where_it_is_of_your_own_making(name, cls):
    untyped = []
    for base in cls.__mro__:
        for member, value in vars(base).items() if base.__module__.startswith("flownb") else ():
            function = value.fget if isinstance(value, property) else value
            function = getattr(function, "__func__", function)
            if not member.startswith("_") and inspect.isfunction(function):
                untyped += [member] * (function.__annotations__.get("return") in {None, "Any"})
    assert set(untyped) <= YOURS


def test_the_reference_of_the_book_has_every_public_name():
    pages = sorted((Path(__file__).parents[1] / "notebooks/reference").glob("*.md"))
    text = "\n".join(page.read_text("utf-8") for page in pages)
    shown = re.findall(r"^.. auto\w+:: [\w.]+?\.?(\w+)$", text, re.MULTILINE)
    assert sorted(set(PUBLIC) - set(shown)) == []
    assert len(shown) == len(set(shown))


def test_the_pages_of_the_book_name_only_what_is_there():
    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.queues.by_hand import QueuesByHand

    root = Path(__file__).parents[1]
    owners = {"graph": Graph, "orch": Orchestrator, "orch.queues": QueuesByHand}
    named = set()
    for page in [root / "README.md", *sorted((root / "notebooks/pages").glob("*.md"))]:
        named |= set(re.findall(r"\b(graph|orch\.queues|orch)\.(\w+)", page.read_text("utf-8")))
    known = [(who, what) for who, what in named if what not in {"last_run", "svg", "queues"}]
    assert len(known) > 20
    assert [f"{who}.{what}" for who, what in known if not hasattr(owners[who], what)] == []
