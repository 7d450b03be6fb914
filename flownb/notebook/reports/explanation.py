"""How does an explanation read, as text and as tables?

The text and the HTML say the same, line by line. Lists of names are cut where a reader
would stop reading, and say how many they leave out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from flownb.explain.capacity import rate_word
from flownb.explain.reasons import chain_text, named
from flownb.notebook.picture.table import table, text_table
from flownb.notebook.picture.text import brief, clean, took
from flownb.notebook.reports import capacity as foreseen
from flownb.plan.await_sets import RULES

if TYPE_CHECKING:
    from flownb.explain.capacity import Capacity
    from flownb.explain.explanation import Explanation, Makespan
    from flownb.explain.study import Answer, Reading
    from flownb.plan.loop_plan import PlanNode

_ARMS: Final = 20
_NAMES: Final = 12
_MOST: Final = 100
_SENTENCE: Final = 5_000  # characters: what is advised is not cut


def whole_text(why: Explanation) -> str:
    """Write everything there is to say, loop by loop."""
    capacity = why.capacity()
    lines = [_title(why), *(f"! {warning}" for warning in capacity.warnings)]
    for loop in why.loops[:_ARMS]:
        lines += [
            "",
            f"loop {loop} (await policy {why.policy(loop)}: {RULES[why.policy(loop)].means})",
        ]
        lines += [f"  {line}" for line in _loop_lines(why, capacity, loop)]
    if (span := why.makespan) is not None:
        lines += [f"{mark:10}  {line}" for mark, line in _once(why, span)]
        lines += ["", *text_table(_SPANS, _spans(span)).splitlines()]
    if len(why.loops) > _ARMS:
        lines += ["", f"and {len(why.loops) - _ARMS:,} more loops"]
    return "\n".join(clean(line).rstrip() for line in lines)


def _title(why: Explanation) -> str:
    loops = "1 loop" if len(why.loops) == 1 else f"{len(why.loops)} loops"
    if why._once is not None:
        return f"{brief(why.workflow.name)}: runs once, no producer waits{_unknown(why)}"
    if not why.loops and why.workflow.nodes:
        return (
            f"{brief(why.workflow.name)}: runs once, how often round and how long only a run tells"
        )
    if not why.loops:
        return f"{brief(why.workflow.name)}: no producer, so nobody waits for anybody"
    return f"{brief(why.workflow.name)}: who waits for whom, {loops}{_unknown(why)}"


def _unknown(why: Explanation) -> str:
    if not why.unknown:
        return ""
    inside = f"{len(why.unknown):,} of {len(why._durations.us):,} durations are unknown and count 0"
    return f"; {inside} ({named(why.unknown, 6)})"


def _loop_lines(why: Explanation, capacity: Capacity, loop: str) -> Iterator[str]:
    for mark, line in [*_arms(why, loop), *_facts(why, capacity, loop)]:
        yield f"{mark:10}  {line}"
    for columns, rows in _loop_tables(why, loop):
        yield ""
        yield from text_table(columns, rows).splitlines()


def _facts(why: Explanation, capacity: Capacity, loop: str) -> Iterator[tuple[str, str]]:
    """Give what follows from the arms: (word, text) each."""
    yield "waits for", named(why.await_set(loop), _NAMES)
    yield "detached", named(why.detached(loop), _NAMES)
    yield "released", _release(why, loop)
    now = capacity.loops[loop]
    least = "at least " if now.given and not now.at_least else ""
    yield "rate", f"{least}{rate_word(now.rate)}: {capacity.bottlenecks[loop]}"
    advice = capacity.advice.get(loop, ())
    freed = {name for change in advice for name in change.frees}
    yield from (("hint", str(h)) for h in why.hints(loop) if not freed.intersection(h.nodes))
    yield from (("faster", str(change)) for change in advice)


def _loop_tables(why: Explanation, loop: str) -> Iterator[tuple[Sequence[str], list[list[Any]]]]:
    yield _COMPARE, _compared(why, loop)
    answers = [_answered(a) for a in why.answers(loop)[:_ARMS]]
    if answers:
        yield _ANSWERS, answers
    measured = list(_measured(why, loop))
    if measured:
        yield _MEASURED, measured


def _measured(why: Explanation, loop: str) -> Iterator[list[Any]]:
    """Put what a run has measured beside what is declared, node by node."""
    seen = why.measured.get(loop)
    unknown = {*why._durations.measured, *why.unknown}
    for node in why._study(loop).plan.nodes[:_MOST] if seen is not None else ():
        found = seen.nodes.get(node.name) if seen is not None else None
        if found is not None and found.calls:
            said = None if node.name in unknown else _declared(why, loop, node)
            declared = None if said is None else took(said)
            yield [node.name, declared, took(found.mean), took(found.longest), found.calls]


def _declared(why: Explanation, loop: str, node: PlanNode) -> float:
    takes = node.node.takes  # of one attempt, as the measured mean is
    return takes if isinstance(takes, int | float) else why._study(loop).takes(node.name)


def _arms(why: Explanation, loop: str) -> Iterator[tuple[str, str]]:
    arms = why.arms[loop]
    for arm in arms[:_ARMS]:
        yield arm.waits, arm.because
    if not arms:
        yield "goes on", f"nothing comes behind {loop}"
    if len(arms) > _ARMS:
        yield "", f"and {len(arms) - _ARMS:,} more arms"


_SPANS: Final = ("nodes at work", "start rule", "done after")
_COMPARE: Final = ("policy", "released", "waits for")
_ANSWERS: Final = ("if", "says", "released", "waits for")
_MEASURED: Final = ("node", "declared", "measured", "longest", "calls")


def _compared(why: Explanation, loop: str) -> list[list[Any]]:
    own = why.policy(loop)
    return [
        [f"{r.policy} *" if r.policy == own else r.policy, _after(r), named(r.waits_for, _NAMES)]
        for r in why.compare(loop)
    ]


def _after(reading: Reading | Answer) -> str:
    return f"{'at most ' if reading.at_most else ''}{took(reading.release)}"


def _answered(answer: Answer) -> list[Any]:
    return [answer.node, answer.says, _after(answer), named(answer.waits_for, _NAMES)]


def _release(why: Explanation, loop: str) -> str:
    """Write the release and the chain that takes so long."""
    reading = why.reading(loop)
    return f"after {_after(reading)}{_sum(why, reading.chain)}"


def _sum(why: Explanation, chain: Sequence[tuple[str, float]]) -> str:
    """Write a chain as the sum that it is; "?" where nobody knows, what takes no time is not told.

    >>> from flownb import Graph
    >>> graph = Graph("g").add_producer("p").add_node("a", takes=1).add_node("b")
    >>> why = graph.add_edge("p", "b", "a").explain()
    >>> _sum(why, why.reading("p").chain)
    ' = b ? s + a 1 s'
    """
    unknown = set(why.unknown)
    parts = [f"{n} {'? s' if n in unknown else took(t)}" for n, t in chain if t or n in unknown]
    return f" = {chain_text(parts, ' + ')}" if parts else ""


def _once(why: Explanation, span: Makespan) -> Iterator[tuple[str, str]]:
    """Give what is to be said of a graph that runs once: (word, text) each."""
    least = "at most " if span.at_most else ""
    yield "done", f"after {least}{took(span.seconds)}{_sum(why, span.chain)}"
    if span.seconds:
        mean = f"{span.work / span.seconds:.3g} nodes at work on average"
        yield "work", f"{took(span.work)} in all, so {mean}"
    maps = [name for name, node in why.workflow.nodes.items() if node.over is not None]
    if maps:
        yield "note", f"for how many elements {named(maps)} works only a run can tell: 1 counts"


def _spans(span: Makespan) -> list[list[Any]]:
    """Give the makespan under each start rule, and with so many nodes at work at a time."""
    rows = [["as many as can", rule, f"{took(s)}"] for rule, s in span.rules.items()]
    rows += [[f"at most {k}", "dataflow", f"{took(s)}"] for k, s in span.at_once.items()]
    return rows


def tables(why: Explanation) -> list[tuple[str, str]]:
    """Give the sentences, open, and the tables, folded."""
    capacity = why.capacity()
    said = [foreseen.boxed(capacity.warnings, "warn")]
    said += [_sentences(why, capacity, loop) for loop in why.loops[:_ARMS]]
    if (span := why.makespan) is not None:
        said += [table(["run once", "await policy all"], [*_once(why, span)])]
        said += [table(_SPANS, _spans(span))]
    folded = [("under every policy" if len(why.loops) == 1 else f"{loop} under every policy",
               "".join(table(*each) for each in _loop_tables(why, loop)))
              for loop in why.loops[:_ARMS]]  # fmt: skip
    figures = "".join(table(*each) for each in foreseen.all_tables(capacity))
    folded += [("capacity", figures)] if figures else []
    return [("", f"<style>{foreseen.STYLE}</style>{''.join(said)}"), *folded]


def _sentences(why: Explanation, capacity: Capacity, loop: str) -> str:
    rows = [*_arms(why, loop), *_facts(why, capacity, loop)]
    columns = [f"loop {loop}", f"await policy {why.policy(loop)}"]
    return table(columns, rows, limit=_SENTENCE)
