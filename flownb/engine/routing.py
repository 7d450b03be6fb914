"""Which way does a payload go from here? Ifs and edge conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from flownb.model.policies import OTHERWISE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flownb.analysis.plan import PlanEdge, PlanNode


class Popped(NamedTuple):
    """What a queue reader in the middle of a loop gives: an if with a side effect.

    A message: verdict True and its payload; none in time: False and the payload that came in.
    """

    verdict: bool
    payload: Any


def route(plan: PlanNode, payload: Any, output: Any) -> tuple[Any, Collection[PlanEdge]]:
    """Decide what goes on, along which edges, behind a node that got *payload*.

    An if passes its payload on unchanged, and its *output* is the verdict. Raises
    LookupError when no edge fits; an if whose edges are all True or False ends there.
    """
    if isinstance(output, Popped):
        return output.payload, [e for e in plan.outs if _is_live(e, output.verdict, output.payload)]
    is_if = plan.node.kind == "if"
    passed = payload if is_if else output
    verdict = bool(output) if plan.bool_verdict else output
    live = [e for e in plan.outs if _is_live(e, verdict, passed)]
    if not any(e.when is not None or e.condition is not None for e in live):
        live += [e for e in plan.outs if e.when is OTHERWISE]
    if not live and plan.outs and not (is_if and plan.bool_verdict):
        known = ", ".join(repr(e.when) if e.condition is None else "a condition" for e in plan.outs)
        msg = (
            f"no edge for the verdict {verdict!r} (there are: {known}): add one, or when=OTHERWISE"
        )
        raise LookupError(msg)
    return passed, live


def straight(plan: PlanNode, nodes: Sequence[PlanNode]) -> bool:
    """Whether what a node gives goes on as it is, along all its edges, to nodes outside cycles."""
    if plan.branches or plan.handler >= 0 or plan.knot >= 0:
        return False
    return not any(e.copy or _is_special(nodes[e.target]) for e in plan.outs)


def _is_special(target: PlanNode) -> bool:
    return target.knot >= 0 or target.multi or target.node.over is not None


def _is_live(edge: PlanEdge, verdict: Any, payload: Any) -> bool:
    if edge.when is OTHERWISE or (edge.condition is not None and not edge.condition(payload)):
        return False
    return edge.when is None or bool(verdict == edge.when)
