"""Is every room named, is every name unique, and does no import go round?

A room is a folder of the package. Its `__init__` asks the question that its modules answer;
the map in `flownb/__init__` names it.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import grimp
import networkx as nx
import pytest

import flownb

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "flownb"
ROOMS = sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)
# A name that stands for the same thing in two rooms.
MIRRORED = {"base", "explanation", "capacity", "dashboard", "timeline"}


def name_of(room: Path) -> str:
    return room.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_a_room_opens_with_its_question_and_holds_nothing_else(room):
    tree = ast.parse((room / "__init__.py").read_text("utf-8"))
    asked = ast.get_docstring(tree) or ""
    assert "?" in asked.split("\n")[0]
    if name_of(room) not in {"queues", "stores", "server"}:  # what users import
        assert len(tree.body) == 1


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_the_map_names_the_room(room):
    assert re.search(rf"(?<![\w/]){name_of(room)}/(?!\w)", flownb.__doc__), name_of(room)


def test_what_the_map_names_is_there():
    named = re.findall(r"(?<![\w/.])(?:\w+/)+\w*", flownb.__doc__)
    rooms = {name_of(room) for room in ROOMS}
    missing = [
        name
        for name in named
        if name.split("/")[0] in {room.split("/")[0] for room in rooms}
        and name.rstrip("/") not in rooms
        and not (PACKAGE / f"{name}.py").exists()
        and not (PACKAGE / f"{name}.js").exists()
    ]
    assert missing == []


def test_no_room_has_more_than_twenty_modules():
    counts = {name_of(room): len(list(room.glob("[!_]*.py"))) for room in ROOMS}
    assert {name: count for name, count in counts.items() if count > 20} == {}


def test_a_file_name_stands_for_one_thing():
    counts = Counter(path.stem for path in PACKAGE.rglob("[!_]*.py"))
    assert {name for name, count in counts.items() if count > 1} - MIRRORED == set()
    assert {name for name, count in counts.items() if count > 2} == set()


def test_no_imports_go_round():
    graph = grimp.build_graph("flownb", cache_dir=None)
    imports = nx.DiGraph(
        (module, imported)
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    )
    circles = [
        {name.removeprefix("flownb.") for name in circle}
        for circle in nx.strongly_connected_components(imports)
        if len(circle) > 1
    ]
    assert circles == []
