"""Which graphs do the tests of pictures look at?"""

from __future__ import annotations

from flownb.model.workflow import Workflow
from flownb.records.events import Span
from flownb.records.timeline import Timeline

NASTY = [
    "<b>bold</b>",
    "\"quoted\" 'it'",
    "]]>",
    "--> <!-- <![CDATA[",
    "ctrl\x00\x1b[31mred\x07",
    "مرحبا بالعالم",
    "x" * 10_000,
    "👩\u200d👩\u200d👧 family 🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉",
    "__proto__",
    "$x^2$ & &amp; &#0;",
    "\u202ereversed",
    "lone \ud800 half",
    "new\nline\ttab",
    "\ufffe\uffff\x85",
    "javascript:alert(1)",
]


def weather():
    return (
        Workflow("weather")
        .add_producer("days", every=0.1)
        .add_node("check", takes=0.05)
        .add_node("audit", kind="non_blocking", takes=0.2)
        .add_if("wet?", bool)
        .add_queue("wet_days")
        .add_edge("days", "check", "wet?")
        .add_edge("wet?", "wet_days", when=True)
        .add_edge("days", "audit")
        .add_queue_reader("storms", queue="wet_days")
        .add_node("rank")
        .add_edge("storms", "rank")
    )


def worked():
    """The worked example of the await policies."""
    flow = Workflow("worked").add_producer("P")
    for name, kind, takes in [
        ("a", "blocking", 1),
        ("b", "non_blocking", 2),
        ("c", "blocking", 3),
        ("d", "non_blocking", 4),
        ("e", "non_blocking", 5),
        ("f", "non_blocking", 7),
    ]:
        flow.add_node(name, kind=kind, takes=takes)
    return flow.add_edge("P", "a", "b", "c", "d").add_edge("P", "e", "f")


def nasty():
    flow = Workflow('<script>alert("1")</script>\x00').add_producer(NASTY[0])
    for i, name in enumerate(NASTY[1:], 1):
        flow.add_node(name, description=name, join="each")
        flow.add_edge(NASTY[(i - 1) // 3], name, description=name)
    flow.add_if("</title><script>", bool)
    flow.add_queue("q", queue="</desc>\x01").add_queue_reader("</svg>", queue="</desc>\x01")
    flow.add_edge(NASTY[0], "</title><script>", "q")
    return flow.add_edge("</title><script>", NASTY[2], when='</text><"yes">\x02')


def timeline(items=3):
    spans = []
    for i in range(items):
        start = 4.0 * i
        spans += [
            Span("days", "days", i, 0, "work", start, start + 1),
            Span("days", "days", i, 0, "wait", start + 1, start + 4),
            Span("days", "check", i, 0, "work", start + 1, start + 4),
            Span("days", "audit", i, 0, "work", start + 1, start + 7),
        ]
    return Timeline.of_spans(spans)
