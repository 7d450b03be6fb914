"""How often did each if say what? Read off the calls that a run has counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flownb.analysis.study import Study
    from flownb.analysis.verdicts import Option
    from flownb.model.records import LoopMetrics


def measured_shares(study: Study, metrics: LoopMetrics | None) -> dict[str, dict[Any, float]]:
    """Give for each deciding node the share of each verdict, where the counts tell it.

    A verdict is told by a node that only it leads to; one that has none is the rest.
    """
    found = {}
    for number, each in study.open.items():
        name = study.plan.nodes[number].name
        asked = metrics.nodes.get(name) if metrics else None
        if metrics is not None and asked is not None and asked.calls:
            shares = {o.verdict: _calls(study, metrics, o, each) for o in each}
            told = {v: c / asked.calls for v, c in shares.items() if c is not None}
            if len(told) >= len(each) - 1 and len(shares) == len(each):
                rest = max(0.0, 1 - sum(told.values()))
                found[name] = {v: told.get(v, rest) for v in shares}
    return found


def _calls(
    study: Study, metrics: LoopMetrics, option: Option, others: tuple[Option, ...]
) -> int | None:
    for target in sorted(option.targets):
        node = study.plan.nodes[target]
        only = all(target not in o.targets for o in others if o != option)
        if only and len(node.sources) == 1 and node.name in metrics.nodes:
            return metrics.nodes[node.name].calls
    return None
