"""What can the ifs of a loop say, and where does an item go then?

A node that decides has *options*: each is something it may say, and the edges that are
live when it does. A *choice* fixes options of some nodes; where it says nothing all
edges count as live, so the choice that fixes nothing is an upper bound of all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import GraphError, did_you_mean
from flownb.model.edges import chosen, says
from flownb.model.policies import OTHERWISE

if TYPE_CHECKING:
    from flownb.plan.loop_plan import LoopPlan, PlanEdge, PlanNode

MOST: Final = 64  # choices that are tried one by one; beyond them a bound is given
_CONDITIONS: Final = 3

Verdicts = Mapping[Any, Any]  # if: its verdict; (source, target): whether its condition holds
Choice = dict[int, "Option"]  # node number: what it says


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that a node may say; `targets` are the numbers of the live nodes behind it."""

    node: str
    verdict: Any
    says: str
    targets: frozenset[int]


def options(plan: LoopPlan, verdicts: Verdicts | None = None) -> dict[int, tuple[Option, ...]]:
    """Give what each deciding node may say, as far as *verdicts* leave it open.

    A node that could say one thing only is left out, if nobody made it say that.
    """
    found = {}
    for node in plan.nodes:
        if node.branches:
            each = tuple(_of_node(plan, node, verdicts or {}))
            if len(each) > 1 or (each and verdicts):
                found[node.index] = each
    return found


def _of_node(plan: LoopPlan, node: PlanNode, given: Verdicts) -> Iterator[Option]:
    names = {_key(e): (node.name, plan.nodes[e.target].name) for e in node.outs}
    asked = [e for e in node.outs if e.condition is not None]
    holding = [_holding(given, names[_key(e)]) for e in asked]
    if sum(len(h) > 1 for h in holding) > _CONDITIONS:
        return
    said = given.get(node.name)
    for verdict in _verdicts(node) if said is None else [_meant(node, said)]:
        for holds in product(*holding):
            truth = dict(zip(map(_key, asked), holds, strict=True))
            live = _live(node, verdict, truth)
            if live or (node.node.kind == "if" and node.bool_verdict):
                says = _says(plan, node, verdict, truth)
                targets = frozenset(e.target for e in live)
                yield Option(node.name, verdict, says, targets)


def _holding(given: Verdicts, edge: tuple[str, str]) -> tuple[bool, ...]:
    return (bool(given[edge]),) if edge in given else (True, False)


def _meant(node: PlanNode, said: Any) -> Any:
    """Give the verdict that the node is made to say; one without an edge is refused."""
    if node.bool_verdict:
        return bool(said)
    known = _verdicts(node)
    for label in known:
        if label is not OTHERWISE and says(said, label):
            return label
    if OTHERWISE in known:
        return OTHERWISE
    words = ", ".join(map(verdict_word, known))
    msg = f"node {node.name!r} has no edge for the verdict {said!r} (there are: {words})"
    raise GraphError(msg)


def _verdicts(node: PlanNode) -> list[Any]:
    """Collect the verdicts that differ; OTHERWISE stands for one that no edge names."""
    whens = [e.when for e in node.outs if e.when is not None]
    if not whens:
        return [None]  # nothing to say, or conditions only
    if node.bool_verdict:
        return [True, False]
    labels: list[Any] = []
    for when in whens:
        if when is not OTHERWISE and when not in labels:
            labels.append(when)
    return [*labels, *([OTHERWISE] if any(w is OTHERWISE for w in whens) else [])]


def _key(edge: PlanEdge) -> tuple[int, int]:
    return edge.source, edge.target


def _live(node: PlanNode, verdict: Any, truth: Mapping[tuple[int, int], bool]) -> list[PlanEdge]:
    """Choose edges as the engine does: by verdict and condition, else OTHERWISE."""

    def fits(edge: PlanEdge) -> bool:
        if not truth.get(_key(edge), True):
            return False
        return edge.when is None or (verdict is not OTHERWISE and says(verdict, edge.when))

    return chosen(node.outs, fits)


def _says(
    plan: LoopPlan, node: PlanNode, verdict: Any, truth: Mapping[tuple[int, int], bool]
) -> str:
    words = [] if verdict is None else [verdict_word(verdict)]
    for (_, target), holds in truth.items():
        words.append(f"{'on' if holds else 'not on'} to {plan.nodes[target].name}")
    return ", ".join(words) or f"what {node.name} gives"


def verdict_word(verdict: Any) -> str:
    """Say a verdict as the picture does.

    >>> [verdict_word(v) for v in (True, False, "high", OTHERWISE)]
    ['yes', 'no', "'high'", 'otherwise']
    """
    if isinstance(verdict, bool):
        return "yes" if verdict else "no"
    return "otherwise" if verdict is OTHERWISE else repr(verdict)


def choices(
    open_options: Mapping[int, Sequence[Option]], most: int = MOST
) -> tuple[list[Choice], bool]:
    """Give every choice there is, and whether these are all of them.

    When there are more than *most* the answer is one that fixes only what is not open.
    """
    count = prod(map(len, open_options.values()))
    if count > most:
        return [{i: each[0] for i, each in open_options.items() if len(each) == 1}], False
    picked = product(*open_options.values())
    return [dict(zip(open_options, each, strict=True)) for each in picked], True


def check_verdicts(plans: Sequence[LoopPlan], verdicts: Verdicts) -> None:
    """Refuse a verdict of a node, or a condition of an edge, that decides nothing."""
    deciding = [(plan, n) for plan in plans for n in plan.nodes if n.branches]
    known: list[Any] = [n.name for _, n in deciding]
    for plan, n in deciding:
        known += [(n.name, plan.nodes[e.target].name) for e in n.outs if e.condition is not None]
    for given in verdicts:
        if given not in known:
            near = did_you_mean(str(given), [str(k) for k in known])
            msg = f"verdicts: {given!r} decides nothing in this graph{near}"
            raise GraphError(msg)
