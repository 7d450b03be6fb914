"""How does each kind of object show itself in a notebook?

Three questions, each answered by type: its line of `text`, its `picture`, and what
`details` stand folded under it. A new kind of object registers what it has; what it
does not register it does not show.

>>> from flownb.model.workflow import Workflow
>>> text(Workflow("weather").add_producer("days"))
"Workflow('weather': 1 node, 0 edges, 1 loop)"
"""

from __future__ import annotations

import base64
from functools import singledispatch, wraps
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.orchestrator.orchestrator import Orchestrator
from flownb.engine.simulation.simulate import Simulation, Sweep
from flownb.explain.capacity import Capacity
from flownb.explain.explanation import Explanation
from flownb.explain.question import Question
from flownb.explain.study import Comparison
from flownb.model.workflow import Workflow
from flownb.notebook.gantt import chart, kept_runs, stack
from flownb.notebook.graph import awaited
from flownb.notebook.graph.captions import Captions, edge_label
from flownb.notebook.graph.scene import draw, line_words, scene, unanswered
from flownb.notebook.live.status import simulation_tables, status_line, status_tables
from flownb.notebook.picture.svg import style
from flownb.notebook.picture.svg import svg as write_svg
from flownb.notebook.picture.table import STYLE, table
from flownb.notebook.picture.text import brief, is_real, rounded, seconds, xml
from flownb.notebook.reports import capacity, comparison, explanation, run
from flownb.records.metrics import Status
from flownb.records.timeline import Timeline, Timelines
from flownb.records.workflow_run import WorkflowRun
from flownb.stores.base import RunComparison, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from flownb.notebook.picture.shapes import Picture

_SOME = 50  # spans tell which clock it was
_LARGE: Final = 3_000  # nodes
_ROWS: Final = 1_000  # of a table of so many nodes
_PAGE_STYLE = (
    ".fnb .fnb-scroll{display:block!important;overflow-x:auto}"
    ".fnb .fnb-still{display:none}"
    ".fnb details{margin:2px 0;color:var(--fnb-fg)}"
    ".fnb summary{cursor:pointer;font-size:12px;color:var(--fnb-dim)}"
)


@singledispatch
def text(obj: Any) -> str:
    """Give the line that stands for an object: no address, no time, no path."""
    return f"{type(obj).__name__}()"


@singledispatch
def picture(obj: Any) -> Picture | None:  # noqa: ARG001 - for types that register none
    """Give the picture of an object, None if it has none."""
    return None


@singledispatch
def details(obj: Any) -> list[tuple[str, str]]:  # noqa: ARG001
    """Give what is folded under the picture: (summary, HTML) each."""
    return []


@singledispatch
def lines(obj: Any) -> str:
    """Give the table that says what the picture shows, as lines of text."""
    return text(obj)


def mimebundle(obj: Any) -> dict[str, str]:
    """Give all that a front end can choose from; "text/plain" is always there."""
    drawn, folded = None if _is_large(obj) else picture(obj), details(obj)
    bundle = {"text/plain": text(obj)}
    if drawn or folded:
        bundle["text/html"] = page(drawn, folded)
    return bundle


def _is_large(obj: Any) -> bool:
    """Whether its picture would be too much for a page; `svg()` and `plot()` draw it still."""
    return isinstance(obj, Workflow) and len(obj.nodes) > _LARGE


def page(drawn: Picture | None, folded: list[tuple[str, str]]) -> str:
    """Put a picture and the tables under it into one block of HTML."""
    looks = drawn.looks if drawn else None
    parts = [f"<style>{style(looks=looks)}{STYLE}{_PAGE_STYLE}</style>"]
    if drawn:
        parts.append(_both(drawn))
    for summary, html in folded:
        inside = f"<summary>{xml(summary)}</summary>{html}"
        opened = "" if drawn else " open"
        parts.append(f"<details{opened}>{inside}</details>" if summary else html)
    return f'<div class="fnb">{"".join(parts)}</div>'


def _both(drawn: Picture) -> str:
    """Write a picture twice: inline where styles count, as an image where they are stripped.

    A notebook that is not trusted, as in a fresh clone, loses `<style>` and `<svg>`: there
    the inline picture stays hidden and the image, on white, is what one sees.
    """
    data = base64.b64encode(write_svg(drawn, "still").encode()).decode()
    source = f"data:image/svg+xml;base64,{data}"
    image = f'<img class="fnb-still" alt="{xml(drawn.title)}" src="{source}"/>'
    inline = write_svg(drawn, "page")
    return f'{image}<div class="fnb-scroll" style="display:none">{inline}</div>'


