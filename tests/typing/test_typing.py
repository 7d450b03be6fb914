"""What does a strict type checker make of a program that uses flownb?

`uses.py` has every verb once and must pass, `mistakes.py` must give the errors that stand
behind its lines: mypy's code, and words of its text. Both are checked as programs outside,
on a flownb that lies where pip puts it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISTAKES = (HERE / "mistakes.py").read_text("utf-8").splitlines()
_TOLD = re.compile(r"(\w+)\.py:(\d+): error: (.*)")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """All errors that mypy finds in the two programs: {(program, line): [text, ...]}."""
    pytest.importorskip("mypy")
    outside = tmp_path_factory.mktemp("outside")
    windows = sys.platform == "win32"
    venv.create(outside / "venv", with_pip=False, symlinks=not windows)
    python = outside / "venv" / ("Scripts/python.exe" if windows else "bin/python")
    (site,) = (outside / "venv").rglob("site-packages")
    for module in (HERE.parents[1] / "flownb").rglob("*"):
        if module.suffix in {".py", ".typed"}:
            placed = site / module.relative_to(HERE.parents[1])
            placed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(module, placed)
    (site / "others.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    programs = [shutil.copy(HERE / name, outside) for name in ("uses.py", "mistakes.py")]
    ran = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python),
            "--cache-dir", str(outside / "cache"), "--no-error-summary", *programs,
        ],
        cwd=outside, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = {}
    for program, line, text in _TOLD.findall(ran.stdout):
        found.setdefault((program, int(line)), []).append(text)
    assert found, ran.stdout + ran.stderr
    return found


@pytest.mark.timeout(300)
def test_a_program_that_uses_every_verb_has_no_errors(told):
    assert {where: texts for where, texts in told.items() if where[0] == "uses"} == {}


def test_lines_without_a_mistake_have_no_error(told):
    lines = {line for program, line in told if program == "mistakes"}
    assert {line for line in lines if "# E: " not in MISTAKES[line - 1]} == set()


@pytest.mark.parametrize(
    "line", [i for i, text in enumerate(MISTAKES, 1) if "# E: " in text], ids=lambda i: f"line {i}"
)
def test_a_mistake_is_an_error(told, line):
    code, _, words = MISTAKES[line - 1].partition("# E: ")[2].partition(" ")
    texts = told.get(("mistakes", line), [])
    assert [text for text in texts if text.endswith(code) and words in text], texts
