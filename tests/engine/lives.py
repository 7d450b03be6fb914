"""How is a loop lived through several crashes in virtual time? One attempt after the other."""

from __future__ import annotations

from flownb.analysis.plan import compile_plan
from flownb.engine.checkpoint import Beginning
from flownb.engine.clock import VirtualLoop
from flownb.engine.inflight import Gates
from flownb.engine.loop import LoopManager
from flownb.engine.metrics import Meter
from flownb.engine.observe import History, Outputs, Stream
from flownb.engine.world import Simulated


class Life:
    """One attempt of loop "p", from a checkpoint to its crash at a second, or to its end.

    *answers* is how long the store takes for each checkpoint; None: it never answers.
    `left` is the last checkpoint that was in the store when the attempt ended.
    """

    def __init__(self, graph, kept="", *, crash=None, answers=0.0):
        self.loop, self.answers = VirtualLoop(), answers
        self.left, self.snapshots, self.calls = kept, [], []
        plan = compile_plan(graph, "p")
        self.history, self.meter = History(), Meter("p")
        self.kept = Outputs({n.name: 1000 for n in plan.nodes})
        self.manager = LoopManager(
            plan,
            world=Simulated(),
            stream=Stream([self.history, self.meter, self.kept, self]),
            gates=Gates(),
        )
        self.manager.beginning = Beginning(0, kept)
        self.crash = crash

    def on_checkpoint(self, snapshot):
        self.snapshots.append((self.loop.time(), snapshot))
        if self.answers is not None:
            self.loop.call_later(self.answers, self._answer, snapshot)

    def _answer(self, snapshot):
        self.left = snapshot.content
        self.manager.kept(snapshot.number)

    def at(self, second, what, *args):
        self.loop.call_at(second, what, *args)
        return self

    def run(self):
        """Run to the end or the crash: from then on nothing of it counts."""
        left = None
        try:
            task = self.loop.create_task(self.manager.run())
            if self.crash is not None:
                self.loop.call_at(self.crash, self.loop.stop)
                self.loop.run_forever()
                left = self.left
            if self.crash is None or task.done():
                self.loop.run_until_complete(task)
            else:
                self._bury(task)
        finally:
            self.loop.close()
        self.left = self.left if left is None else left
        return self

    def _bury(self, task):
        """Clear what the crash has left: in a killed process it would be gone."""
        self.answers, self.manager.runtime.stream = None, Stream()
        self.manager.keeping = None
        task.cancel()
        try:
            self.loop.run_until_complete(task)
        except BaseException as error:  # noqa: BLE001 - as cancelled as it can be
            self.buried = error

    @property
    def state(self):
        return self.manager.state

    def states(self):
        return [e.data[0] for e in self.history.events if e.kind == "state"]

    def ran(self, node):
        """The items whose call of a node ended, in order."""
        return [s.iteration for s in self.history.spans() if s.node == node and s.kind == "work"]


def lives(make, crashes, **more):
    """Live through crashes at these seconds of each attempt, then to the end; the lives."""
    found, kept = [], ""
    for crash in [*crashes, None]:
        found.append(Life(make(), kept, crash=crash, **more).run())
        kept = found[-1].left
    return found
