"""What is killed in the chain tests of `test_fire.py`? Consumers on the fast path of a chain.

Two loops of short sync nodes: one moves messages from queue "in" to queue "out", the other
writes those of "out" into a file. Nearly all points are inside of what only a chain calls,
or ask whether it is the chain's own pushes and acks that cross. Each life reports how many
rows went through its chain.
"""

from __future__ import annotations

from flownb import Graph
from flownb.engine.calls import chain
from flownb.engine.calls.push import RowPush
from flownb.engine.loop import settlement
from flownb.queues import connection
from flownb.queues.receive import reader
from tests.support.fuse import Fire, run

POINTS = (
    "after the read",
    "before the rows",
    "in a row",
    "after the rows",
    "in the push",
    "after the push",
    "while pushes outlast their turn",
    "before the ack",
    "in the ack",
    "after the ack",
    "in a stop",
)
MOST = dict.fromkeys(POINTS, 4) | {"in a row": 50, "in a stop": 30}


class Chains:
    """Sees what the chains of one life do."""

    def __init__(self, fuse):
        self.fuse = fuse
        self.inside = set()  # loops that are in their chain
        self.pushing = False
        self.ids = set()  # messages that went through rows
        if fuse.point == "while pushes outlast their turn":
            chain._PATIENCE = 0.0
        self.around_rows()
        self.around_pushes()
        self.around_acks()
        fuse.around(reader.StreamReader, "_opened", after="after the read")
        follow = RowPush.follow

        def followed(push, token):
            if push.is_sent and not push.is_over:
                fuse.reached("while pushes outlast their turn")
            return follow(push, token)

        RowPush.follow = followed

    def worked(self, loop):
        """A node was called."""
        if loop in self.inside:
            self.fuse.reached("in a row")

    def around_rows(self):
        fuse, begin, settle = self.fuse, chain.Stretch.begin, chain.Chain._settle

        def begun(stretch, most):
            fuse.reached("before the rows")
            self.inside.add(stretch.loop.name)
            return begin(stretch, most)

        async def settled(chain, stretch, turn, upto):
            self.inside.discard(chain.loop.name)
            self.ids |= {message.id for message in stretch.queues.messages}
            fuse.rows += upto
            fuse.reached("after the rows")
            return await settle(chain, stretch, turn, upto)

        chain.Stretch.begin, chain.Chain._settle = begun, settled

    def around_pushes(self):
        original = chain.send_rows

        def send(runtime, pushes, on_done):
            def done():
                self.pushing = False
                on_done()

            self.pushing = True
            original(runtime, pushes, done)

        def in_rows(_, __, jobs):
            return self.pushing and bool(said(jobs, "XADD"))

        chain.send_rows = send
        points = {"during": "in the push", "after": "after the push"}
        self.fuse.around(connection, "transact", **points, when=in_rows)

    def around_acks(self):
        original = settlement.Settlement.settle

        def settle(ending, queue, ids):
            if self.ids.issuperset(ids):
                self.fuse.reached("before the ack")
            return original(ending, queue, ids)

        def of_rows(_, __, jobs):
            return not self.ids.isdisjoint(said(jobs, "XACK"))

        settlement.Settlement.settle = settle
        points = {"during": "in the ack", "after": "after the ack"}
        self.fuse.around(connection, "transact", **points, when=of_rows)


def said(jobs, word):
    """The arguments of all commands of that name."""
    return [part for job in jobs for c in job.commands if c[0] == word for part in c[1:]]


def make(fuse, *, pool):
    chains = Chains(fuse)

    def work(n):
        fuse.went_by()
        chains.worked("move")
        return n

    def keep(n):
        chains.worked("gather")
        fuse.write("gathered", str(n))

    graph = Graph("fire").add_queue("out", external=True)
    for loop, queue, node in (("move", "in", work), ("gather", "out", keep)):
        graph.add_queue_reader(loop, queue=queue, external=True, prefetch=16, max_deliveries=99)
        graph.add_node(node.__name__, node).add_edge(loop, node).set_loop(loop, pool=pool)
    return graph.add_edge("work", "out")


FIRE = Fire(POINTS, make, MOST, pools=("thread",), queues=("in", "out"))

if __name__ == "__main__":
    run(FIRE)
