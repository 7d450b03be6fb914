"""What does a click on a node show? Its figures, its last error, its last outputs, its log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flownb.errors import FlowError, told
from flownb.notebook.facts import Facts
from flownb.notebook.words import brief, clean

if TYPE_CHECKING:
    from flownb.engine.orchestrator import Orchestrator
    from flownb.errors import Failure
    from flownb.model.records import NodeMetrics

_OUTPUTS: Final = 5
_LINES: Final = 20
_ROOM: Final = 300  # letters of an output or a line
_TRACE: Final = 4_000  # the last letters of a traceback


def detail(orch: Orchestrator, node: str) -> dict[str, Any]:
    """Give all that is known of a node, as JSON."""
    known = {loop: m.nodes[node] for loop, m in orch.metrics().items() if node in m.nodes}
    return {
        "name": brief(node),
        "about": clean(Facts(orch.workflow).tip(node), 500),
        "figures": [[brief(loop), *_figures(m)] for loop, m in known.items()],
        "error": _error(orch, node),
        "outputs": _outputs(orch, node),
        "lines": [brief(str(line), _ROOM) for line in orch.logs(node=node, last=_LINES)],
    }


def _figures(m: NodeMetrics) -> list[Any]:
    """Give state, calls, failed, retries, timeouts, mean, p50, p99, longest."""
    times = (_tidy(x) for x in (m.mean, m.p50, m.p99, m.longest))
    return [m.state, m.calls, m.failed, m.retries, m.timeouts, *times]


def _tidy(seconds: float) -> float:
    return float(f"{seconds:.3g}")


def _error(orch: Orchestrator, node: str) -> dict[str, Any] | None:
    mine = [f for f in orch.failures() if node in {f.node, *(name for name, _ in f.errors)}]
    if not mine:
        return None
    last: Failure = mine[-1]
    errors = dict(last.errors)
    error = errors.get(node, last.error)
    return {
        "text": brief(told(error), _ROOM),
        "where": f"iteration {last.iteration} of {brief(last.loop)}, attempt {last.attempts}",
        "traceback": _lines(last.traceback),
    }


def _lines(text: str) -> list[str]:
    return [clean(line, _ROOM) for line in text[-_TRACE:].splitlines()]


def _outputs(orch: Orchestrator, node: str) -> list[str]:
    try:
        kept = orch.outputs(node, last=_OUTPUTS)
    except FlowError:  # no output of it is kept
        return []
    return [_said(value) for value in reversed(kept)]


def _said(value: Any) -> str:
    try:
        return brief(repr(value), _ROOM)
    except Exception as error:  # noqa: BLE001 - the repr is the user's code
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
