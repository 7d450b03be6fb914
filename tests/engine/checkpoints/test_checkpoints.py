"""Does a loop go on where its checkpoint says, whatever crashed it and when?"""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flownb import Graph
from flownb.engine.checkpoints.record import Position, read
from flownb.errors import StoreError
from flownb.stores.codec import decode
from tests.support.lives import Life, lives

FEW = 7


def looped(source=None, *, seen=None, takes=1.0, audit=None, interval=1.0, **loop):
    """P -> fold (blocking, keeps ctx.state), and a detached audit that lasts as *audit* says."""
    noted = [] if seen is None else seen

    async def fold(item, ctx):
        await ctx.sleep(takes)
        ctx.state[str(item)] = item * item
        noted.append(item)

    async def look(item, ctx):
        await ctx.sleep(audit(item))
        ctx.state[str(item)] = -item

    graph = Graph("g").add_producer("p", range(FEW) if source is None else source)
    graph.add_node("fold", fold).add_edge("p", "fold")
    if audit is not None:
        graph.add_node("look", look, kind="non_blocking").add_edge("p", "look")
    return graph.set_loop("p", checkpoint="here", persistence_interval=interval, **loop)


def states_of(life):
    return dict(read(life.left, "p")["states"])


# -- the position ----------------------------------------------------------------


@given(st.permutations(range(12)), st.integers(0, 12))
def test_a_position_knows_exactly_what_is_done(order, count):
    position = Position()
    for number in order[:count]:
        position.done(number)
    done = set(order[:count])
    assert {n for n in range(15) if position.covers(n)} == done
    assert position.first == next(n for n in range(14) if n not in done)
    assert position.end == max(done, default=-1) + 1
    again = Position(position.first, json.loads(json.dumps(position.beyond)))
    assert {n for n in range(15) if again.covers(n)} == done


# -- going on --------------------------------------------------------------------


def test_a_loop_goes_on_behind_the_last_item_that_is_done():
    first, second = lives(looped, [3.5])
    assert first.ran("fold") == [0, 1, 2]
    assert second.ran("fold") == [3, 4, 5, 6]
    assert (second.manager.made, second.state) == (FEW, "completed")


def test_the_state_of_a_node_is_that_of_the_position():
    first, second = lives(looped, [4.5])
    assert states_of(first) == {"fold": {str(n): n * n for n in range(4)}}
    assert states_of(second) == {"fold": {str(n): n * n for n in range(FEW)}}


def test_a_loop_that_has_completed_has_nothing_to_do_when_started_again():
    first = Life(looped()).run()
    second = Life(looped(), first.left).run()
    assert (second.ran("fold"), second.state) == ([], "completed")
    assert states_of(second) == states_of(first)


def test_a_source_that_has_grown_goes_on_with_what_is_new():
    first = Life(looped(range(3))).run()
    assert Life(looped(range(5)), first.left).run().ran("fold") == [3, 4]


def test_an_item_done_out_of_order_is_not_made_again():
    """Item 1 is looked at for ever; the others are done beyond it."""

    def make():
        return looped(audit=lambda item: 100 if item == 1 else 0.5)

    first, second = lives(make, [5.2])
    assert read(first.left, "p")["position"] == 1
    assert read(first.left, "p")["beyond"] == [[2, 4]]
    assert second.ran("fold") == [1, 4, 5, 6]


def test_without_a_checkpoint_in_the_store_a_loop_begins_at_its_first_item():
    _, second = lives(looped, [3.5], answers=None)
    assert second.ran("fold") == list(range(FEW))


def test_a_checkpoint_waits_for_a_moment_when_nothing_is_open():
    life = Life(looped(audit=lambda _: 0.3, interval=2.0)).run()
    done = [(second, s.position) for second, s in life.snapshots]
    assert done[0] == (1.0, 1)
    assert all(second == position for second, position in done)


def test_a_loop_that_is_never_at_rest_is_kept_all_the_same():
    life = Life(looped(range(40), audit=lambda _: 2.5), crash=20.3).run()
    assert len(life.snapshots) >= 5
    assert read(life.left, "p")["position"] >= 12


def test_with_an_interval_of_0_every_item_is_kept_before_the_next_is_made():
    life = Life(looped(interval=0), answers=0.25).run()
    positions = [s.position for _, s in life.snapshots]
    assert positions[:-1] == list(range(1, FEW + 1))
    begun = [s.start for s in life.history.spans() if s.node == "fold"]
    assert begun == [n * 1.25 for n in range(FEW)]


