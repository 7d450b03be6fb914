"""Does each program of `tests/faults` print the right value?

A program is a small script that once printed a wrong one, as a user would write it. Its
docstring says which fault it shows; the lines behind `# prints` are what it must print.

Run them all against another checkout, each in a process of its own:

    python tests/test_faults.py CHECKOUT
"""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = sorted((Path(__file__).parent / "faults").glob("*.py"))
_MARK = "\n# prints\n"


def expected(program: Path) -> str:
    """What the program must print: the comment at its end."""
    _, mark, lines = program.read_text("utf-8").partition(_MARK)
    assert mark, f"{program.name} ends without '# prints'"
    return "".join(f"{line.removeprefix('#').removeprefix(' ')}\n" for line in lines.splitlines())


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_program_prints_the_right_value(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(program), run_name="__main__")
    assert printed.getvalue() == expected(program)


def _report(checkout: Path) -> None:
    """Run each program as a child process on the flownb of `checkout`; print what differs."""
    for program in PROGRAMS:
        try:
            done = subprocess.run(
                [sys.executable, str(program)], capture_output=True, text=True, check=False,
                timeout=60, env={**os.environ, "PYTHONPATH": str(checkout.resolve())},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            print(f"{program.stem}: WRONG, no end in 60 s")
            continue
        if done.returncode == 0 and done.stdout == expected(program):
            print(f"{program.stem}: right")
            continue
        print(f"{program.stem}: WRONG")
        said = done.stdout + "".join(done.stderr.splitlines(keepends=True)[-1:])
        print("".join(f"    printed  {line}\n" for line in said.splitlines()), end="")
        print("".join(f"    right    {line}\n" for line in expected(program).splitlines()), end="")


if __name__ == "__main__":
    _report(Path(sys.argv[1]))
