"""Do saved notebooks show how their runs ended, where nothing lives any more?"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[3] / "notebooks").glob("*.ipynb"))


def stills(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    data = [o.get("data", {}) for cell in cells for o in cell.get("outputs", [])]
    return [html for d in data if "flownb-still" in (html := "".join(d.get("text/html", "")))]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_saved_still_is_of_a_run_that_is_over(path):
    begun = [html for html in stills(path) if re.search("[▶○‖] (running|starting|paus)", html)]
    going = [html for html in begun if not re.search("[✓■✕] ", html)]  # a log tells of both
    assert not going, "run it with .ci/execute, which keeps what comes after the cell"


def test_the_how_to_about_views_has_stills():
    assert len(stills(next(p for p in NOTEBOOKS if p.stem == "howto_live_view"))) == 3
