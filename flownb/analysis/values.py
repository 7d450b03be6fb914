"""Are the options of nodes and loops possible values?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, get_args

from flownb.analysis.paths import Flow, reach
from flownb.analysis.problems import Problem, error, warning
from flownb.model.edges import did_you_mean
from flownb.model.policies import Limit, Retry, WhenFull, retries

if TYPE_CHECKING:
    from flownb.analysis.problems import Subject
    from flownb.model.nodes import Node
    from flownb.model.workflow import Workflow

# option: (least value, whether it may be that value, what it counts)
_NUMBERS: Final[dict[str, tuple[float, bool, str]]] = {
    "every": (0, False, "seconds"),
    "takes": (0, True, "seconds"),
    "timeout": (0, False, "seconds"),
    "keep": (0, True, "outputs"),
    "maxlen": (1, True, "messages"),
    "prefetch": (1, True, "messages"),
    "visibility_timeout": (0, False, "seconds"),
    "max_deliveries": (1, True, "deliveries"),
}
_NODE: Final = ("every", "takes", "timeout", "keep")
_READER: Final = ("prefetch", "timeout", "visibility_timeout", "max_deliveries")
_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "mode": ("competing", "broadcast"),
    "when_full": get_args(WhenFull),
    "ack": ("done", "awaited", "received"),
}


def node_values(subject: Subject) -> Iterator[Problem]:
    """Find numbers, words and policies that no node can work with."""
    for node in subject.workflow.nodes.values():
        for text in _wrong(node):
            yield error(f"node {node.name!r}: {text}", (node.name,))


def _wrong(node: Node) -> Iterator[str]:
    if not callable(node.takes):
        yield from _number(node, "takes")
    for option in _NODE:
        if option != "takes":
            yield from _number(node, option)
    if node.retry and not all(isinstance(retry, Retry) for retry in retries(node.retry)):
        yield f"retry={node.retry!r}: write Retry(on=..., attempts=...), or several"
    limit: object = node.limit
    if limit is not None and not isinstance(limit, Limit):
        yield f"limit={limit!r}: write Limit(concurrency=...)"
    if node.queue is not None:
        yield from _number(node.queue, "maxlen")
        yield from _word(node.queue, "mode")
        yield from _word(node.queue, "when_full")
    if node.reader is not None:
        yield from _word(node.reader, "ack")
        for option in _READER:
            yield from _number(node.reader, option)


def _number(holder: object, option: str) -> Iterator[str]:
    value = getattr(holder, option)
    if value is None:
        return
    least, included, unit = _NUMBERS[option]
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not real or math.isnan(value) or value < least or (value == least and not included):
        bound = f"at least {least}" if included else f"above {least}"
        yield f"{option}={value!r} must be {bound} {unit}"


def _word(holder: object, option: str) -> Iterator[str]:
    value, allowed = getattr(holder, option), _WORDS[option]
    if value not in allowed:
        yield f"{option}={value!r}: choose one of {', '.join(allowed)}"


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
        if not isinstance(options.get("resources", {}), Mapping):
            given: Any = options["resources"]
            yield error(
                f"loop {name!r}: resources={given!r}: give a dict, a name for each resource",
                (name,),
            )


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