def test_a_paused_and_a_stopped_loop_are_kept_as_they_stand():
    life = Life(looped(interval=60))
    life.at(2.5, life.manager.control.pause).at(4.5, life.manager.control.resume).at(
        5.6, life.manager.control.stop
    )
    life.run()
    assert [(second, s.status, s.position) for second, s in life.snapshots] == [
        (1.0, "running", 1),
        (3.0, "paused", 3),
        (5.6, "stopping", 4),
        (6.5, "stopped", 5),
    ]


def test_a_store_that_is_silent_does_not_hold_the_end_of_a_loop_for_long():
    life = Life(looped(), answers=None)
    life.at(3.2, life.manager.control.stop, 0.1).run()
    assert life.state == "stopped"
    assert life.loop.time() < 4.5


# -- items that did not end well -------------------------------------------------


def failing(on_error):
    def make():
        def check(item):
            if item == 2:
                raise ValueError(item)

        graph = Graph("g").add_producer("p", range(5), takes=1).add_node("fold", check)
        graph.add_edge("p", "fold").set_loop("p", checkpoint="here", on_error=on_error)
        return graph

    return make


def test_an_item_that_failed_and_was_skipped_is_done_with():
    first = Life(failing("skip")()).run()
    assert Life(failing("skip")(), first.left).run().ran("fold") == []


def test_an_item_that_ended_its_loop_is_the_first_one_again():
    first = Life(failing("stop")()).run()
    second = Life(failing("stop")(), first.left).run()
    assert (first.state, second.state) == ("error", "error")
    assert second.ran("fold") == [2]


def test_an_item_that_paused_its_loop_is_the_first_one_again():
    first = Life(failing("pause")(), crash=9).run()
    second = Life(failing("skip")(), first.left).run()
    assert second.ran("fold") == [2, 3, 4]


# -- sources ---------------------------------------------------------------------


def generator():
    yield from range(FEW)


async def agenerator():
    for item in range(FEW):
        yield item


def at_position(ctx):
    yield from range(ctx.position, FEW)


def by_position(ctx):
    if ctx.position == FEW:
        raise StopIteration
    return ctx.position


def by_cursor(ctx):
    page = ctx.state.get("page", 0)
    if page == FEW:
        raise StopIteration
    ctx.state["page"] = page + 1
    return page


def cursor_generator(ctx):
    for page in range(ctx.state.get("page", 0), FEW):
        ctx.state["page"] = page + 1
        yield page


def only_logs(ctx):
    ctx.log("begins")
    yield from range(FEW)


SOURCES = {
    f.__name__: f
    for f in (
        generator, agenerator, at_position, by_position, by_cursor, cursor_generator, only_logs
    )
} | {"list": list(range(FEW)), "range": range(FEW)}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_source_goes_on(source):
    seen = []
    found = lives(lambda: looped(SOURCES[source], seen=seen), [2.5, 2.5])
    assert seen == list(range(FEW))
    assert found[-1].state == "completed"
    assert states_of(found[-1])["fold"] == {str(n): n * n for n in range(FEW)}


@pytest.mark.parametrize("source", SOURCES)
def test_no_source_loses_what_was_in_flight(source):
    """Item 1 is open when the crash comes, items behind it are done."""
    seen = []

    def make():
        return looped(SOURCES[source], seen=seen, audit=lambda n: 4.6 if n == 1 else 0.1)

    _, second = lives(make, [5.3])
    assert set(seen) == set(range(FEW))
    assert states_of(second)["look"] == {str(n): -n for n in range(FEW)}


def test_what_a_function_cannot_make_again_is_said():
    """It knows neither where to go on nor where it was."""

    def make():
        numbers = iter(range(100, 100 + FEW))
        return looped(lambda: next(numbers), audit=lambda n: 50 if n == 101 else 0.1)

    first, second = lives(make, [6.1])
    assert not [line for line in first.history.logs if line.level == "warning"]
    (warned,) = [line.text for line in second.history.logs if line.level == "warning"]
    assert warned == (
        "items that were under way when it was kept: 2; its producer cannot make them again, a "
        "function has to ask for ctx.position or keep ctx.state"
    )


def test_a_source_that_counts_by_itself_goes_on_counting():
    graph = looped(None)
    graph.add_producer("p")
    first = Life(graph, crash=4.5).run()
    assert Life(graph, first.left, crash=3.5).run().ran("fold") == [4, 5, 6]


def test_what_has_nothing_now_counts_for_nothing():
    source = [0, None, 1, None, None, 2, 3]
    first, second = lives(lambda: looped(source), [2.5])
    assert (first.ran("fold"), second.ran("fold")) == ([0, 1], [2, 3])


