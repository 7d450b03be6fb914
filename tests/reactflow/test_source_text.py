"""Is the file of a stranger read as plain data, or refused in a sentence with its place?"""

from __future__ import annotations

import json
import sys
import threading
import time
from random import Random

import pytest

from flownb import FlowFormatError, Graph, ToolRegistry
from flownb.reactflow.source_text import Caps, sound
from tests.support import drawings

TOOLS = ToolRegistry()
for name in ("read_days", "check"):
    TOOLS.register(name, lambda x=None: x)
SECONDS = 0.05
ONE = {"id": "a", "type": "blocking"}


def flow(**more) -> str:
    return json.dumps({"nodes": [ONE], "edges": [], **more})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("{", "this is no JSON: .*line 1, column 2"),
        (b"\xff{}", "no UTF-8 text"),
        ('{"nodes": [{"id": "a", "id": "b"}], "edges": []}', r"the key 'id' is there twice.*'b'"),
        (flow(x=float("nan")), "NaN is no JSON"),
        (flow(x=float("-inf")), "-Infinity is no JSON"),
        (flow().replace('"edges"', '"x": 1e999, "edges"'), r"\$.x: Infinity is not JSON"),
        (flow().replace('"edges"', f'"x": {"9" * 301}, "edges"'), "of 301 digits"),
        (flow(x="\ud800"), r"\$.x: a lone surrogate is not text"),
        (flow(**{"\ud800": 1}), "a lone surrogate is not text"),
        (
            '{"nodes": [{"id": "a", "data": {"__proto__": {}}}], "edges": []}',
            "node 'a', .*data: the key '__proto__'",
        ),
        ("[" * 100_000, "nested too deep"),
        (flow(x=json.loads("[" * 70 + "]" * 70)), "nested deeper than 64 levels"),
        ({"nodes": [{"id": "a", "data": {1}}], "edges": []}, "node 'a', .*data: set is not JSON"),
        ({"nodes": [{1: 2}], "edges": []}, "the key 1 is not a string"),
        ({"nodes": [], "edges": (1,)}, r"\$.edges: a tuple comes back as a list"),
        (None, "there is no drawing"), (5, "there is no drawing"), ([], "there is no drawing"),
        ("{}", "the object is empty"), ('{"nodes": []}', "'edges' is not"),
        ('{"nodes": {}, "edges": []}', "'nodes' is not"),
        ("nowhere.json", "'nowhere.json' cannot be read"), ("a\0b", "cannot be read"),
    ],
)  # fmt: skip
def test_what_no_drawing_needs_is_refused_with_its_place(given, text):
    with pytest.raises(FlowFormatError, match=text):
        Graph.from_react_flow(given)


def test_there_is_a_cap_on_values(monkeypatch):
    monkeypatch.setattr("flownb.reactflow.source_text._MAX_VALUES", 1_000)
    with pytest.raises(FlowFormatError, match="more than 1,000 values"):
        Graph.from_react_flow(flow(x=[[]] * 1_000))


def test_an_object_that_holds_itself_or_repeats_itself_is_refused():
    ring: list = []
    ring.append(ring)
    with pytest.raises(FlowFormatError, match="nested deeper"):
        Graph.from_react_flow({"nodes": [], "edges": [], "x": ring})
    bomb: list = []
    for _ in range(40):
        bomb = [bomb, bomb]
    with pytest.raises(FlowFormatError, match="more than 1,000,000 values"):
        Graph.from_react_flow({"nodes": [], "edges": [], "x": bomb})


@pytest.mark.parametrize(
    ("cap", "text"),
    [
        ({"max_bytes": 20}, "longer than 20 bytes"), ({"max_nodes": 0}, None),
        ({"max_nodes": 1}, "2 nodes are drawn, at most 1"), ({"max_edges": 1}, "2 edges are drawn"),
        ({"max_depth": 1}, "nested deeper than 1 levels"),
    ],
)  # fmt: skip
def test_caps_are_arguments(cap, text, tmp_path):
    drawn = {"nodes": [ONE, {**ONE, "id": "b"}], "edges": [{"source": "a", "target": "b"}] * 2}
    path = tmp_path / "drawn.json"
    path.write_text(json.dumps(drawn))
    for given in (drawn, json.dumps(drawn), path):
        with pytest.raises(FlowFormatError if text else TypeError, match=text):
            Graph.from_react_flow(given, **cap)


def test_the_given_object_is_not_kept():
    drawn = {"nodes": [dict(ONE)], "edges": []}
    graph = Graph.from_react_flow(drawn)
    drawn["nodes"][0]["id"] = "changed"
    assert graph.to_react_flow()["nodes"][0]["id"] == "a"
    graph.to_react_flow()["nodes"].clear()
    assert len(graph.to_react_flow()["nodes"]) == 1


