"""How is a program run in Pyodide, as a browser kernel would? In node, from npm and PyPI."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

from tests.support.machine import ROOT, missing, require

PYODIDE = "314.0.7"  # its first part is Python's version; the wheels must fit it:
_WHEELS = (
    "--python-version", "3.14", "--implementation", "cp", "--abi", "cp314", "--abi", "none",
    "--platform", "pyemscripten_2026_0_wasm32",
)  # fmt: skip
_NEEDED = (
    "pydantic", "pydantic-core", "typing-extensions", "annotated-types", "typing-inspection",
    "redis", "fakeredis", "sortedcontainers", "tenacity", "cloudpickle", "networkx",
)  # fmt: skip


def fetched(folder: Path) -> tuple[Path, Path]:
    """Fetch Pyodide and the wheels that flownb needs in it; the test is skipped if there is no npm.

    FLOWNB_REQUIRE="npm": then it fails.
    """
    require("npm", shutil.which("npm") and shutil.which("node"), "npm is not installed")
    wheels = folder / "wheels"
    pins = [f"{name}=={version(name)}" for name in _NEEDED]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    for command in (
        ["npm", "pack", "--silent", f"pyodide@{PYODIDE}"],
        [*pip, *_WHEELS, "-d", str(wheels), *pins],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            missing("npm", f"{command[0]} found nothing: {done.stderr[-500:]}")
    with tarfile.open(folder / f"pyodide-{PYODIDE}.tgz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "package", wheels


def run_in_pyodide(code: str, folder: Path) -> str:
    """Run a program there; what its last expression gives, as text."""
    home, wheels = fetched(folder)
    program = folder / "program.py"
    program.write_text(code)
    script = ROOT / "tests" / "support" / "pyodide.mjs"
    done = subprocess.run(
        ["node", script, home, wheels, ROOT, program],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]
