"""What do the tests of widgets share? Parts without a graph, and a comm that notes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flownb.widgets.part import Part

if TYPE_CHECKING:
    from flownb.widgets.base import Live

_PAGE = "<!doctype html><title>a bare page</title><body style='margin: 0'><div></div></body>"
_SHOW = """async ([script, style, scene, state]) => {
  const css = document.createElement("style");
  css.textContent = style;
  document.head.append(css);
  const view = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  const data = { scene: JSON.parse(scene), state: JSON.parse(state), selection: {} };
  const listeners = {};
  window.said = [];
  const fire = (name, value) => (listeners[name] ?? []).forEach((listen) => listen(value));
  window.heard = (kind, text) => {
    if (kind === "scene") data.scene = JSON.parse(text);
    fire(kind === "scene" ? "change:scene" : "msg:custom", JSON.parse(text));
  };
  const model = {
    get: (name) => data[name], set: (name, value) => { data[name] = value; },
    on: (name, listen) => (listeners[name] ??= []).push(listen), off: () => {},
    send: (command) => said.push(["command", JSON.stringify(command)]),
    save_changes: () => said.push(["selection", JSON.stringify(data.selection)]),
  };
  view.default.render({ model, el: document.querySelector("div") });
}"""


class BarePage:
    """A widget in a page without JupyterLab: what it says and hears goes by `tell()`.

    `size` counts the bytes of what the page has sent.
    """

    def __init__(self, page: Any, live: Live) -> None:
        self.page, self.live, self.size = page, live, 0
        self._outbox: list[tuple[str, str]] = []
        live.send = lambda content, buffers=None: self._put("message", content)
        live.observe(lambda change: self._put("scene", change["new"]), "scene")
        page.set_content(_PAGE)
        page.evaluate(_SHOW, [live._esm, live._css, *map(json.dumps, (live.scene, live.state))])
        self.tell()

    def _put(self, kind: str, value: Any) -> None:
        self._outbox.append((kind, json.dumps(value)))

    def tell(self) -> None:
        """Carry what was said to the other side, until the page is silent."""
        quiet = 0
        while quiet < 3:  # a choice is told after 120 ms
            self.page.wait_for_timeout(60)
            quiet += 1
            for kind, text in self.page.evaluate("said.splice(0)"):
                self.size += len(text)
                if kind == "selection":
                    self.live.selection = json.loads(text)
                else:
                    self.live._on_command(None, json.loads(text), None)
                quiet = 0
            while self._outbox:
                self.page.evaluate("([kind, text]) => heard(kind, text)", self._outbox.pop(0))


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
