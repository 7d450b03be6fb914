"""Which builtins of a notebook does a node find in another process? Those that it may use.

`display` shows there what a print would: the text goes to the node's log. `input` finds
nobody who answers.
"""

from __future__ import annotations

import builtins
from typing import Any


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


def furnish() -> None:
    """Give this process, which is nobody's but ours, what IPython gives to cells."""
    if not hasattr(builtins, "display"):
        builtins.display, builtins.input = display, _ask  # type: ignore[attr-defined]
