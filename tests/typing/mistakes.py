"""What must a type checker refuse? Each wrong line says which error it gives; never run."""

from __future__ import annotations

from flownb import BlockingNode, Context, Graph, Limit, NodeConfig, NodeData, Retry

graph = Graph("weather")

# -- an option that there is not
Graph("weather", reducer={})  # E: [call-arg] "reducer"
graph.add_node("check", knd="non_blocking")  # E: [call-arg] did you mean "kind"?
graph.add_edge("days", "check", whn=True)  # E: [call-arg] did you mean "when"?
graph.set_loop("days", pol="thread")  # E: [call-arg] did you mean "pool"?
graph.simulate(untl=10)  # E: [call-arg] did you mean "until"?
graph.sweep(bool, sed=3)  # E: [call-arg] "sed"
graph.resume("r1", on_eror="stop")  # E: [call-arg] did you mean "on_error"?
Limit(2, rate=3)  # E: [call-arg] "rate"

# -- an option that is missing
graph.add_node("check", retry=Retry(attempts=3))  # E: [call-arg] "on"
graph.add_queue_reader("storms")  # E: [call-arg] "queue"

# -- a word that there is not
graph.add_node("check", kind="nonblocking")  # E: [arg-type] "kind"
graph.add_node("check", join="any")  # E: [arg-type] "join"
graph.add_queue("q", mode="fanout")  # E: [arg-type] "mode"
graph.add_queue("q", when_full="drop")  # E: [arg-type] "when_full"
graph.add_queue_reader("r", queue="q", ack="yes")  # E: [arg-type] "ack"
graph.set_loop("days", pool="gpu")  # E: [arg-type] "pool"
graph.set_loop("days", await_policy="arms")  # E: [arg-type] "await_policy"
graph.set_loop("days", start_rule="eager")  # E: [arg-type] "start_rule"
graph.set_loop("days", on_error="ignore")  # E: [arg-type] "on_error"
graph.set_loop("days", restart="always")  # E: [arg-type] "restart"
graph.simulate(policy="S1")  # E: [arg-type] "policy"
graph.explain(policy="every")  # E: [arg-type] "policy"
graph.compare(["path", "best"])  # E: [list-item] Literal['best']
graph.run({}, on_error="skip")  # E: [arg-type] "on_error"
graph.start(control="kernel")  # E: [arg-type] "control"

# -- a value of another type
graph.add_producer("days", 5)  # E: [arg-type] Argument 2
graph.add_producer("days", every="1s")  # E: [arg-type] "every"
graph.add_node("check", "check")  # E: [arg-type] Argument 2
graph.add_node("check", timeout="2")  # E: [arg-type] "timeout"
graph.add_node("check", retry=3)  # E: [arg-type] "retry"
graph.add_node("check", limit=3)  # E: [arg-type] "limit"
graph.add_node("check", takes=lambda: 3.0)  # E: [arg-type] "takes"
graph.set_loop("days", max_in_flight="64")  # E: [arg-type] "max_in_flight"
graph.set_loop("days", resources=[open])  # E: [arg-type] "resources"
graph.start(redis=6379)  # E: [arg-type] "redis"
graph.run({}, store=3)  # E: [arg-type] "store"
graph.use("observer")  # E: [arg-type] Argument 1
Limit(concurrency="2")  # E: [arg-type] "concurrency"
Retry(on="ValueError")  # E: [arg-type] "on"

# -- a verb or a result that there is not
graph.nonsense()  # E: [attr-defined] "nonsense"
graph.run({}).stat  # E: [attr-defined] "stat"
graph.simulate().timeline.span  # E: [attr-defined] maybe "spans"?
graph.validate()[0].message  # E: [attr-defined] "message"
graph.explain().await_sets("days")  # E: [attr-defined] maybe "await_set"?
graph.start().await_all()  # E: [attr-defined] "await_all"


# -- a decorator
@graph.node(afer="days")  # E: [call-overload] "node"
def one(day: int) -> int:
    return day


@graph.node(after="days", kind="blocked")  # E: [call-overload] "node"
def two(day: int) -> int:
    return day


@graph.node(after="days", kind="non_blocking")
def three(day: int) -> int:
    return day


three("monday")  # E: [arg-type] "three"


# -- a class node
class Scale(BlockingNode):
    class Config(NodeConfig):
        factor: float = 2.0

    def run(self, data: NodeData) -> float:
        return self.config.factr  # E: [attr-defined] maybe "factor"?


def use(ctx: Context) -> None:
    ctx.sleep(1)  # E: [unused-coroutine]
    ctx.stat["n"] = 1  # E: [attr-defined] "stat"
    ctx.meta["iteration"] = 3  # E: [index]


# -- await
async def live() -> None:
    orch = graph.start()
    await orch.status()  # E: [misc] "await"
    await orch.queues  # E: [misc] "await"
    orch.wait(iterations=3).timed_out  # E: [attr-defined] "timed_out"
    (await orch.wait()).timedout  # E: [attr-defined] maybe "timed_out"?
    (await orch.pause()).wait()  # E: [attr-defined] "wait"
    orch.stop(grace="10")  # E: [arg-type] "grace"
    orch.metrics()["days"].itmes  # E: [attr-defined] "itmes"
    orch.logs(nod="check")  # E: [call-arg] did you mean "node"?
    orch.queues.push("q", 1)  # E: [unused-coroutine]
