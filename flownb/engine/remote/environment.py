"""What of the notebook's environment does another process have? Its builtins, not its edits.

`display` shows there what a print would: the text goes to the node's log. `input` finds
nobody who answers.

In the kernel `%autoreload` or `importlib.reload` takes an edited module up. A process
that runs a loop takes up what a cell defines, with `apply()`, but no module a second time:
`Imports` names the modules that were edited after a process had imported them.
"""

from __future__ import annotations

import builtins
import os
import sys
import time
from typing import Any

from flownb.tracebacks import is_own


class Shown:
    """What `display(..., display_id=True)` gives: each update is shown as well."""

    def display(self, thing: Any) -> None:
        """Show something."""
        display(thing)

    update = display


def display(*things: Any, display_id: Any = None, **_: Any) -> Shown | None:
    """Print the text form of each thing, as a front end without pictures shows it."""
    for thing in things:
        print(repr(thing))  # noqa: T201 - to the node's log
    return None if display_id is None else Shown()


def _ask(*_: Any) -> str:
    msg = "input() works in a cell only: nobody can answer a node in another process"
    raise EOFError(msg)


def prepare_builtins() -> None:
    """Give this process, which is nobody's but ours, what IPython gives to cells."""
    if not hasattr(builtins, "display"):
        builtins.display, builtins.input = display, _ask  # type: ignore[attr-defined]


class Imports:
    """The modules that a process may have imported, and since when."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self.note()

    def note(self) -> None:
        """Something travels to the process, and with it the names of modules."""
        now = time.time()
        for name in list(sys.modules):
            self._since.setdefault(name, now)

    def edited(self) -> list[str]:
        """Name your modules whose files were written since."""
        return [n for n, since in self._since.items() if _written(n) > since]


def _written(name: str) -> float:
    """Give the second in which the file of a module was written; 0 for one that is installed."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(file, str) or name == "__main__" or not is_own(name):  # `__main__` travels
        return 0.0
    try:
        return os.stat(file).st_mtime  # noqa: PTH116 - thousands of them
    except OSError:
        return 0.0
