"""What does a run look like at this moment, for good? Words, pictures and tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_PAGE: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>flownb</title></head>'
    "<body>{}</body></html>"
)


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot:
    """What a view showed at one moment; it needs no kernel and no network.

    `text` says it in one line, `html` shows it. End a cell with it, or `save()` it.
    """

    text: str
    html: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Give text and HTML; neither has a script in it."""
        bundle = {"text/plain": self.text, "text/html": self.html}
        return {
            kind: data
            for kind, data in bundle.items()
            if (not include or kind in include) and kind not in (exclude or ())
        }

    def save(self, path: str | Path) -> Path:
        """Write it as a page of its own, in UTF-8; give the path."""
        Path(path).write_text(_PAGE.format(self.html), encoding="utf-8")
        return Path(path)