def svg(obj: Any) -> str:
    """Give the picture of an object as the text of an SVG file."""
    return write_svg(_needed(obj))


def plot(obj: Any) -> Figure:
    """Draw the picture of an object as a matplotlib figure."""
    from flownb.notebook.picture.figure import figure

    return figure(_needed(obj))


def _needed(obj: Any) -> Picture:
    drawn = picture(obj)
    if drawn is None:
        msg = f"{text(obj)} has no picture"
        raise TypeError(msg)
    return drawn


def count(number: int, thing: str) -> str:
    """Count things in words.

    >>> count(1, "edge"), count(2, "edge")
    ('1 edge', '2 edges')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _fitly(show: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let what a real clock has measured be written with the digits that mean something."""

    @wraps(show)
    def shown(obj: Any) -> Any:
        with rounded(on=_is_measured(obj)):
            return show(obj)

    return shown


def _is_measured(obj: Timeline | Explanation | Capacity) -> bool:
    if isinstance(obj, Timeline):
        return is_real(span.end for span in obj.spans[:_SOME])
    nodes = (node for loop in obj.measured.values() for node in loop.nodes.values())
    return is_real(node.total for node in nodes)


@text.register(Workflow)
def _(obj: Workflow) -> str:
    nodes, edges = count(len(obj.nodes), "node"), count(len(obj.edges), "edge")
    loops = count(len(obj.producers), "loop")
    return f"{type(obj).__name__}({brief(obj.name)!r}: {nodes}, {edges}, {loops})"


@picture.register(Workflow)
def _(obj: Workflow) -> Picture:
    return draw(scene(obj))


@details.register(Workflow)
def _(obj: Workflow) -> list[tuple[str, str]]:
    if not obj.nodes:
        return []
    if _is_large(obj):
        rows = [[n.name, n.kind.replace("_", "-")] for n in list(obj.nodes.values())[:_ROWS]]
        said = f"{text(obj)}: too large for a picture here, the first {_ROWS:,} nodes"
        return [(said, table(["node", "kind"], rows))]
    facts = Captions(obj)
    nodes = [
        [n, facts.kind(n).replace("_", "-"), facts.word(n), facts.badge(n)] for n in facts.names
    ]
    edges = [
        [e.source, e.target, edge_label(e), line_words(style)]
        for e, style in zip(facts.edges, facts.style, strict=True)
    ]
    drawn = {(e.source, e.target) for e in obj.edges.values() if obj.is_queue_edge(e)}
    links = list(dict.fromkeys([*obj.queue_links(), *sorted(drawn)]))
    edges += [[a, b, "", line_words("queued")] for a, b in links]
    more = len(set(links) - drawn)  # nobody has drawn them: a queue's name joins its two ends
    parts = [count(len(nodes), "node"), count(len(obj.edges), "edge")]
    parts += [count(more, "link") + " through queues"] * bool(more)
    return [
        (
            f"{', '.join(parts)}: as tables",
            table(["node", "kind", "in short", "join"], nodes)
            + table(["from", "to", "when", "meaning"], edges),
        )
    ]


@text.register(Timeline)
@_fitly
def _(obj: Timeline) -> str:
    if not obj.spans:
        return f"{type(obj).__name__}(0 spans)"
    found = f"{count(len(obj), 'span')}, {count(len(obj.rows), 'node')}"
    return f"{type(obj).__name__}({found}, {seconds(obj.start)}..{seconds(obj.end)} s)"


@picture.register(Timeline)
@_fitly
def _(obj: Timeline) -> Picture:
    return chart.draw(obj)


@details.register(Timeline)
@_fitly
def _(obj: Timeline) -> list[tuple[str, str]]:
    return [(f"{count(len(obj), 'span')} as a table", chart.twin(obj))] if obj.spans else []


@lines.register(Timeline)
@_fitly
def _(obj: Timeline) -> str:
    return chart.twin_lines(obj)


@text.register(Timelines)
def _(obj: Timelines) -> str:
    return f"Timelines({', '.join(brief(name) for name in obj)})"


@picture.register(Timelines)
def _(obj: Timelines) -> Picture:
    return stack.draw(obj)


@details.register(Timelines)
def _(obj: Timelines) -> list[tuple[str, str]]:
    return [("the releases as a table", stack.twin(obj))] if obj else []


@lines.register(Timelines)
def _(obj: Timelines) -> str:
    return stack.twin_lines(obj)


