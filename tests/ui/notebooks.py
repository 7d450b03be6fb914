"""How do browser tests make a notebook, run it, and look at what it shows?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

OUTPUT = ".jp-NotebookPanel .jp-OutputArea-output"
INSIDE = ".jp-OutputArea-output"  # of one cell
PANEL = ".jp-NotebookPanel"


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
    page.wait_for_selector(f"{PANEL} .jp-CodeCell", timeout=60_000)
    page.wait_for_function(
        "() => document.querySelector('.jp-NotebookPanel .jp-Notebook-ExecutionIndicator')"
        "?.dataset.status === 'idle'",
        timeout=60_000,
    )
    page.wait_for_selector("text=| Idle", timeout=60_000)  # else a cell is not run, it is asked why
    return errors


def run_cell(page: Any, number: int, until: str = "") -> Any:
    """Run one cell with Shift+Enter, until its output shows *until* (a selector); give it."""
    cell = page.locator(f"{PANEL} .jp-CodeCell").nth(number)
    prompt = cell.locator(".jp-InputPrompt")
    before = prompt.inner_text()
    for _ in range(3):  # a Lab that is still coming up swallows a key now and then
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
        cell.locator(until).first.wait_for(timeout=30_000)
    return cell
