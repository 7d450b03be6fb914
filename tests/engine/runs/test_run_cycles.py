"""Does a run go round its cycles in passes, and does it come out again?"""

from __future__ import annotations

import pytest

from flownb import END, START, Graph, GraphError, IterationLimit, ToolRegistry


def visits(sim) -> list[str]:
    return [s.node for s in sim.timeline if s.kind == "work"]


def review() -> Graph:
    """Draft goes to two reviewers of unequal speed; the join sends it back twice."""
    return (
        Graph("review")
        .add_node("draft", lambda s: {"version": s.get("version", 0) + 1}, takes=1)
        .add_node("fast", lambda s: {"fast": s["version"]}, takes=1)
        .add_node("slow", lambda s: {"slow": s["version"]}, takes=2)
        .add_node("sum up", lambda s: {"said": [s["fast"], s["slow"]]}, takes=1)
        .add_if("again?", lambda s: s["version"] < 3)
        .add_node("print", takes=1)
        .add_edge("draft", "fast", "sum up", "again?")
        .add_edge("draft", "slow", "sum up")
        .add_edge("again?", "draft", when=True)
        .add_edge("again?", "print", when=False)
    )


def test_a_join_in_a_cycle_waits_anew_in_every_pass() -> None:
    once = ["draft", "fast", "slow", "sum up", "again?"]
    run = review().run({})
    assert sorted(run.visited) == sorted([*once * 3, "print"])
    assert run.state == {"version": 3, "fast": 3, "slow": 3, "said": [3, 3]}
    sim = review().simulate()
    assert visits(sim) == [*once * 3, "print"]
    assert sim.duration == 3 * 4 + 1


def test_a_node_says_at_which_visit_it_is() -> None:
    spans = review().simulate().timeline.spans
    assert [s.visit for s in spans if s.node == "sum up"] == [0, 1, 2]


def test_a_diamond_reached_by_a_condition_runs_its_join_once() -> None:
    graph = Graph("g")
    for name in ("a", "b", "c", "d", "e"):
        graph.add_node(name)
    graph.add_edge("a", "b", "c", "e").add_edge("a", "d", "e", condition=lambda _: True)
    assert graph.run({}).visited.count("e") == 1


def test_edges_that_leave_settle_when_nothing_goes_round_any_more() -> None:
    graph = (
        Graph("g")
        .add_node("a", lambda s: {"n": s["n"] + 1})
        .add_node("log", lambda s: {"logged": s["n"]})
        .add_if("more?", lambda s: s["n"] < 4)
        .add_edge("a", "more?")
        .add_edge("a", "log")
        .add_edge("more?", "a", when=True)
    )
    run = graph.run({"n": 0})
    assert run.visited.count("log") == 1
    assert run.state == {"n": 4, "logged": 4}


def test_a_cycle_in_which_two_edges_lead_back_to_one_node_runs_it_once_a_pass() -> None:
    graph = Graph("g", reducers={"trail": lambda a, b: a + b})
    for name in ("a", "b", "c"):
        graph.add_node(name, lambda _, name=name: {"trail": name})
    graph.add_edge("a", "b").add_edge("a", "c")
    graph.add_edge("b", "a", condition=lambda s: len(s["trail"]) < 5)
    graph.add_edge("c", "a", condition=lambda s: len(s["trail"]) < 5)
    graph.add_node("end").add_edge("b", "end", condition=lambda s: len(s["trail"]) >= 5)
    graph.add_edge("c", "end", condition=lambda s: len(s["trail"]) >= 5)
    run = graph.run({"trail": ""})
    assert (run.visited.count("a"), run.state) == (2, {"trail": "abcabc"})


def test_each_node_may_have_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = review().add_node("fast", lambda s: {"fast": 0}, max_iterations=2, takes=1)
    with pytest.raises(IterationLimit, match=r"'fast'.*2 times"):
        graph.run({})
    monkeypatch.setenv("FLOWNB_MAX_ITERATIONS", "1")
    with pytest.raises(IterationLimit) as limit:
        review().run({})
    assert limit.value.state == {"version": 1, "fast": 1, "slow": 1, "said": [1, 1]}
    monkeypatch.setenv("FLOWNB_MAX_ITERATIONS", "many")
    with pytest.raises(GraphError, match="FLOWNB_MAX_ITERATIONS=many"):
        review().run({})


