"""Who waits? Questions to click through: guess the release, then see why, and the Gantt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from flownb.arguments import checked, whole
from flownb.engine.runtime import running_loop
from flownb.engine.simulation.simulate import simulate
from flownb.explain.explanation import explain
from flownb.explain.question import LEVELS, question
from flownb.notebook.gantt import chart
from flownb.notebook.graph import awaited
from flownb.notebook.graph.scene import draw, scene, unanswered
from flownb.notebook.picture.table import table
from flownb.notebook.repr import page
from flownb.widgets.base import Live
from flownb.widgets.part import Command, Part, shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from flownb.explain.question import Question
    from flownb.notebook.picture.shapes import Picture

_QUESTIONS: Final = whole("questions", least=1, most=100)


def quiz(seed: int = 0, *, questions: int = 5, level: int | None = None) -> Live:
    """Ask who waits, in a widget: guess when the producer is released, then see why.

    It asks `question(seed)`, `question(seed + 1)` and so on: the same for everybody with the same
    *seed*. *level* is that of all *questions* (1 to 3); without it they get harder.
    """
    checked("quiz()", "questions", questions, _QUESTIONS)
    levels = [level or 1 + LEVELS * number // questions for number in range(questions)]
    asked = [question(seed + number, each) for number, each in enumerate(levels)]
    return Live([Quiz(asked)], home=running_loop(), over=lambda: True, title=f"quiz {seed}")


class Quiz(Part):
    """Questions, one after the other, and what was answered."""

    name: ClassVar[str] = "quiz"

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = questions
        self._at, self._guesses = 0, dict[int, float]()

    def version(self) -> Hashable:
        """Change with each answer."""
        return self._at, len(self._guesses)

    def commands(self) -> Mapping[str, Callable[[Command], Any]]:
        """Take a guess, or go on."""
        return {"guess": self._guess, "go": self._go, "anew": lambda _: self._anew()}

    def _guess(self, command: Command) -> None:
        guess = float(command.get("seconds") or 0.0)
        if guess in self._asked.choices:
            self._guesses.setdefault(self._at, guess)

    def _go(self, command: Command) -> None:
        to = self._at + (1 if command.get("way") == "next" else -1)
        self._at = min(max(to, 0), len(self._questions) - 1)

    def _anew(self) -> None:
        self._at = 0
        self._guesses.clear()

    @property
    def _asked(self) -> Question:
        return self._questions[self._at]

    @property
    def right(self) -> int:
        """How many questions were answered rightly."""
        return sum(self._questions[n].answer == guess for n, guess in self._guesses.items())

    def scene(self) -> dict[str, Any]:
        """Give the question that is asked, and the answer once somebody has guessed."""
        asked, guess = self._asked, self._guesses.get(self._at)
        found = {
            "number": self._at + 1,
            "of": len(self._questions),
            "right": self.right,
            "guessed": len(self._guesses),
            "ask": asked.ask,
            "choices": list(asked.choices),
            "guess": guess,
            "picture": shapes(self._picture()),
        }
        if guess is None:
            return found
        return found | {
            "answer": asked.answer,
            "verdict": asked.check(guess),
            "because": list(asked.because),
            "gantt": shapes(self._gantt()),
        }

    def _picture(self) -> Picture:
        graph = self._asked.graph
        if self._at not in self._guesses:
            return draw(unanswered(graph))
        ifs = any(node.kind == "if" for node in graph.nodes.values())
        # the critical chain is that of the worst case, whatever the if says
        return (None if ifs else awaited.draw(explain(graph))) or draw(scene(graph))

    def _gantt(self) -> Picture:
        return chart.draw(simulate(self._asked.graph, iterations=2).timeline)

    def still(self) -> str:
        """Give the picture of the question, and what was guessed."""
        rows = [
            [n + 1, q.ask, f"{self._guesses[n]:g} s", q.check(self._guesses[n])]
            for n, q in enumerate(self._questions)
            if n in self._guesses
        ]
        asked = self._asked
        choices = " · ".join(f"{seconds:g} s" for seconds in asked.choices)
        head = f"Question {self._at + 1} of {len(self._questions)}"
        folded = [
            ("", f"<p>{head}: <b>{asked.ask.replace(chr(34), '&quot;')}</b></p><p>{choices}</p>")
        ]
        if rows:
            title = f"{self.right} of {len(self._guesses)} right"
            folded.append((title, table(["", "question", "guessed", ""], rows)))
        return page(self._picture(), folded)
