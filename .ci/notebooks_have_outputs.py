"""Does every notebook keep its outputs? They are the manual, and what the tests compare with.

Given notebook files, names those that were saved without being run from top to bottom.
Needs nothing but Python, so that it can run as a commit hook anywhere.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def complaints(path: Path) -> list[str]:
    """Say what is wrong with one notebook, a sentence each."""
    if not path.is_file():  # a pattern that matched nothing
        return []
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"])]
    found = []
    if code and not any(cell["outputs"] for cell in code):
        found.append("no cell has an output: run it and save it with its outputs")
    if [cell["execution_count"] for cell in code] != list(range(1, len(code) + 1)):
        found.append("cells were not run once each, in order: restart, run all, save")
    return [f"{path}: {words}" for words in found]


def main(names: list[str]) -> int:
    """Print all complaints; the exit status says whether there were any."""
    found = [line for name in names for line in complaints(Path(name))]
    for line in found:
        print(line, file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
