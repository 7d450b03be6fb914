"""Do the options of the loops fit the graph?

Each value by itself is checked where it is given (`flownb/arguments.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flownb.analysis.paths import Flow, reach
from flownb.analysis.problems import Problem, error, warning
from flownb.errors import did_you_mean

if TYPE_CHECKING:
    from flownb.analysis.problems import Subject
    from flownb.model.workflow import Workflow


def loop_options(subject: Subject) -> Iterator[Problem]:
    """Find options that are set for what is no loop, or that do nothing there."""
    workflow, producers = subject.workflow, subject.producers
    for name, options in workflow.options.items():
        if name not in producers:
            what = "is no producer" if name in workflow.nodes else "is not in the graph"
            near = did_you_mean(name, producers)
            yield error(
                f"set_loop({name!r}): a loop is named after its producer,"
                f" and {name!r} {what}{near}",
                (name,),
            )
            continue
        if "persistence_interval" in options and options.get("checkpoint") is None:
            yield warning(
                f"loop {name!r}: persistence_interval= does nothing without checkpoint=", (name,)
            )
        if options.get("transactional") and workflow.nodes[name].reader is None:
            yield warning(
                f"loop {name!r}: transactional=True does nothing, no queue drives this loop;"
                " leave it out",
                (name,),
            )
        elif options.get("transactional"):
            yield from _transaction(name, workflow)


def _transaction(loop: str, workflow: Workflow) -> Iterator[Problem]:
    """Find what cannot be done together with an ack when an item has settled."""
    reader = workflow.nodes[loop].reader
    if reader is not None and reader.ack != "done":
        yield error(
            f"loop {loop!r}: transactional=True pushes together with the ack, so the reader"
            f" needs ack='done', not {reader.ack!r}",
            (loop,),
        )
    flow = Flow.of(workflow)
    mine = reach(flow.succ, [flow.index[loop]])
    for node in workflow.nodes.values():
        queue = node.queue
        if queue is None or queue.maxlen is None or not mine[flow.index[node.name]]:
            continue
        if queue.when_full in {"error", "drop_oldest"}:
            yield error(
                f"node {node.name!r} (loop {loop!r}, transactional=True) pushes when its item has"
                f" settled, too late for when_full={queue.when_full!r}: use 'block' or"
                " 'drop_newest'",
                (node.name,),
            )
