"""S4.16, S4.21: an observer hears that a node starts, before it works, and what is bypassed."""

from flownb import Graph, Observer


class Watcher(Observer):
    """Prints what it hears of nodes."""

    def on_span(self, span, output):
        print("ended", span.node)

    def on_event(self, event):
        if event.kind in {"started", "bypassed"}:
            print(event.kind, event.node)


graph = Graph("st").add_if("i", lambda _: True).add_node("yes").add_node("no")
graph.add_edge("i", "yes", when=True).add_edge("i", "no", when=False)
graph.use(Watcher()).run({})

# prints
# started i
# ended i
# started yes
# ended yes
# bypassed no
