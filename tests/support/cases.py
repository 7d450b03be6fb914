"""Where do the random graphs come from, and what does the engine make of them?

`random_case(seed)` makes a `Case` of the oracle, `graph_of` the same as flownb graphs
(one loop for each policy, so that one simulation answers for all six).
"""

from __future__ import annotations

from random import Random

from flownb import OTHERWISE, Graph
from tests.support import oracle
from tests.support.oracle import POLICIES, Arrow, Case

ITERATIONS = 2
LABELS = ("red", "green", 7)
MANY_RUNS = 250


def random_case(seed, most=40):
    """A graph of up to `most` nodes; every third has tags, the others ifs that join."""
    rng = Random(seed)
    tagged = seed % 3 == 0
    size = rng.choice((4, 8, 14, 25, most))
    names = ["P", *(f"n{i}" for i in range(rng.randint(size // 2, size) - 1))]
    pairs = _pairs(rng, names)
    kinds = _kinds(rng, names, pairs, tagged=tagged)
    joins = _joins(rng, names, pairs) if seed % 2 else {}
    lasts = {v: rng.choice((0, 0, 1, 1, 2, 3, 5, 8)) for v in names}
    said = [{} for _ in range(ITERATIONS)]
    arrows = _arrows(rng, kinds, pairs, said)
    if tagged:
        _say_by_tag(rng, kinds, arrows, said)
    case = Case(kinds, lasts, joins, arrows, said)
    if joins and _count(case) > MANY_RUNS:
        case = Case(kinds, lasts, {}, arrows, said)
    return case


def _pairs(rng, names):
    near = rng.choice((2, 5, 40))
    pairs = []
    for i, v in enumerate(names[1:], 1):
        earlier = names[max(0, i - near) : i]
        picked = rng.sample(earlier, min(len(earlier), rng.choice((1, 1, 1, 2, 2, 3))))
        if rng.random() < 0.08 and "P" not in picked:
            picked.append("P")
        pairs += [(u, v) for u in picked]
    rng.shuffle(pairs)
    return pairs


def _kinds(rng, names, pairs, *, tagged):
    share = rng.choice((0.1, 0.3, 0.6))
    kinds = {"P": "P"}
    for v in names[1:]:
        ins, outs = sum(b == v for _, b in pairs), sum(a == v for a, _ in pairs)
        if outs and rng.random() < 0.3 and not (tagged and ins > 1):
            kinds[v] = "if"
        else:
            kinds[v] = "B" if rng.random() < share else "N"
    return kinds


def _joins(rng, names, pairs):
    """Some joins are each, and then all behind them, as `validate()` wants it."""
    degree = {v: sum(b == v for _, b in pairs) for v in names}
    each = {v for v in names if degree[v] > 1 and rng.random() < 0.25}
    behind = set(each)
    for _ in names:
        behind |= {b for a, b in pairs if a in behind}
    return {v: "each" for v in names if degree[v] > 1 and v in behind}


def _arrows(rng, kinds, pairs, said):
    arrows = []
    for v, kind in kinds.items():
        targets = [b for a, b in pairs if a == v]
        make = _of_if if kind == "if" else _of_node
        arrows += make(rng, v, targets, said)
    return arrows


def _of_node(rng, v, targets, said):
    """The edges of a plain node; some ask a condition, never all."""
    asks = len(targets) > 1 and rng.random() < 0.15
    arrows = [
        Arrow(v, b, asks=asks and i > 0 and rng.random() < 0.7) for i, b in enumerate(targets)
    ]
    for now in said:
        now.update({(a.source, a.target): rng.random() < 0.5 for a in arrows if a.asks})
    return arrows


def _of_if(rng, v, targets, said):
    style = rng.choice(("bool", "bool and rest", "labels", "labels and rest"))
    words = (True, False) if style.startswith("bool") else LABELS
    whens = [rng.choice(words) for _ in targets]
    if style.endswith("rest"):
        whens[rng.randrange(len(whens))] = oracle.OTHERWISE
    elif rng.random() < 0.2:
        whens[rng.randrange(len(whens))] = None
    for now in said:
        now[v] = _verdict(rng, whens)
    return [Arrow(v, b, when=w) for b, w in zip(targets, whens, strict=True)]


def _verdict(rng, whens):
    """Any bool; of labels one that has an edge, or where there is a rest, anything."""
    labels = [w for w in whens if w is not None and w != oracle.OTHERWISE]
    if all(isinstance(w, bool) for w in labels):
        return rng.random() < 0.5
    return rng.choice([*labels, *(["blue"] if oracle.OTHERWISE in whens else [])])


def _say_by_tag(rng, kinds, arrows, said):
    """Let ifs answer by where a token came from: so tokens behind an each part ways."""
    for v in kinds:
        whens = [a.when for a in arrows if a.source == v]
        for now in said if kinds[v] == "if" else ():
            now.update({(v, tag): _verdict(rng, whens) for tag in kinds if rng.random() < 0.5})


def rules_case(seed, most=40):
    """The same with all four kinds of joins; every other one has times without ties."""
    rng = Random(f"rules {seed}")
    case = random_case(rng.randrange(10**9), most)
    joins = _any_joins(rng, case)
    lasts = case.lasts
    if seed % 2:
        lasts = {
            v: 0 if last == 0 and rng.random() < 0.2 else rng.randint(1, 10**7)
            for v, last in lasts.items()
        }
    return Case(case.kinds, lasts, joins, case.arrows, case.said)


def _any_joins(rng, case):
    """Keep the each joins, behind which only such are allowed; the others may be of any kind."""
    joins, many = dict(case.joins), case.each_behind()
    share = rng.choice((0, 0.3, 0.6, 0.9))
    for v in case.kinds:
        ins = len(case.ins[v])
        if ins > 1 and v not in many and rng.random() < share:
            joins[v] = rng.choice(("first", "first", rng.randint(1, ins)))
    return joins


def _count(case):
    """At most so many runs, if every edge were live."""
    many, count = case.each_behind(), {}
    for v in case.sources_first():
        tokens = sum(count[a.source] for a in case.ins[v])
        count[v] = tokens if v in many else 1
    return sum(count.values())


# -- the same for flownb -------------------------------------------------------


def graph_of(case, policies=POLICIES, name="random", start_rule="dataflow"):
    """One loop for each policy, named after it; nodes are `policy/node`."""
    graph = Graph(name)
    for policy in policies:
        add_loop(graph, case, policy)
        graph.set_loop(
            f"{policy}/P", await_policy=policy, start_rule=start_rule, max_in_flight=1_000_000
        )
    return graph


def add_loop(graph, case, prefix):
    for v, kind in case.kinds.items():
        name, takes = f"{prefix}/{v}", case.lasts[v]
        if kind == "P":
            graph.add_producer(name, [(i, v) for i in range(ITERATIONS)], takes=takes)
        elif kind == "if":
            graph.add_if(name, _predicate(case, v), takes=takes)
        else:
            word = "blocking" if kind == "B" else "non_blocking"
            graph.add_node(name, _marked(v), kind=word, takes=takes)
        if v in case.joins:
            object.__setattr__(graph.nodes[name], "join", case.joins[v])  # add_if() has no join=
    for a in case.arrows:
        when = OTHERWISE if a.when == oracle.OTHERWISE else a.when
        asks = _condition(case, a) if a.asks else None
        graph.add_edge(f"{prefix}/{a.source}", f"{prefix}/{a.target}", when=when, condition=asks)
    return graph


def _mark(payload):
    """The (iteration, last node that was no if) of a payload, or of any of a join's."""
    while isinstance(payload, dict):
        payload = next(iter(payload.values()))
    return payload


def _marked(v):
    return lambda payload: (_mark(payload)[0], v)


def _predicate(case, v):
    def says(payload):
        iteration, tag = _mark(payload)
        said = case.said[iteration]
        return said.get((v, tag), said.get(v))

    return says


def _condition(case, arrow):
    return lambda payload: case.said[_mark(payload)[0]][arrow.source, arrow.target]


def engine_times(sim, prefix):
    """{(node, iteration): sorted (start, end) of its calls}."""
    times = {}
    for span in sim.timeline:
        if span.loop == f"{prefix}/P" and span.kind == "work":
            times.setdefault((span.node.split("/")[1], span.iteration), []).append(
                (span.start, span.end)
            )
    return {key: sorted(found) for key, found in times.items()}
