"""How is a loop lived through several crashes in virtual time? One attempt after the other."""

from __future__ import annotations

from flownb.engine.calls.limits import Limits
from flownb.engine.checkpoints.record import Beginning
from flownb.engine.loop.loop_manager import LoopManager
from flownb.engine.observe.history import History, Outputs
from flownb.engine.observe.meter import Meter
from flownb.engine.observe.stream import Stream
from flownb.engine.simulation.simulated_world import SimulatedWorld
from flownb.engine.simulation.virtual_loop import VirtualLoop
from flownb.plan.compiler import compile_plan


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
            world=SimulatedWorld(),
            stream=Stream([self.history, self.meter, self.kept, self]),
            gates=Limits(),
        )
        self.manager.beginning = Beginning(0, kept)
        self.crash = crash

    def on_checkpoint(self, snapshot):
        self.snapshots.append((self.loop.time(), snapshot))
        if self.answers is not None:
            self.loop.call_later(self.answers, self._answer, snapshot)

    def _answer(self, snapshot):
        self.left = snapshot.content
        self.manager.command("kept", snapshot.number)

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
        self.manager.checkpointer = None
        task.cancel()
        try:
            self.loop.run_until_complete(task)
        except BaseException as error:  # noqa: BLE001 - as cancelled as it can be
            self.buried = error

    @property
    def state(self):
        return self.manager.life.state

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
