"""How does an object of a lower layer show itself without knowing how to draw?

It asks `flownb.notebook.repr` by name, or `flownb.widgets.views` for what moves, when
it is shown and not before. This is the one dynamic import of the package, and the one
door that leads up.
"""

from __future__ import annotations

import importlib
from typing import Any


class Shown:
    """A mixin: what ends a cell shows itself as one line, as HTML and as a picture.

    Which text and which picture is registered in `flownb.notebook.repr`, by type.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return str(_painter().text(self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Give text and HTML; a front end shows the richest that it trusts."""
        bundle: dict[str, str] = _painter().mimebundle(self)
        return {
            kind: data
            for kind, data in bundle.items()
            if (not include or kind in include) and kind not in (exclude or ())
        }

    def _repr_html_(self) -> str | None:
        """Give the HTML alone, for front ends that ask for nothing else."""
        return self._repr_mimebundle_().get("text/html")

    def svg(self) -> str:
        """Give the picture as the text of an SVG file, for GitHub, papers and pages."""
        return str(_painter().svg(self))

    def plot(self) -> Any:
        """Draw the picture as a matplotlib `Figure`, which any cell shows as PNG.

        The type is not named here: nothing below `notebook` knows of matplotlib.
        """
        return _painter().plot(self)


class Tabled(Shown):
    """A mixin: what also is a table of lines, which `print()` prints."""

    __slots__ = ()

    def table(self) -> str:
        """Give the table that says what the picture shows, as lines of text."""
        return str(_painter().lines(self))

    def __str__(self) -> str:
        return self.table()


class Viewed(Shown):
    """A mixin: what runs, and can be watched while it does.

    A view is an anywidget: end a cell with it. It follows the run until that is over,
    and what it showed last stays in the notebook.
    """

    __slots__ = ()

    def view(self) -> Any:
        """Watch all of it: the graph, the figures, the timeline and the logs in one view."""
        return _views().open_view(self, "view")

    def dag(self) -> Any:
        """Watch the graph: what each node does, counts, rates, waits and queues."""
        return _views().open_view(self, "dag")

    def dashboard(self) -> Any:
        """Watch the figures of every loop and queue, and control them: pause, step, stop."""
        return _views().open_view(self, "dashboard")

    def live_timeline(self) -> Any:
        """Watch who works and who waits, as a Gantt chart that grows."""
        return _views().open_view(self, "timeline")

    def logs_view(self) -> Any:
        """Watch what nodes print, log and raise; filter it, search in it."""
        return _views().open_view(self, "logs")

    def snapshot(self) -> Any:
        """Freeze what `view()` shows now as words, pictures and tables; `.save(path)` keeps it."""
        return _views().snapshot(self)


def _painter() -> Any:
    return importlib.import_module("flownb.notebook.repr")


def _views() -> Any:
    return importlib.import_module("flownb.widgets.views")