@text.register(Explanation)
@_fitly
def _(obj: Explanation) -> str:
    return explanation.whole_text(obj)


@picture.register(Explanation)
@_fitly
def _(obj: Explanation) -> Picture | None:
    return awaited.draw(obj)


@details.register(Explanation)
@_fitly
def _(obj: Explanation) -> list[tuple[str, str]]:
    return explanation.tables(obj)


@text.register(Question)
def _(obj: Question) -> str:
    choices = ", ".join(f"{seconds:g}" for seconds in obj.choices)
    return f"Question({obj.seed}, level {obj.level}: {obj.ask} {choices} s)"


@picture.register(Question)
def _(obj: Question) -> Picture:
    return draw(unanswered(obj.graph))


@details.register(Question)
def _(obj: Question) -> list[tuple[str, str]]:
    choices = " · ".join(f"{seconds:g} s" for seconds in obj.choices)
    because = "".join(f"<li>{xml(sentence)}</li>" for sentence in obj.because)
    answer = f"<p><b>{obj.answer:g} s</b></p><ul>{because}</ul>"
    return [("", f"<p><b>{xml(obj.ask)}</b></p><p>{choices}</p>"), ("the answer", answer)]


@text.register(Comparison)
def _(obj: Comparison) -> str:
    return comparison.whole_text(obj)


@picture.register(Comparison)
def _(obj: Comparison) -> Picture:
    return comparison.draw(obj)


@details.register(Comparison)
def _(obj: Comparison) -> list[tuple[str, str]]:
    return comparison.tables(obj)


@text.register(Capacity)
@_fitly
def _(obj: Capacity) -> str:
    return capacity.whole_text(obj)


@details.register(Capacity)
@_fitly
def _(obj: Capacity) -> list[tuple[str, str]]:
    return capacity.tables(obj)


@text.register(Status)
def _(obj: Status) -> str:
    return status_line(obj, "Status")


@details.register(Status)
def _(obj: Status) -> list[tuple[str, str]]:
    return status_tables(obj)


@text.register(Orchestrator)
def _(obj: Orchestrator) -> str:
    return status_line(obj.status(), "Orchestrator")


@details.register(Orchestrator)
def _(obj: Orchestrator) -> list[tuple[str, str]]:
    return status_tables(obj.status())


@text.register(Simulation)
def _(obj: Simulation) -> str:
    items = sum(m.released for m in obj.metrics.values())
    failed = sum(m.failed for m in obj.metrics.values())
    bad = f", {failed} failed" if failed else ""
    ticks = sum(m.failed_ticks for m in obj.metrics.values())
    bad += f", {count(ticks, 'failed tick')}" if ticks else ""
    unread = sum(m.unread for m in obj.metrics.values())
    bad += f", {count(unread, 'unread message')}" if unread else ""
    about = f"{seconds(obj.duration)} s, {count(items, 'iteration')}{bad}, digest {obj.digest[:12]}"
    return f"Simulation({obj.name!r}: {about})"


@details.register(Simulation)
def _(obj: Simulation) -> list[tuple[str, str]]:
    return simulation_tables(obj)


@text.register(WorkflowRun)
def _(obj: WorkflowRun) -> str:
    return run.run_line(obj)


@picture.register(WorkflowRun)
def _(obj: WorkflowRun) -> Picture | None:
    return run.draw(obj)


@lines.register(WorkflowRun)
def _(obj: WorkflowRun) -> str:
    return "\n".join(map(str, obj.logs))


@details.register(WorkflowRun)
def _(obj: WorkflowRun) -> list[tuple[str, str]]:
    return run.run_tables(obj)


@text.register(Store)
def _(obj: Store) -> str:
    return repr(obj)


@details.register(Store)
def _(obj: Store) -> list[tuple[str, str]]:
    return kept_runs.listed(obj)


@text.register(RunComparison)
def _(obj: RunComparison) -> str:
    return kept_runs.line(obj)


@picture.register(RunComparison)
def _(obj: RunComparison) -> Picture:
    return kept_runs.draw(obj)


@details.register(RunComparison)
def _(obj: RunComparison) -> list[tuple[str, str]]:
    return kept_runs.tables(obj)


@lines.register(RunComparison)
def _(obj: RunComparison) -> str:
    return kept_runs.lines(obj)


@text.register(Sweep)
def _(obj: Sweep) -> str:
    if obj.holds:
        return f"Sweep({obj.graph!r}: holds for {count(obj.tried, 'seed')})"
    return f"Sweep({obj.graph!r}: broken at seed {obj.seed} of {obj.tried} tried: {obj.error})"
