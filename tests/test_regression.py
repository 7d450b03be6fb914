"""Does a notebook become a test that compares what can be compared, and nothing else?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from nbformat import v4

from flownb import FlowError
from flownb.cli import main
from flownb.regression import marked

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("0[1-7]*.ipynb"))
GRAPH = """from flownb import Graph
graph = Graph("g").add_producer("P", [0, 1]).add_node("n", takes=2).add_edge("P", "n")"""


def saved(source, *outputs, count=1, **metadata):
    return v4.new_code_cell(source, outputs=list(outputs), execution_count=count, metadata=metadata)


def shown(text, count=1):
    return v4.new_output("execute_result", {"text/plain": text}, execution_count=count)


def notebook(*sources):
    return v4.new_notebook(cells=[saved(text, count=n) for n, text in enumerate(sources, 1)])


def marks(*sources):
    return {mark.cell: mark.why for mark in marked(notebook(*sources))[1]}


@pytest.mark.parametrize(
    "text",
    [
        "orch",
        "orch.status()",
        "await orch.wait(timeout=5)",
        "status",
        "print('now', orch.metrics()['P'].rate)",
        "for loop in orch.status().loops:\n    print(loop, status)",
        "import time\ntime.perf_counter()",
        "%time sum(range(10))",
        "%%time\nsum(range(10))",
        "graph.start()",
        "graph.simulate();",
        "async with graph.start() as again:\n    display(again)",
    ],
)
def test_a_cell_that_shows_what_is_live_is_marked(text):
    assert list(marks("orch = graph.start()", "status = await orch.wait()", text)) == [2]


@pytest.mark.parametrize(
    "text",
    [
        "orch.outputs('n')",
        "print(status['P'].state, orch.outputs('n', last=2))",
        "await orch.stop();\nsim = graph.simulate()\nsim.timeline",
        "def late(day):\n    return time.time()\ngraph.simulate().digest",
        "orch = graph.simulate()\norch",
        "!ls",
        "SELECT * FROM days;",
        "",
    ],
)
def test_a_cell_that_shows_the_same_each_time_is_not(text):
    made = notebook("orch = graph.start()", "status = await orch.wait()", text)
    if not text:
        made.cells[2].execution_count = None
    assert marked(made)[1] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_of_the_course_it_marks_all_that_its_author_has_marked(path):
    course = json.loads(path.read_text("utf-8"))
    code = [cell for cell in course["cells"] if cell["cell_type"] == "code"]
    ours = {n for n, cell in enumerate(code) if "NBVAL_IGNORE" in "".join(cell["source"])}
    assert marked(course)[1] == [m for m in marked(course)[1] if m.cell not in ours]
    for cell in code:
        lines = "".join(cell["source"]).splitlines(keepends=True)
        cell["source"] = "".join(line for line in lines if "NBVAL_IGNORE" not in line)
    assert ours <= {mark.cell for mark in marked(course)[1]}


def test_a_mark_is_the_first_line_of_its_cell_or_a_tag_where_a_magic_is():
    made, _ = marked(notebook("import time", "time.time()", "%%time\n1 + 1"))
    assert made["cells"][1]["source"] == "# NBVAL_IGNORE_OUTPUT\ntime.time()"
    assert made["cells"][2]["source"] == "%%time\n1 + 1"
    assert made["cells"][2]["metadata"]["tags"] == ["nbval-ignore-output"]
    assert marked(made)[1] == []


def test_a_widget_of_ours_is_new_each_time():
    still = v4.new_output("display_data", {"text/html": '<div data-flownb="db85">'})
    made = v4.new_notebook(cells=[saved("graph.explore()", still)])
    assert marked(made)[1][0].why == "shows a live view"


@pytest.mark.parametrize("counts", [(), (None,), (2,), (1, 3)])
def test_a_notebook_that_was_not_run_from_top_to_bottom_is_refused(counts):
    cells = [saved("1", count=count) for count in counts]
    with pytest.raises(FlowError, match="restart, run all, save"):
        marked(v4.new_notebook(cells=cells))


def new_test(*words, code=0):
    done = CliRunner().invoke(main, ["new", "test", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.kernel
def test_nbval_runs_what_is_made_and_finds_what_has_changed(tmp_path):
    failed = v4.new_output("error", ename="ZeroDivisionError", evalue="division by zero")
    made = v4.new_notebook(
        cells=[
            saved(GRAPH, count=1),
            saved("graph.simulate().releases('P')", shown("[2.0, 4.0]"), count=2),
            saved("import time; time.time()", shown("1.5"), count=3),
            saved("1 / 0", failed, count=4),
            saved("graph.simulate().outputs('n', last=1)", shown("[7]"), count=5),
            saved("graph.simulate();", count=6),
        ]
    )
    (tmp_path / "mine.ipynb").write_text(v4.writes(made), "utf-8")
    said = new_test(tmp_path / "mine.ipynb")
    test = tmp_path / "test_mine.ipynb"
    assert said.splitlines() == [
        f"{test}: 6 code cells, 3 marked",
        "  cell 2 runs, is not compared: it shows what a clock says",
        "  cell 3 has to raise: it raised ZeroDivisionError",
        '  cell 5 runs, is not compared: it ends with ";", which hides nothing from nbval',
        f"Now run: pytest --nbval {test}",
    ]
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", test.name]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "1 failed, 5 passed" in done.stdout
    assert "test_mine.ipynb::Cell 4" in done.stdout


def test_a_file_that_is_there_is_replaced_only_if_that_is_said(tmp_path):
    mine, other = tmp_path / "mine.ipynb", tmp_path / "other.ipynb"
    mine.write_text(v4.writes(notebook("1")), "utf-8")
    other.write_text("mine too")
    assert "--force replaces it" in new_test(mine, "-o", other, code=1)
    assert other.read_text() == "mine too"
    new_test(mine, "-o", other, "--force")
    assert json.loads(other.read_text("utf-8"))["cells"][0]["source"] == ["1"]
    assert not (tmp_path / "test_mine.ipynb").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": [1]}', '{"cells": []}'])
def test_what_is_no_notebook_is_told_in_a_sentence(tmp_path, text):
    (tmp_path / "mine.ipynb").write_text(text)
    said = new_test(tmp_path / "mine.ipynb", code=1)
    assert said.startswith("Error: ")
    assert "mine.ipynb" in said