def test_a_step_limit_of_one_is_an_error_and_no_half_answer() -> None:
    graph = Graph("g").add_node("inc", lambda x: x + 1).add_if("again?", lambda x: x < 4)
    graph.add_edge("inc", "again?").add_edge("again?", "inc", when=True)
    assert graph.run(2).state == 4
    with pytest.raises(IterationLimit):
        graph.run(2, max_iterations=1)


def test_a_cycle_without_an_exit_is_an_error_and_so_is_one_in_a_loop() -> None:
    ring = Graph("ring").add_node("a").add_node("b").add_edge("a", "b", "a")
    assert [str(p) for p in ring.validate()] == [
        "cycle a -> b -> a has no exit: put an if in it, or a condition= on an edge"
    ]
    both = Graph("both").add_node("a").add_if("i").add_node("b")
    both.add_edge("a", "i").add_edge("i", "a", when=True).add_edge("i", "b", "a", when=False)
    assert "no edge leaves it" in str(both.validate()[0])
    loop = Graph("loop").add_producer("p", [1]).add_node("a").add_node("b")
    loop.add_edge("p", "a", "b", "a")
    assert "items of a loop flow one way" in str(loop.validate()[0])


def test_other_joins_than_all_are_refused_in_a_cycle() -> None:
    graph = review().add_node("sum up", join="first")
    assert any("no meaning in a cycle" in str(p) for p in graph.validate())


def test_langgraphs_words_build_the_same_run() -> None:
    graph = (
        Graph("lg")
        .add_node("draft", lambda s: {"n": s["n"] + 1})
        .add_node("ship", lambda _: {"shipped": True})
        .add_edge(START, "draft")
        .add_conditional_edges(
            "draft", lambda s: "go" if s["n"] > 1 else "again", {"again": "draft", "go": "ship"}
        )
        .add_edge("ship", END)
    )
    run = graph.run({"n": 0})
    assert run.visited == ["draft", "draft?", "draft", "draft?", "ship", END]
    assert run.state == {"n": 2, "shipped": True}
    assert graph.entry_points == ["draft"]


def test_a_router_may_lead_to_the_end_and_a_second_definition_replaces_it() -> None:
    graph = Graph("g").add_node("a", lambda s: {"n": s["n"] + 1})
    for limit in (2, 3):
        graph.add_conditional_edges("a", lambda s, m=limit: s["n"] < m, {True: "a", False: END})
    assert graph.run({"n": 0}).state == {"n": 3}
    with pytest.raises(GraphError, match="say where its answers lead"):
        graph.add_conditional_edges("a", bool)


def test_an_entry_point_that_is_not_there_or_leads_not_everywhere_is_told() -> None:
    graph = Graph("g").add_node("a").add_node("b").set_entry_point("a")
    assert "node 'b': no entry point leads here" in str(graph.validate()[0])
    assert "there is no such node" in str(graph.set_entry_point("c").validate()[0])


def test_the_picture_of_a_cycle_is_drawn_and_explained() -> None:
    graph = review()
    assert graph.svg().count("<path") > 5
    assert "review" in repr(graph.explain())


def test_a_node_that_leads_back_to_itself_needs_a_way_on() -> None:
    graph = Graph("g").add_node("a", lambda s: {"n": s["n"] + 1}).add_node("end")
    graph.add_edge("a", "a", condition=lambda s: s["n"] < 3)
    assert "no edge leaves it" in str(graph.validate()[0])
    graph.add_edge("a", "end", condition=lambda s: s["n"] >= 3)
    assert graph.run({"n": 0}).visited == ["a", "a", "a", "end"]


def test_a_run_and_its_simulation_end_in_the_same_state() -> None:
    graph = review()
    assert graph.simulate().state == graph.run({}).state
    with pytest.raises(IterationLimit):
        graph.simulate(max_iterations=2)


def test_two_cycles_one_behind_the_other_and_one_inside_another() -> None:
    graph = Graph("nested", reducers={"trail": lambda a, b: a + b})
    for name in "abcd":
        graph.add_node(name, lambda _, name=name: {"trail": name})
    graph.add_if("inner", lambda s: s["trail"].count("b") % 2 == 1)
    graph.add_if("outer", lambda s: s["trail"].count("a") < 2)
    graph.add_if("last", lambda s: s["trail"].count("d") < 2)
    graph.add_edge("a", "b", "inner").add_edge("inner", "b", when=True)
    graph.add_edge("inner", "c", when=False).add_edge("c", "outer")
    graph.add_edge("outer", "a", when=True).add_edge("outer", "d", when=False)
    graph.add_edge("d", "last").add_edge("last", "d", when=True)
    assert graph.run({"trail": ""}).state == {"trail": "abbcabbcdd"}
    assert graph.simulate(payload={"trail": ""}).state == {"trail": "abbcabbcdd"}


