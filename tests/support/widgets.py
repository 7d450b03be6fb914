"""What do the tests of widgets share? Parts without a graph, and a comm that notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flownb.widgets.part import Part

if TYPE_CHECKING:
    from flownb.widgets.base import Live


class Counter(Part):
    """A part whose state is what the test says; it borrows the script of the graph."""

    name = "dag"

    def __init__(self):
        self.values, self.edits, self.chosen, self.asked = {"a": 0}, 0, [], []

    def version(self):
        return self.edits

    def scene(self):
        return {"edits": self.edits}

    def state(self):
        return dict(self.values)

    def select(self, value):
        self.chosen.append(value)

    def commands(self):
        return {"ask": self.asked.append, "fail": self.fail}

    def fail(self, command):
        raise ValueError("this cannot be done")

    def still(self):
        return f"<p>{self.values['a']}</p>"


def noted(live: Live) -> list[dict]:
    """Give the list that takes what the widget sends from now on."""
    sent: list[dict] = []
    live.send = lambda content, buffers=None: sent.append(content)
    return sent
