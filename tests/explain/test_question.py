"""Is the answer to each question right, and does everybody get the same question?"""

from __future__ import annotations

import subprocess
import sys

import pytest

from flownb import Graph, GraphError, question
from flownb.engine.simulation.simulate import simulate
from flownb.explain.question import LEVELS
from flownb.notebook.graph.scene import scene, unanswered


@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_the_engine_gives_the_answer_that_is_called_right(level):
    for seed in range(30):
        asked = question(seed, level)
        assert simulate(asked.graph, iterations=1).releases("P") == [asked.answer]
        assert asked.check(asked.answer) == f"Yes, {asked.answer:g} s."


@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_there_are_four_choices_of_which_each_wrong_one_is_explained(level):
    for seed in range(30):
        asked = question(seed, level)
        assert len(set(asked.choices)) == 4
        assert list(asked.choices) == sorted(asked.choices)
        wrong = set(asked.choices) - {asked.answer}
        assert wrong <= asked.misread.keys()
        assert asked.answer not in asked.misread
        assert all(asked.check(guess).startswith("No: ") for guess in wrong)


def test_who_would_be_right_with_a_wrong_choice_is_right_there():
    for seed in range(30):
        asked = question(seed, 2)
        for seconds, words in asked.misread.items():
            if words.startswith("await policy"):
                policy = words.split('"')[1]
                assert simulate(asked.graph, iterations=1, policy=policy).releases("P") == [seconds]


def test_a_guess_that_nobody_has_is_told_so():
    assert question(4).check(3) == "No: by no reading of this graph."
    with pytest.raises(GraphError, match="guess"):
        question(4).check("long")


def test_questions_differ_and_the_same_seed_asks_the_same_in_another_process():
    made = [question(seed) for seed in range(10)]
    assert len({(asked.choices, asked.because) for asked in made}) > 8
    code = "from flownb import question; print(question(7, 3), question(7, 3).because)"
    told = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, text=True,
            capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert told == [f"{question(7, 3)} {question(7, 3).because}\n"] * 2


@pytest.mark.parametrize(("seed", "level"), [("x", 1), (1, 0), (1, 4), (1.5, 1)])
def test_a_seed_and_a_level_are_whole_numbers(seed, level):
    with pytest.raises(GraphError, match=r"question\(\): "):
        question(seed, level)


def test_the_picture_of_a_question_does_not_give_the_answer_away():
    def drawn(kind):
        graph = Graph("g").add_producer("P").add_node("a", kind="non_blocking", takes=1)
        graph.add_node("b", kind="non_blocking", takes=1).add_node("c", kind=kind, takes=1)
        return graph.add_edge("P", "a").add_edge("P", "b", "c")

    waits, goes_on = (unanswered(drawn(kind)) for kind in ("blocking", "non_blocking"))
    assert {line.style for line in scene(drawn("blocking")).lines} == {"awaited", "detached"}
    assert len({line.style for line in (*waits.lines, *goes_on.lines)}) == 1
    for found in (waits, goes_on):
        a, b = (box for box in found.boxes if box.name in {"a", "b"})
        assert (a.word, a.frame.width) == ("non-blocking · 1 s", b.frame.width)
        assert b.word == a.word
    assert "waits" not in waits.description


def test_in_a_cell_the_answer_is_folded_under_the_graph():
    html = question(4)._repr_mimebundle_()["text/html"]
    before, after = html.split("<summary>the answer</summary>")
    assert "When is P released" in before
    assert "<b>11 s</b>" in after
    assert "waits for this whole arm" in after
    assert "whole arm" not in before