def test_a_cycle_that_is_bypassed_holds_nobody_up() -> None:
    graph = Graph("g").add_if("work?", lambda s: s["work"]).add_node("a").add_node("end")
    graph.add_if("more?", lambda _: False).add_node("after")
    graph.add_edge("work?", "a", when=True).add_edge("a", "more?")
    graph.add_edge("more?", "a", when=True).add_edge("more?", "end", when=False)
    graph.add_edge("work?", "after", when=False).add_edge("after", "end")
    assert graph.run({"work": False}).visited == ["work?", "after", "end"]
    assert graph.run({"work": True}).visited == ["work?", "a", "more?", "end"]


def test_a_failure_in_a_cycle_ends_it_and_tells_the_nodes_behind() -> None:
    def third(s):
        if s["n"] == 2:
            raise ValueError("third")
        return {"n": s["n"] + 1}

    graph = Graph("g").add_node("a", third).add_if("more?", lambda _: True).add_node("end")
    graph.add_edge("a", "more?").add_edge("more?", "a", when=True)
    graph.add_edge("more?", "end", when=False)
    with pytest.raises(ValueError, match="third"):
        graph.run({"n": 0})
    run = graph.last_run
    assert run is not None
    assert (run.state, run.nodes["end"]) == ({"n": 2}, "pending")


def test_a_description_of_a_cyclic_graph_builds_the_same_graph() -> None:
    tools = ToolRegistry()
    for name, fn in (("inc", lambda s: {"n": s["n"] + 1}), ("less", lambda s: s["n"] < 3)):
        tools.register(name, fn)
    graph = Graph("g").add_node("a", tools.get("inc"), max_iterations=9, on_error="stop")
    graph.add_conditional_edges("a", tools.get("less"), {True: "a", False: END})
    graph.add_node("m", tools.get("inc"), over="xs", into="ys").add_edge("b", "m", END)
    graph.add_node("b").add_edge(START, ["a", "b"])
    again = Graph.from_dict(graph.to_dict(tools=tools), tools=tools)
    assert again.to_dict(tools=tools) == graph.to_dict(tools=tools)
    assert again.entry_points == ["a", "b"]
    assert again.run({"n": 0, "xs": []}).state == {"n": 3, "xs": [], "ys": []}


def first_review(*, cancel: bool) -> Graph:
    """Review again: the first of two reviewers is enough to go on."""
    graph = review().add_node("start").add_edge("start", "draft")
    return graph.add_node("sum up", join="first", cancel=cancel, takes=1)


def test_a_discriminator_lets_the_others_finish_and_is_reset_in_every_pass() -> None:
    """It goes on at the first input of each pass; the pass lasts until the slower one has ended."""
    graph = first_review(cancel=False)
    once = ["draft", "fast", "slow", "sum up", "again?"]
    sim = graph.simulate()
    assert visits(sim) == ["start", *once * 3, "print"]
    assert [s.start for s in sim.timeline if s.node == "sum up"] == [2, 5, 8]
    assert sorted(graph.run({}).visited) == sorted(["start", *once * 3, "print"])


def test_a_discriminator_that_cancels_is_refused_in_a_cycle() -> None:
    with pytest.raises(GraphError, match=r"'sum up': join='first' .* join='first' with cancel=F"):
        first_review(cancel=True).run({})


def test_an_edge_to_itself_inside_a_cycle_is_part_of_that_cycle():
    graph = Graph("g").add_node("a", lambda s: {"n": s["n"] + 1}).add_node("b").add_node("end")
    graph.add_if("enough?", lambda s: s["n"] > 4).add_edge("b", "a")
    graph.add_edge("a", "a", condition=lambda s: s["n"] % 2 == 1)
    graph.add_edge("a", "enough?", condition=lambda s: s["n"] % 2 == 0)
    graph.add_edge("enough?", "b", when=False).add_edge("enough?", "end", when=True)
    run = graph.run({"n": 0})
    assert run.state == {"n": 6}
    assert run.visited == [*("a", "a", "enough?", "b") * 2, "a", "a", "enough?", "end"]
