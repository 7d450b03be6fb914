"""Which way does a payload go from here? Ifs and edge conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from flownb.arguments import at_once
from flownb.errors import FAILS, beside, did_you_mean
from flownb.jsonable import short_repr
from flownb.model.edges import AnyOf, chosen, says
from flownb.model.policies import OTHERWISE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flownb.plan.loop_plan import PlanEdge, PlanNode


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
        verdict, passed = output.verdict, output.payload
        return passed, [e for e in plan.outs if _is_live(plan, e, verdict, passed)]
    if plan.node.router is not None:
        return payload, _routed(plan, payload, output)
    is_if = plan.node.kind == "if"
    passed = payload if is_if else output
    verdict = _truth(plan, output) if plan.bool_verdict else output
    live = _live(plan, verdict, passed)
    if not live and plan.outs and not (is_if and plan.bool_verdict):
        said = short_repr(verdict, 200)
        msg = (
            f"no edge for the verdict {said} (there are: {_known(plan)}): add one, or "
            "when=OTHERWISE"
        )
        raise LookupError(msg)
    return passed, live


def _live(plan: PlanNode, verdict: Any, payload: Any) -> list[PlanEdge]:
    return chosen(plan.outs, lambda e: _is_live(plan, e, verdict, payload))


def _routed(plan: PlanNode, payload: Any, answer: Any) -> list[PlanEdge]:
    """Choose the edges of a router: it gives one answer, or a list of them."""
    answers = answer if isinstance(answer, (list, tuple)) else [answer]
    if isinstance(answer, tuple) and any(_says(plan, answer, e.when) for e in plan.outs):
        answers = [answer]  # a label may be a tuple
    chosen: dict[int, PlanEdge] = {}
    for one in answers:
        live = _live(plan, one, payload)
        if not live and plan.outs:
            raise LookupError(_unknown_answer(plan, one))
        chosen |= {e.target: e for e in live}
    return [e for e in plan.outs if e.target in chosen]


def _unknown_answer(plan: PlanNode, answer: Any) -> str:
    where = f"the router behind {plan.node.router!r}"
    if type(answer).__name__ == "Send":
        return (
            f"{where} gave a Send, which flownb does not know: to call a node once for each "
            "element of a list, give its names here and say add_node(..., over=...) there"
        )
    words = [str(w) for e in plan.outs for w in _labels(e) if isinstance(w, str)]
    near = did_you_mean(answer, words) if isinstance(answer, str) else ""
    near = near if near.startswith(":") else ""
    return (
        f"{where} gave {short_repr(answer, 200)}, and add_conditional_edges() names no way for it "
        f"(there are: {_known(plan)}){near}"
    )


def _labels(edge: PlanEdge) -> tuple[Any, ...]:
    return edge.when if type(edge.when) is AnyOf else (edge.when,)


def _known(plan: PlanNode) -> str:
    return ", ".join(
        repr(label) if e.condition is None else "a condition"
        for e in plan.outs
        for label in _labels(e)
    )


def straight(plan: PlanNode, nodes: Sequence[PlanNode]) -> bool:
    """Whether what a node gives goes on as it is, along all its edges, to nodes outside cycles."""
    if plan.branches or plan.handler >= 0 or plan.cycle >= 0:
        return False
    return not any(e.copy or _is_special(nodes[e.target]) for e in plan.outs)


def _is_special(target: PlanNode) -> bool:
    return target.cycle >= 0 or target.multi or target.node.over is not None


def _truth(plan: PlanNode, output: Any) -> bool:
    try:
        return bool(output)
    except FAILS as fault:
        raise beside(f"node {plan.name!r}: bool() of its verdict", fault) from fault


def _is_live(plan: PlanNode, edge: PlanEdge, verdict: Any, payload: Any) -> bool:
    if edge.when is OTHERWISE:
        return False
    try:
        if edge.condition is not None and not at_once(edge.condition(payload)):
            return False
    except FAILS as fault:
        raise beside(f"node {plan.name!r}: the condition of an edge behind it", fault) from fault
    return edge.when is None or _says(plan, verdict, edge.when)


def _says(plan: PlanNode, verdict: Any, when: Any) -> bool:
    try:
        return says(verdict, when)
    except FAILS as fault:
        raise beside(f"node {plan.name!r}: comparing its verdict with when=", fault) from fault