def test_a_source_that_breaks_on_its_way_back_is_a_failed_tick():
    times = []

    def source():
        times.append(1)
        yield 0
        if len(times) > 1:
            raise OSError("the file is gone")
        yield from (1, 2, 3)

    _, second = lives(lambda: looped(source), [2.5])
    assert [str(f.error) for f in second.history.failures] == ["the file is gone"]
    assert second.ran("fold") == []


def test_an_iterator_that_runs_already_goes_on_where_it_stands():
    graph = looped(iter(range(FEW)))
    first = Life(graph)
    first.at(2.5, first.manager.control.stop).run()
    assert (first.ran("fold"), Life(graph, first.left).run().ran("fold")) == (
        [0, 1, 2],
        [3, 4, 5, 6],
    )


def test_an_iterator_that_cannot_give_an_item_again_says_so():
    graph = looped(iter(range(FEW)))
    first = Life(graph)
    first.at(2.5, first.manager.control.stop, 0.1).run()
    second = Life(graph, first.left).run()
    assert second.state == "error"
    assert "item 2 was not done, and its source, a range_iterator that runs already" in str(
        second.manager.error
    )


# -- what cannot be kept ---------------------------------------------------------


def test_a_state_that_cannot_be_kept_ends_the_loop_and_names_node_and_key():
    def fold(item, ctx):
        ctx.state.setdefault("seen", []).append({item})

    graph = Graph("g").add_producer("p", range(3), takes=1).add_node("fold", fold)
    life = Life(graph.add_edge("p", "fold").set_loop("p", checkpoint="here")).run()
    assert life.state == "error"
    assert str(life.manager.error).startswith(
        "node 'fold' (loop 'p'): its ctx.state cannot be kept: .seen[0]: set is not JSON"
    )


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format":1}', '{"format":1,"beyond":3,"states":[]}', '{"format":"x"}', "7"],
)
def test_a_broken_checkpoint_is_an_error_that_says_what_to_do(text):
    with pytest.raises(StoreError, match=r"loop 'p': its checkpoint .*graph.start\(fresh=True\)"):
        read(text, "p")


def test_a_checkpoint_of_a_newer_flownb_is_refused():
    kept = decode(Life(looped(range(2))).run().left) | {"format": 2}
    with pytest.raises(StoreError, match=r"another version of flownb \(format 2, this one reads 1"):
        read(json.dumps(kept), "p")


# -- the law ---------------------------------------------------------------------


LAW = given(
    crashes=st.lists(st.floats(0.01, 12).map(lambda s: round(s, 2)), max_size=4),
    lengths=st.lists(st.sampled_from([0.0, 0.4, 1.0, 2.7, 6.3]), min_size=FEW, max_size=FEW),
    interval=st.sampled_from([0, 0.5, 2.0]),
    answers=st.sampled_from([0.0, 0.3, 2.0]),
    source=st.sampled_from(sorted(SOURCES)),
    takes=st.sampled_from([0.2, 1.0]),
    policy=st.sampled_from(["path", "none", "all"]),
)


def survives(*, crashes, lengths, interval, answers, source, takes, policy):
    """No item is lost or made twice in one life, the last state is that of a clean run."""

    def make():
        return looped(
            SOURCES[source], seen=seen, takes=takes, audit=lambda n: lengths[n],
            interval=interval, await_policy=policy, max_in_flight=4,
        )  # fmt: skip

    seen = []
    kept = ""
    for crash in [*crashes, None]:
        before = len(seen)
        first = read(kept, "p")["position"] if kept else 0
        life = Life(make(), kept, crash=crash, answers=answers).run()
        again = Counter(seen[before:])
        assert all(n >= first for n in again), "an item below the frontier was made again"
        assert max(again.values(), default=1) == 1
        kept = life.left
    assert life.state == "completed"
    assert set(seen) == set(range(FEW))
    assert states_of(life)["fold"] == {str(n): n * n for n in range(FEW)}
    assert states_of(life)["look"] == {str(n): -n for n in range(FEW)}
    assert read(kept, "p")["position"] == FEW


@settings(max_examples=100, deadline=None)
@LAW
@example(
    crashes=[1.0], lengths=[1.0, 0, 0, 0, 0, 0, 0], interval=0, answers=0.0, source="by_cursor",
    takes=0.2, policy="path",
)  # fmt: skip
def test_whenever_it_crashes_no_item_is_lost_and_the_state_is_that_of_a_clean_run(**case):
    survives(**case)


@pytest.mark.nightly
@settings(max_examples=5000, deadline=None)
@LAW
def test_the_same_of_5_000_lives(**case):
    survives(**case)
