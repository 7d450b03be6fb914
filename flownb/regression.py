"""How does a notebook become a regression test? Marks say what nbval compares.

nbval runs each cell and compares what it shows with what was saved. What is live cannot be
compared: what a running graph says of itself, and what a clock says. A cell that shows such
a thing is marked to run only; one that was saved with an error has to raise.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flownb.errors import FlowError

if TYPE_CHECKING:
    from collections.abc import Iterator

IGNORE, RAISES = "NBVAL_IGNORE_OUTPUT", "NBVAL_RAISES_EXCEPTION"
# Of a running graph these are the same each time, once they have been waited for.
_SAME: Final = frozenset({"outputs", "state", "done"})
_CLOCKS: Final = frozenset(
    {"time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns"}
    | {"now", "utcnow", "today", "uuid4", "urandom"}
)
_MAGIC: Final = re.compile(r"\s*(%%?|!)")
_TIMED: Final = re.compile(r"\s*%%?(time|timeit|prun)\b")
_MARKED: Final = re.compile(r"#\s*(NBVAL_\w+|PYTEST_VALIDATE_\w+)")
_TAGS: Final = re.compile(r"nbval-.*|raises-exception")


class Mark(NamedTuple):
    """What a code cell (`cell` counts them from 0, as nbval does) is marked with, and `why`."""

    cell: int
    word: str
    why: str


def marked(notebook: dict[str, Any]) -> tuple[dict[str, Any], list[Mark]]:
    """Give a copy of a notebook in nbformat's JSON, with marks, and which these are.

    A mark is the first line of its cell; of one that begins with a cell magic it is a tag. Cells
    that have one keep it. FlowError if the notebook was not run from top to bottom.

    >>> def cell(text, count):
    ...     about = {"cell_type": "code", "execution_count": count, "metadata": {}}
    ...     return {**about, "source": text, "outputs": []}
    >>> cells = [cell("orch = graph.start()", 1), cell("orch.status()", 2)]
    >>> made, marks = marked({"cells": [*cells, cell("orch.outputs('n')", 3)]})
    >>> marks
    [Mark(cell=1, word='NBVAL_IGNORE_OUTPUT', why='shows orch, which is live')]
    >>> print(made["cells"][1]["source"])
    # NBVAL_IGNORE_OUTPUT
    orch.status()
    """
    cells, marks, live = [], list[Mark](), _Live()
    code = [c for c in notebook.get("cells", ()) if c["cell_type"] == "code" and _text(c).strip()]
    if [cell["execution_count"] for cell in code] != list(range(1, len(code) + 1)) or not code:
        msg = "its cells were not run once each, in order: restart, run all, save"
        raise FlowError(msg)
    number = -1  # nbval counts empty cells, too
    for cell in notebook["cells"]:
        made = cell
        if cell["cell_type"] == "code":
            number += 1
            why = live.shown(_text(cell)) or _view(cell)
            failed = next((o for o in cell["outputs"] if o["output_type"] == "error"), None)
            word, why = (RAISES, f"raised {failed['ename']}") if failed else (IGNORE, why)
            if why and not _is_marked(cell):
                marks.append(Mark(number, word, why))
                made = _with_mark(cell, word)
        cells.append(made)
    return {**notebook, "cells": cells}, marks


def _view(cell: dict[str, Any]) -> str:
    """Say that a widget of ours was saved, whose still has a number that is new each time."""
    return "shows a live view" if "data-flownb=" in str(cell["outputs"]) else ""


def _text(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _is_marked(cell: dict[str, Any]) -> bool:
    tags = cell["metadata"].get("tags", ())
    return bool(_MARKED.search(_text(cell))) or any(map(_TAGS.fullmatch, tags))


def _with_mark(cell: dict[str, Any], word: str) -> dict[str, Any]:
    text = _text(cell)
    if text.lstrip().startswith("%%"):
        tags = [*cell["metadata"].get("tags", ()), word.lower().replace("_", "-")]
        return {**cell, "metadata": {**cell["metadata"], "tags": tags}}
    return {**cell, "source": f"# {word}\n{text}"}


class _Live:
    """Follows, cell by cell, which names hold something live."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def shown(self, text: str) -> str:
        """Say what live thing a cell shows; "" if it shows none."""
        lines = text.splitlines()
        if any(map(_TIMED.match, lines)):
            return "shows how long it took"
        plain = "\n".join("pass" if _MAGIC.match(line) else line for line in lines)
        try:
            body = ast.parse(plain).body
        except SyntaxError:  # another language
            return ""
        if body and isinstance(body[-1], ast.Expr) and plain.rstrip().endswith(";"):
            return 'ends with ";", which hides nothing from nbval'
        for statement in _statements(body):
            self._bind(statement)
        found = (self._of(expression) for expression in _shown(body))
        return next((f"shows {what}" for what in found if what), "")

    def _bind(self, statement: ast.stmt) -> None:
        """Note what gets a name."""
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(statement, ast.Assign):
            pairs = [(target, statement.value) for target in statement.targets]
        elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)) and statement.value:
            pairs = [(statement.target, statement.value)]
        elif isinstance(statement, (ast.With, ast.AsyncWith)):
            pairs = [(i.optional_vars, i.context_expr) for i in statement.items if i.optional_vars]
        for target, value in pairs:
            names = {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}
            if self._of(value) or _starts(value):
                self._names |= names
            elif not isinstance(statement, ast.AugAssign):
                self._names -= names

    def _of(self, expression: ast.AST) -> str:
        """Say what is live in an expression."""
        if isinstance(expression, (ast.Attribute, ast.Call, ast.Subscript)):
            words, root = _chain(expression)
            if isinstance(root, ast.Name) and root.id in self._names and words & _SAME:
                return ""
            if isinstance(expression, ast.Call) and _called(expression) in _CLOCKS:
                return "what a clock says"
            if _starts(expression):
                return "a graph that has just started"
        if isinstance(expression, ast.Name) and expression.id in self._names:
            return f"{expression.id}, which is live"
        found = map(self._of, ast.iter_child_nodes(expression))
        return next((what for what in found if what), "")


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Give all statements that the cell itself carries out, in order."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        yield statement
        for part in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(statement, part, []))


def _shown(body: list[ast.stmt]) -> Iterator[ast.expr]:
    """Give what the cell shows: the last expression, and what is printed."""
    if body and isinstance(body[-1], ast.Expr):
        yield body[-1].value
    for statement in _statements(body):
        if isinstance(statement, ast.Expr):
            calls = (n for n in ast.walk(statement) if isinstance(n, ast.Call))
            for call in calls:
                if _called(call) in {"print", "display"}:
                    yield from call.args


def _called(call: ast.Call) -> str:
    fn = call.func
    return fn.attr if isinstance(fn, ast.Attribute) else getattr(fn, "id", "")


def _starts(value: ast.AST) -> bool:
    """Whether that is `graph.start(...)`, awaited or not."""
    value = value.value if isinstance(value, ast.Await) else value
    started = isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)
    return started and _called(value) in {"start", "serve"}  # type: ignore[arg-type]


def _chain(expression: ast.AST) -> tuple[set[str], ast.AST]:
    """Give the attributes of `orch.status()["p"].state`, and what they are of."""
    words = set()
    while isinstance(expression, (ast.Attribute, ast.Call, ast.Subscript)):
        if isinstance(expression, ast.Attribute):
            words.add(expression.attr)
        expression = expression.func if isinstance(expression, ast.Call) else expression.value
    return words, expression
