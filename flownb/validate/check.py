"""Which mistakes does a workflow have, and what may surprise? All of it at once.

Each check answers one question and stands with its kin: `structure` (edges, cycles,
producers, ifs, joins), `one_shot` (graphs that run once), `queues`, `options` (of loops and
of functions) and `picklable` (what goes to another process).
Together they are linear in nodes and edges and report in the same order every time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from flownb.errors import GraphError
from flownb.validate.one_shot import beginnings, endless, one_shot_options
from flownb.validate.options import cached, functions, loop_options, placeholders
from flownb.validate.picklable import picklable
from flownb.validate.problems import Level, Problem, Subject
from flownb.validate.queues import disagreements, locking_rings, loose_ends, models, queue_edges
from flownb.validate.structure import (
    awaited_with_their_arm,
    cycles,
    fed_producers,
    joins,
    nesting,
    unfed_nodes,
    unknown_ends,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flownb.model.workflow import Workflow

__all__ = ["Problem", "check", "validate"]

_CHECKS: Final[tuple[Callable[[Subject], Iterator[Problem]], ...]] = (
    unknown_ends,
    fed_producers,
    cycles,
    unfed_nodes,
    beginnings,
    endless,
    one_shot_options,
    verdicts,
    joins,
    nesting,
    functions,
    placeholders,
    cached,
    loop_options,
    queue_edges,
    disagreements,
    models,
    picklable,
    loose_ends,
    locking_rings,
    awaited_with_their_arm,
)
_LEVELS: Final = get_args(Level)


def validate(workflow: Workflow) -> tuple[Problem, ...]:
    """Find every problem: errors, then warnings, then hints, each in the order of the graph.

    >>> from flownb.model.workflow import Workflow
    >>> graph = Workflow("g").add_producer("days").add_node("check").add_edge("days", "chekc")
    >>> for problem in validate(graph):
    ...     print(problem)
    edge days -> chekc: there is no node 'chekc': did you mean "check"?
    node 'check': no producer leads here; link it with add_edge(), or remove_node()
    """
    subject = Subject.of(workflow)
    found = [problem for check_one in _CHECKS for problem in check_one(subject)]
    return tuple(sorted(found, key=lambda problem: _LEVELS.index(problem.level)))


def check(workflow: Workflow) -> tuple[Problem, ...]:
    """Raise one GraphError with every error; without errors give the rest."""
    problems = validate(workflow)
    errors = [str(p) for p in problems if p.level == "error"]
    if errors:
        raise GraphError(*errors)
    return problems
