"""Does each exercise say "Not yet." as it stands, and "Right." with its solution?"""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "exercises.ipynb"
CELLS = [
    (cell["cell_type"], "".join(cell["source"]))
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
]
SOLUTION = re.compile(r"<summary>Solution</summary>.*?```python\n(.*?)```", re.DOTALL)
CHECKS = [
    n
    for n, (kind, text) in enumerate(CELLS)
    if kind == "code" and text.startswith(("check(", "sim = "))
]


def said(names: dict, text: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(text, names)
    return out.getvalue()


@pytest.mark.parametrize("at", CHECKS, ids=[f"exercise {n}" for n, _ in enumerate(CHECKS, 1)])
def test_an_exercise_is_open_and_its_solution_is_right(at):
    names: dict = {"__name__": "__main__"}
    for text in (CELLS[1][1], "from flownb import Graph", CELLS[at - 1][1]):
        exec(text, names)
    assert said(names, CELLS[at][1]).startswith("Not yet. ")
    (solution,) = SOLUTION.findall(CELLS[at + 1][1])
    assert "<summary>Hint</summary>" in CELLS[at + 1][1]
    exec(solution, names)
    assert said(names, CELLS[at][1]) == "Right.\n"


def test_there_are_ten():
    assert len(CHECKS) == 10


def test_each_cell_of_the_slides_says_what_kind_of_slide_it_is():
    cells = json.loads(NOTEBOOK.with_name("slides.ipynb").read_text("utf-8"))["cells"]
    kinds = [cell["metadata"]["slideshow"]["slide_type"] for cell in cells]
    assert set(kinds) == {"slide", "fragment", "-"}
    assert kinds[0] == "slide"
