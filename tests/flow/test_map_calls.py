"""Is a node called for each element of a list, also for those that turn up meanwhile?"""

from __future__ import annotations

import pytest

from flownb import Graph, IterationLimit, ToolRegistry
from flownb.errors import CodeFailed, GraphError, RunError
from flownb.stores import open_store

LINKS = {"home": ["slow", "fast"], "slow": [], "fast": ["f1"], "f1": ["f2"], "f2": []}
TAKES = {"home": 1, "slow": 10, "fast": 1, "f1": 1, "f2": 1}
ALL = ["home", "slow", "fast", "f1", "f2"]


async def fetch(page, ctx):
    await ctx.sleep(TAKES[page])
    return page


def links(page):
    return LINKS[page]


def crawl(fn=fetch, more=links, **options):
    graph = Graph("crawl").add_node("fetch", fn, over="todo", into="found", more=more, **options)
    return graph.add_node("end", lambda s: {"n": len(s["found"])}).add_edge("fetch", "end")


def test_what_a_call_has_found_is_called_at_once_while_others_are_at_work():
    """The workflow pattern 15: home 1, then slow 10 beside fast, f1 and f2."""
    sim = crawl().simulate(payload={"todo": ["home"]})
    assert sim.duration == 11
    starts = {s.visit: s.start for s in sim.timeline if s.node == "fetch"}
    assert list(starts.values()) == [0, 1, 1, 2, 3]


def test_results_stand_behind_that_of_the_call_they_came_of_whoever_was_quicker():
    assert crawl().simulate(payload={"todo": ["home"]}).state["found"] == ALL
    assert crawl(lambda page: page).run({"todo": ["home"]}).state["found"] == ALL
    two = crawl(lambda page: page).run({"todo": ["fast", "home"]}).state["found"]
    assert two == ["fast", "f1", "f2", *ALL]


def test_at_most_so_many_work_at_a_time_also_of_those_found():
    sim = crawl().simulate(payload={"todo": ["home"]}, max_concurrency=1)
    assert sim.duration == sum(TAKES.values())
    assert sim.state["found"] == ALL


def test_what_finds_itself_for_ever_is_ended():
    with pytest.raises(IterationLimit, match="'fetch'"):
        crawl(lambda page: page, more=lambda page: [page]).run({"todo": ["home"]})
    with pytest.raises(IterationLimit, match="has run 3 times"):
        crawl(lambda page: page, max_iterations=3).run({"todo": ["home"]})


def test_a_more_that_raises_or_gives_no_list_fails_the_call():
    with pytest.raises(KeyError, match="nowhere") as raised:
        crawl(lambda page: page).run({"todo": ["nowhere"]})
    assert "node 'fetch': more= raised KeyError" in str(raised.value.__notes__)
    with pytest.raises(RunError, match="more= what it gave is a str: give a list"):
        crawl(lambda page: page, more=lambda page: page).run({"todo": ["home"]})
    run = crawl(lambda page: page, on_error="continue").run({"todo": ["nowhere", "f2"]})
    assert run.state["found"] == [None, "f2"]
    assert [(f.index, type(f.error)) for f in run.failures] == [(0, CodeFailed)]


def test_a_run_that_is_taken_up_calls_only_what_had_not_ended():
    store, called, broken = open_store("memory://"), [], ["f1"]

    def once(page):
        called.append(page)
        if page in broken:
            raise ValueError(page)
        return page

    graph = crawl(once)
    with pytest.raises(ValueError, match="f1"):
        graph.run({"todo": ["home"]}, store=store, run_id="r")
    broken.clear()
    assert graph.resume("r").state["found"] == ALL
    assert sorted(called) == sorted([*ALL, "f1"])


def test_it_is_in_the_document_by_name_and_refused_without_over():
    tools = ToolRegistry()
    for tool in (fetch, links):
        tools.register(tool)
    graph = Graph("crawl").add_node("fetch", fetch, over="todo", into="found", more=links)
    again = Graph.from_dict(graph.to_dict(tools=tools), tools=tools)
    assert again.nodes["fetch"].more is links
    assert again.simulate(payload={"todo": ["home"]}).state["found"] == ALL
    with pytest.raises(GraphError, match="more= adds to the elements of over="):
        Graph("g").add_node("n", more=links).run({})
