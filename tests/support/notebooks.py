"""How do browser tests make a notebook, run it, and look at what it shows?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60_000  # milliseconds, for whatever must come: a slow machine costs nothing but time
OUTPUT = ".jp-NotebookPanel .jp-OutputArea-output"
INSIDE = ".jp-OutputArea-output"  # of one cell
PANEL = ".jp-NotebookPanel"


# A cell that awaits until the test lets it go on (`go_on`), and says so then.
AWAITS = """
from pathlib import Path
while not Path("go").exists(): await orch.wait(timeout=0.1)
print("went on")
"""


def go_on(home: Path) -> None:
    """Let the cell that awaits go on: it runs in that folder."""
    (home / "go").touch()


def new_page(browser: Any, height: int = 1400, width: int = 1200) -> Any:
    """Open a page that is patient."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(PATIENCE)
    return page


def written(path: Path, *cells: str) -> Path:
    """Write a notebook with these code cells."""
    code = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell{i}",
            "metadata": {},
            "outputs": [],
            "source": source.strip(),
        }
        for i, source in enumerate(cells)
    ]
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    meta = {"kernelspec": spec}
    path.write_text(
        json.dumps({"cells": code, "metadata": meta, "nbformat": 4, "nbformat_minor": 5})
    )
    return path


def opened(page: Any, address: str) -> list[str]:
    """Open a notebook in JupyterLab; give the list that errors on the console go to."""
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector(f"{PANEL} .jp-CodeCell")
    page.wait_for_function(
        "() => document.querySelector('.jp-NotebookPanel .jp-Notebook-ExecutionIndicator')"
        "?.dataset.status === 'idle'"
    )
    page.wait_for_selector("text=| Idle")  # else a cell is not run, it is asked why
    return errors


def run_cell(page: Any, number: int, until: str = "") -> Any:
    """Run one cell with Shift+Enter, until its output shows *until* (a selector); give it."""
    cell = page.locator(f"{PANEL} .jp-CodeCell").nth(number)
    prompt = cell.locator(".jp-InputPrompt")
    before = prompt.inner_text()
    for _ in range(6):  # a Lab that is still coming up swallows a key now and then
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        for _ in range(100):
            page.wait_for_timeout(50)
            if prompt.inner_text() != before:
                break
        else:
            continue
        break
    if until:
        cell.locator(until).first.wait_for()
    return cell
