"""How is a table shown, as HTML and as plain text?

Numbers stand right, words left; what is long is cut in the middle of nothing: the
cell wraps. The plain text says the same as the HTML, for screen readers and nbval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flownb.notebook.picture.text import clean, seconds, xml

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LIMIT: Final = 200  # characters of a cell
STYLE: Final = (
    # Two classes each: JupyterLab's own rules for tables have one, and stripes.
    ".fnb .fnb-table{border-collapse:collapse;margin:4px 0 10px;font-size:13px}"
    ".fnb .fnb-table tr{background:none}"
    ".fnb .fnb-table th,.fnb .fnb-table td{text-align:left;padding:3px 12px 3px 4px;"
    "color:var(--fnb-fg);background:none;max-width:40em;overflow-wrap:break-word;vertical-align:top}"
    ".fnb .fnb-table th{font-weight:600;white-space:nowrap;border-bottom:1px solid var(--fnb-dim)}"
    ".fnb .fnb-table tr+tr td{border-top:1px solid var(--fnb-frame)}"
    ".fnb .fnb-table th.fnb-number,.fnb .fnb-table td.fnb-number"
    "{text-align:right;font-variant-numeric:tabular-nums}"
)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, limit: int = _LIMIT) -> str:
    """Write rows as an HTML table; a cell has at most *limit* characters.

    >>> table(["node", "calls"], [["check", 3]])  # doctest: +ELLIPSIS
    '<table class="fnb-table">...<td>check</td><td class="fnb-number">3</td></tr></tbody></table>'
    """
    cells = [list(row) for row in rows]
    right = _numeric(columns, cells)
    kind = [' class="fnb-number"' if r else "" for r in right]
    head = "".join(f'<th scope="col"{k}>{xml(c)}</th>' for c, k in zip(columns, kind, strict=True))
    body = "".join(f"<tr>{_cells(row, kind, limit)}</tr>" for row in cells)
    return f'<table class="fnb-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cells(row: Sequence[Any], kind: Sequence[str], limit: int) -> str:
    return "".join(f"<td{k}>{xml(cell(v, limit))}</td>" for v, k in zip(row, kind, strict=True))


def text_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write the same rows as lines of text.

    >>> print(text_table(["node", "calls"], [["check", 3], ["b", 12.5]]))
    node   calls
    check      3
    b       12.5
    """
    cells = [list(row) for row in rows]
    right = _numeric(columns, cells)
    lines = [[clean(c) for c in columns], *([clean(cell(v)) for v in row] for row in cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(w) if r else text.ljust(w)
            for text, w, r in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def cell(value: Any, limit: int = _LIMIT) -> str:
    """Write one value: nothing for None, numbers as seconds are, with six digits at most.

    >>> [cell(v) for v in (None, 0.1 + 0.2, 12, True, "x")]
    ['', '0.3', '12', 'yes', 'x']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = seconds(value) if isinstance(value, float) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _numeric(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[bool]:
    return [
        any(row[i] is not None for row in rows)
        and all(row[i] is None or _is_number(row[i]) for row in rows)
        for i in range(len(columns))
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
