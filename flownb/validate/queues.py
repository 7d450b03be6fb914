"""Has every queue a writer and a reader that agree, and can full queues deadlock loops?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import told
from flownb.jsonable import adapter_of
from flownb.validate.problems import Problem, error, listed, warning
from flownb.validate.structure import rings

if TYPE_CHECKING:
    from flownb.model.edges import Edge
    from flownb.model.nodes import Node
    from flownb.validate.problems import Subject

_AGREED: Final = ("mode", "maxlen", "model")


def queues(subject: Subject) -> dict[str, tuple[list[Node], list[Node]]]:
    """Give the writers and readers of each queue, in graph order."""
    found: dict[str, tuple[list[Node], list[Node]]] = {}
    for node in subject.workflow.nodes.values():
        if node.queue:
            found.setdefault(node.queue.name, ([], []))[0].append(node)
        if node.reader:
            found.setdefault(node.reader.queue, ([], []))[1].append(node)
    return found


def loose_ends(subject: Subject) -> Iterator[Problem]:
    """Find queues that nobody reads or nobody writes, unless somebody outside does."""
    for queue, (writers, readers) in queues(subject).items():
        ends: list[Any] = [n.queue or n.reader for n in (*writers, *readers)]
        if (writers and readers) or any(end.external for end in ends):
            continue
        names = [n.name for n in writers or readers]
        does, lacks, verb = (
            ("writes", "reads", f"add_queue_reader(..., queue={queue!r})")
            if writers
            else ("reads", "writes", f"add_queue({queue!r})")
        )
        if len(names) > 1:
            does = does.removesuffix("s")
        yield warning(
            f"queue {queue!r}: {listed(names)} {does} it and nobody {lacks} it;"
            f" {verb}, or say external=True",
            names,
        )


def disagreements(subject: Subject) -> Iterator[Problem]:
    """Find queue nodes that describe one queue in different ways."""
    for queue, (writers, _) in queues(subject).items():
        for option in _AGREED:
            said = [(n.name, getattr(n.queue, option)) for n in writers]
            other = next((name for name, value in said if value != said[0][1]), None)
            if other is not None:
                first, value = said[0]
                yield error(
                    f"queue {queue!r}: {first!r} says {option}={_shown(value)} and {other!r} says"
                    f" {option}={_shown(dict(said)[other])}; give both the same",
                    (first, other),
                )


def _shown(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)


def models(subject: Subject) -> Iterator[Problem]:
    """Find a `model=` by which pydantic cannot check anything."""
    for node in subject.workflow.nodes.values():
        if node.queue and node.queue.model is not None:
            try:
                adapter_of(node.queue.model)
            except Exception as fault:  # noqa: BLE001 - a type may have its own schema
                said = told(fault).partition("For further information")[0].strip()
                yield error(
                    f"queue node {node.name!r}: model={_shown(node.queue.model)} cannot check"
                    f" anything: {said}",
                    (node.name,),
                )


def queue_edges(subject: Subject) -> Iterator[Problem]:
    """Find lines from a queue to a reader that do not mean what they show."""
    nodes = subject.workflow.nodes
    for edge in subject.workflow.edges.values():
        if not subject.workflow.is_queue_edge(edge):
            continue
        writer, reader = nodes[edge.source], nodes[edge.target]
        if not (writer.queue and reader.reader):
            continue
        if writer.queue.name != reader.reader.queue:
            yield error(
                f"edge {edge}: {edge.target!r} reads queue {reader.reader.queue!r}, not"
                f" {writer.queue.name!r}; give both the same queue=, or remove the edge",
                (edge.source, edge.target),
                (edge,),
            )
        elif subject.ins[edge.target]:
            yield _mid_graph(edge, subject.ins[edge.target])


def _mid_graph(edge: Edge, ins: list[Edge]) -> Problem:
    return warning(
        f"edge {edge}: {edge.target!r} does not drive a loop of its own, because {ins[0].source!r}"
        " flows into it: it takes one message for each item; remove one of these edges",
        (edge.source, edge.target),
        (edge, *ins),
    )


def locking_rings(subject: Subject) -> Iterator[Problem]:
    """Find rings of full queues: each loop waits for the next one to take something out."""
    flow = subject.flow
    bounded = [
        (queue, writers, readers)
        for queue, (writers, readers) in queues(subject).items()
        if any(w.queue and w.queue.maxlen and w.queue.when_full == "block" for w in writers)
    ]
    if not bounded:
        return
    count = len(flow.names)
    succ = [*map(list, flow.succ), *([flow.index[r.name] for r in b[2]] for b in bounded)]
    for place, (_, writers, _) in enumerate(bounded):
        for writer in writers:
            succ[flow.index[writer.name]].append(count + place)
    for ring in rings(succ):
        inside = [bounded[v - count][0] for v in ring if v >= count]
        if inside:
            yield warning(
                f"queues {listed(inside)} form a ring, and each blocks its loop when it is full:"
                " when all are full nothing moves again; give one no maxlen, or when_full='error'"
                if len(inside) > 1
                else f"queue {inside[0]!r} is written behind its own reader and blocks it when"
                " full: then nothing moves again; give it no maxlen, or when_full='error'",
                [flow.names[v] for v in ring if v < count],
            )
