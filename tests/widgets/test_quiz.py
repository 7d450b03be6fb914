"""Does the quiz ask, take a guess, and say then, and not before, why?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from flownb import GraphError, question, quiz
from flownb.widgets.quiz import Quiz


def part(count: int = 3) -> Quiz:
    return Quiz([question(4 + n) for n in range(count)])


def ask(made: Quiz, do: str, **command: Any) -> dict[str, Any]:
    before = made.version()
    made.commands()[do]({"do": do, **command})
    return {**made.scene(), "changed": made.version() != before}


def test_a_question_does_not_tell_its_answer():
    scene = part().scene()
    assert (scene["number"], scene["of"], scene["choices"]) == (1, 3, [9, 11, 16, 27])
    assert not {"answer", "because", "gantt"} & scene.keys()
    assert "waits for this" not in json.dumps(scene)


def test_a_guess_is_answered_with_reasons_and_the_gantt():
    scene = ask(part(), "guess", seconds=16)
    assert (scene["guess"], scene["answer"]) == (16, 11)
    assert scene["verdict"] == 'No: await policy "all" gives that.'
    assert scene["because"][-1] == "released after 11 s: c 9 s + d 2 s"
    assert scene["gantt"]["width"] > 0
    assert (scene["right"], scene["guessed"], scene["changed"]) == (0, 1, True)


def test_only_the_first_guess_counts_and_only_one_that_is_offered():
    made = part()
    assert "answer" not in ask(made, "guess", seconds=3)
    ask(made, "guess", seconds=11)
    scene = ask(made, "guess", seconds=16)
    assert (scene["guess"], scene["right"], scene["changed"]) == (11, 1, False)


def test_one_goes_on_and_back_and_begins_anew():
    made = part()
    ask(made, "guess", seconds=11)
    assert ask(made, "go", way="back")["number"] == 1
    assert [ask(made, "go", way="next")["number"] for _ in range(3)] == [2, 3, 3]
    scene = ask(made, "go", way="back")
    assert "answer" not in scene
    assert ask(made, "go", way="back")["answer"] == 11
    assert ask(made, "anew")["guessed"] == 0


def test_of_an_if_the_answer_draws_no_chain_of_the_other_case():
    made = Quiz([question(7, 3)])
    scene = ask(made, "guess", seconds=3)
    assert "critical chain" not in json.dumps(scene["picture"])
    assert "critical chain" in json.dumps(ask(part(), "guess", seconds=9)["picture"])


def test_the_still_has_the_question_and_what_was_guessed():
    made = part()
    assert "Question 1 of 3: <b>When is P released" in made.still()
    assert "right</summary>" not in made.still()
    ask(made, "guess", seconds=11)
    ask(made, "go", way="next")
    assert "1 of 1 right</summary>" in made.still()
    assert "<svg" in made.still()


def test_a_quiz_gets_harder_or_stays_at_its_level():
    view = quiz(2, questions=6)
    levels = [asked.level for asked in view._parts["quiz"]._questions]
    seeds = [asked.seed for asked in view._parts["quiz"]._questions]
    assert (levels, seeds) == ([1, 1, 2, 2, 3, 3], [2, 3, 4, 5, 6, 7])
    assert repr(view) == "Live(quiz of quiz 2)"
    assert {q.level for q in quiz(2, level=2)._parts["quiz"]._questions} == {2}
    with pytest.raises(GraphError, match="questions"):
        quiz(2, questions=0)
