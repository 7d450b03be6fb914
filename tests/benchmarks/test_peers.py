"""Is a kept run ten times as fast as the same one of LangGraph? Both in turns, same run.

LangGraph is no dependency: `pip install langgraph langgraph-checkpoint-sqlite` to try it.
"""

from __future__ import annotations

import time
from typing import Any, TypedDict

import pytest

from flownb import Graph
from flownb.stores import open_store

pytestmark = [
    pytest.mark.benchmark, pytest.mark.wallclock, pytest.mark.nightly, pytest.mark.timeout(600),
]  # fmt: skip

NODES, ROUNDS, TIMES = 200, 8, 10.0


class State(TypedDict):
    n: int


def plus_one(state: Any) -> Any:
    return {"n": state["n"] + 1}


def theirs(checkpointer: Any) -> Any:
    """The chain as LangGraph's users write it."""
    from langgraph.graph import START, StateGraph

    graph, before = StateGraph(State), START
    for i in range(NODES):
        graph.add_node(str(i), plus_one)
        graph.add_edge(before, str(i))
        before = str(i)
    return graph.compile(checkpointer=checkpointer)


def ours() -> Graph:
    graph = Graph("chain").add_node("0", plus_one)
    for i in range(1, NODES):
        graph.add_node(str(i), plus_one).add_edge(str(i - 1), str(i))
    return graph


def seconds(call: Any) -> float:
    started = time.perf_counter()
    assert call()["n"] == NODES
    return time.perf_counter() - started


def test_a_chain_kept_at_every_step_is_ten_times_as_fast_as_langgraphs(tmp_path, figure):
    pytest.importorskip("langgraph.graph")
    saver = pytest.importorskip("langgraph.checkpoint.sqlite").SqliteSaver
    store, graph, mine, peer = open_store(tmp_path / "ours"), ours(), [], []
    with saver.from_conn_string(str(tmp_path / "theirs")) as checkpointer:
        chain = theirs(checkpointer)
        for i in range(ROUNDS):
            config = {"configurable": {"thread_id": str(i)}, "recursion_limit": NODES + 1}
            peer.append(seconds(lambda c=config: chain.invoke({"n": 0}, c, durability="sync")))
            mine.append(seconds(lambda: graph.run({"n": 0}, store=store).state))
    store.close()
    times = min(peer) / min(mine)
    print(f"{min(mine) * 1e6 / NODES:.0f} us a node, LangGraph {min(peer) * 1e6 / NODES:.0f} us")
    figure("times as fast as LangGraph", times, least=TIMES)
