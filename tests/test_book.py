"""Does the book know what stands beside it?"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.support.machine import ROOT, require

LINK = 'href="lite/notebooks/index.html?path=02_who_waits.ipynb"'


@pytest.mark.nightly
def test_a_tutorial_links_to_where_it_runs_in_the_browser_if_that_is_there(tmp_path):
    require("docs", find_spec("sphinx_click"), "pip install flownb[docs] is missing")
    pages, book = tmp_path / "pages", tmp_path / "book"
    pages.mkdir()
    (pages / "index.md").write_text("# Book\n\n```{toctree}\n02_who_waits\n08_anywhere\n```\n")
    (pages / "02_who_waits.md").write_text("# Who waits\n")
    (pages / "08_anywhere.md").write_text("# Anywhere\n")

    def built() -> list[bool]:
        command = [sys.executable, "-m", "sphinx", "-q", "-c", ROOT / "notebooks", pages, book]
        subprocess.run(command, check=True)
        names = ("02_who_waits", "08_anywhere")
        return ["lite/" in (book / f"{name}.html").read_text("utf-8") for name in names]

    assert built() == [False, False]
    (book / "lite" / "files").mkdir(parents=True)
    (book / "lite" / "files" / "02_who_waits.ipynb").touch()
    assert built() == [True, False]
    assert LINK in (book / "02_who_waits.html").read_text("utf-8")
