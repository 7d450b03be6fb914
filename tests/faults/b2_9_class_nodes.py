"""B2-9: a class node needs no super().__init__(), needs a run, and is told what it gets."""

from flownb import BlockingNode, Graph


class Add(BlockingNode):
    def __init__(self, n):
        self.n = n

    def run(self, data):
        return data.payload + self.n


class Wrong(Add):
    def run(self, x):
        return x + self.n


class Sub(BlockingNode):
    def process(self, x):
        return x - 1


def simulated(node):
    graph = Graph("c").add_producer("p", [1]).add_node("n", node).add_edge("p", "n")
    return graph.simulate()


for node in (Add, Wrong, Sub):
    try:
        sim = simulated(node() if node is Sub else node(5))
        print(sim.outputs("n"), "NodeData: its payload is data.payload" in str(sim.failures()))
    except Exception as error:
        print(type(error).__name__, error)

# prints
# [6] False
# [] True
# GraphError node 'n': Sub has no run(): write def run(self, data), not process(...); the item is data.payload
