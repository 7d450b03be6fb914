"""How is a program run in Pyodide, as a browser kernel would? In node, from the built course."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tests.support.machine import ROOT, missing, require

if TYPE_CHECKING:
    from pathlib import Path


def built(into: Path) -> Path:
    """Build the course for a browser, with all that runs it and what tests need there.

    The test is skipped if that cannot be had here; FLOWNB_REQUIRE="lite npm": then it fails.
    """
    require("lite", find_spec("jupyterlite_core"), "pip install flownb[lite] is missing")
    require("npm", shutil.which("npm") and shutil.which("node"), "npm is not installed")
    command = [sys.executable, ROOT / ".ci" / "lite", into, "--offline", "hypothesis"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        missing("npm", f"the course is not built: {done.stderr[-500:]}")
    return into


def run_in_pyodide(code: str, course: Path, folder: Path) -> str:
    """Run a program there; what its last expression gives, as text."""
    program = folder / "program.py"
    program.write_text(code)
    script = ROOT / "tests" / "support" / "pyodide.mjs"
    done = subprocess.run(
        ["node", script, course / "static" / "pyodide", course / "pypi", ROOT, program],
        capture_output=True, text=True, check=False, timeout=1700,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    print(done.stdout)
    return done.stdout.splitlines()[-1]
