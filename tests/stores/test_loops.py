"""Is the checkpoint of a loop kept whole, and by one process only, wherever it is kept?"""

from __future__ import annotations

import threading

import pytest

from flownb.errors import LoopTaken
from flownb.stores import LoopRecord


def record(number=1, graph="weather", loop="days", **more):
    facts = {"owner": "me", "saved": 100.5, "status": "running", "position": 7 * number}
    texts = {"content": '{"a":"é\\u0000"}', "counts": "{}"}
    return LoopRecord(graph, loop, number, **(facts | texts | more))


def test_a_checkpoint_comes_back_as_it_was_saved(store):
    store.loops.save(record())
    assert store.loops.find("weather", "days") == record()
    assert store.loops.find("weather", "nights") is None


def test_each_save_replaces_the_one_before(store):
    for number in (1, 2, 3):
        store.loops.save(record(number))
    assert store.loops.find("weather", "days") == record(3)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_save_that_does_not_follow_is_refused_and_changes_nothing(store, number):
    for kept in (1, 2):
        store.loops.save(record(kept))
    with pytest.raises(LoopTaken, match="loop 'days' of graph 'weather' is carried on by somebody"):
        store.loops.save(record(number, owner="another"))
    assert store.loops.find("weather", "days") == record(2)


def test_a_first_save_with_a_later_number_is_refused(store):
    with pytest.raises(LoopTaken):
        store.loops.save(record(2))
    assert store.loops.find("weather", "days") is None


def test_names_are_kept_apart_whatever_they_are(store):
    names = [("a:b", "c"), ("a", "b:c"), ('a", "b', "c"), ("a", 'b", "c')]
    for at, (graph, loop) in enumerate(names):
        store.loops.save(record(1, graph, loop, position=at))
    assert [store.loops.find(*name).position for name in names] == [0, 1, 2, 3]


def test_checkpoints_are_listed_light_and_forgotten_by_loop_or_graph(store):
    for graph, loop in (("b", "x"), ("a", "z"), ("a", "y")):
        store.loops.save(record(1, graph, loop))
    assert [(r.graph, r.loop) for r in store.loops.list()] == [("a", "y"), ("a", "z"), ("b", "x")]
    assert {r.content + r.counts for r in store.loops.list(graph="a")} == {""}
    assert store.loops.delete("a", "y")
    assert not store.loops.delete("a", "y")
    assert [r.loop for r in store.loops.list()] == ["z", "x"]
    assert store.loops.delete("a")
    assert [r.graph for r in store.loops.list()] == ["b"]
    store.loops.save(record(1, "a", "y"))


def test_a_checkpoint_is_there_for_the_next_process(store, address):
    if address == "memory://":
        pytest.skip("nothing of it outlives the process")
    from flownb.stores import open_store

    store.loops.save(record())
    store.close()
    other = open_store(address)
    assert other.loops.find("weather", "days") == record()
    other.loops.save(record(2))
    other.close()
    with pytest.raises(LoopTaken):
        store.loops.save(record(2, owner="late"))


def test_of_many_that_save_at_once_one_succeeds(store):
    store.loops.save(record())
    won, lost = [], []

    def save(owner):
        try:
            store.loops.save(record(2, owner=owner))
            won.append(owner)
        except LoopTaken:
            lost.append(owner)

    threads = [threading.Thread(target=save, args=(f"o{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    assert store.loops.find("weather", "days").owner == won[0]