# -- YAML ----------------------------------------------------------------------


def yaml(tmp_path, text):
    path = tmp_path / "drawn.yaml"
    path.write_text(text, "utf-8")
    return sound(path, Caps())[0]


def test_yaml_is_read_as_the_types_of_json(tmp_path):
    text = (
        "a: [1, -2.5, 1e3, 1.5e3,\n true, no, "
        "~, 2024-01-02, 0o17, 'x', 1_0, .5]\n1: {null: [!!str 5]}\n"
    )
    assert yaml(tmp_path, text) == {
        "a": [1, -2.5, "1e3", 1500.0, True, "no", None, "2024-01-02", "0o17", "x", "1_0", 0.5],
        "1": {"null": ["5"]},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!python/object/apply:os.system [ls]", r"\$.a: the tag .*os.system"),
        ("a: &a [*a]", "stands for nothing, or for itself"),
        ("a: 1\na: 2", r"the key 'a' is there twice"),
        ("a: 1\n---\nb: 1", "holds 2 documents"),
        ("? [a]\n: 1", "a key that is a list"),
        ("a: [1, b: }", "this is no YAML: .*line 1"),
        ("a: .nan", ".nan is no JSON"),
        ("[" * 300, "nested deeper than 64 levels"),
        ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n"
            for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ), "more than 1,000,000 values"),
        ("a: " + "9" * 400, "of 400 digits"),
    ],
)  # fmt: skip
def test_what_yaml_could_do_it_does_not(tmp_path, text, said):
    with pytest.raises(FlowFormatError, match=said):
        yaml(tmp_path, text)


# -- strangers -------------------------------------------------------------------


def strangers(seeds):
    """Give spoilt or made-up files, with how each is read."""
    whole = [drawings.two_loops(), *(make() for make in drawings.TOOLS.values())]
    for seed in seeds:
        rng = Random(seed)
        text = drawings.grown(rng) if seed % 6 == 0 else drawings.mutant(rng, rng.choice(whole))
        yield (
            text,
            {
                "on_unknown": rng.choice(["error", "placeholder"]),
                "on_dangling": rng.choice(["error", "drop"]),
                "on_group": rng.choice(["error", "entries"]),
                "default_type": rng.choice([None, "blocking"]),
            },
        )


def attempt(given, **options) -> tuple[Graph | None, tuple[str, ...]]:
    try:
        return Graph.from_react_flow(given, tools=TOOLS, **options), ()
    except FlowFormatError as error:
        return None, error.problems


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "seeds",
    [
        range(2_000),
        pytest.param(range(2_000, 14_000), marks=[pytest.mark.nightly, pytest.mark.timeout(900)]),
    ],
)
def test_a_strangers_file_is_a_graph_or_a_sentence_and_soon(seeds):
    read = 0
    for text, options in strangers(seeds):
        took = []
        for _ in range(3):  # whoever else works on this machine may have its turn once
            begun = time.thread_time()
            graph, found = attempt(text, **options)
            took.append(time.thread_time() - begun)
            if took[-1] <= SECONDS:
                break
        assert min(took) <= SECONDS, (took, text[:200])
        assert all(one.strip() and "\n" not in one for one in found)
        if graph is not None:
            read += 1
        if graph is not None and read % 4 == 0:
            drawn = graph.to_react_flow(tools=TOOLS)
            back = Graph.from_react_flow(drawn, tools=TOOLS, **options)
            assert back.to_react_flow(tools=TOOLS) == drawn
            graph.validate()
    assert read > 300


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_importing_executes_imports_and_writes_nothing(tmp_path):
    texts = [json.dumps(drawings.two_loops()), *(json.dumps(m()) for m in drawings.TOOLS.values())]
    texts.append(flow(x="__import__('os').system('ls')"))
    path = tmp_path / "mail.yml"
    path.write_text(drawings.DIFY, "utf-8")
    spoilt = [drawings.mutant(Random(n), json.loads(texts[n % len(texts)])) for n in range(100)]
    me, armed = threading.get_ident(), [False]
    seen: list[tuple] = []

    def hook(event, args):
        if armed[0] and threading.get_ident() == me and event != "object.__getattr__":
            seen.append((event, args))

    def read_all():
        for given in (*texts, *spoilt, path):
            attempt(given, on_unknown="placeholder", on_dangling="drop")

    read_all()  # what loads late is loaded now
    sys.addaudithook(hook)
    armed[0] = True
    try:
        read_all()
    finally:
        armed[0] = False
    opened = [args for event, args in seen if event == "open"]
    assert [(str(args[0]), args[1]) for args in opened] == [(str(path), "r")]
    harmless = {"open", "gc.collect", "sys._getframe", "code.__new__", "builtins.id"}
    assert [one for one in seen if one[0] not in harmless] == []
