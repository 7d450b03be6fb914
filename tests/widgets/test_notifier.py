"""Does a notice reach the browser, from the thread that brings it?"""

from __future__ import annotations

import json

import pytest

import flownb
from flownb.engine.orchestrator.notices import Notice
from flownb.widgets import notifier as module
from tests.support.live import live, one, until
from tests.ui.conftest import browser

__all__ = ["browser"]
SCRIPT = (module.Path(module.__file__).parent / "notifier.js").read_text("utf-8")


@pytest.mark.wallclock
@live
async def test_what_needs_a_person_is_told_with_its_graph_and_its_sentence(monkeypatch):
    bell, sent = flownb.notifier(), []
    monkeypatch.setattr(bell, "send", sent.append)
    async with one([1, 2], every=0.01).start() as orch:
        orch.on("completed", bell)
        await until(lambda: sent)
    assert (sent[0]["title"], sent[0]["text"]) == (
        "live: completed", "days has completed: 2 done, 0 failed",
    )  # fmt: skip
    assert [line[1:] for line in bell.notices] == [[sent[0]["title"], sent[0]["text"]]]
    assert repr(bell) == bell._repr_mimebundle_()[0]["text/plain"] == "Notifier(1 told)"


def test_only_the_last_notices_are_kept_and_none_is_endless(monkeypatch):
    bell = flownb.notifier()
    monkeypatch.setattr(bell, "send", lambda _: None)
    for number in range(50):
        bell(Notice("failed", "g", "days", "", f"{number} {'x' * 10_000}"))
    assert [line[2].split()[0] for line in bell.notices[:2]] == ["49", "48"]
    assert len(bell.notices) == 20
    assert max(len(line[2]) for line in bell.notices) <= 500


PAGE = """<!doctype html><div id="el"></div><script type="module">
const heard = {}, values = { notices: [] };
window.told = [];
window.Notification = class {
  constructor(title, options) { window.told.push([title, options.body]); }
  static permission = %s;
  static async requestPermission() { Notification.permission = "granted"; }
};
window.model = {
  get: (name) => values[name], on: (event, fn) => (heard[event] = fn), off() {},
  tell(message) {
    values.notices = [[1e9, message.title, message.text], ...values.notices];
    heard["change:notices"]();
    heard["msg:custom"](message);
  },
};
%s
shown.render({ model, el: document.getElementById("el") });
window.ready = true;
</script>"""


@pytest.mark.browser
@pytest.mark.wallclock
@pytest.mark.parametrize("permission", ["default", "denied"])
def test_the_browser_pops_it_up_once_a_person_has_allowed_it_and_else_it_stands_there(
    browser, permission
):
    page = browser.new_page()
    script = SCRIPT.replace("export default", "const shown =")
    page.set_content(PAGE % (json.dumps(permission), script))
    page.wait_for_function("window.ready")
    if permission == "default":
        page.get_by_role("button", name="Notify me").click()
        page.get_by_role("button", name="notifies you").wait_for()
    page.evaluate("model.tell({title: 'g: failed', text: '<b>no rain</b>', tag: '1'})")
    told = page.evaluate("told")
    assert told == ([["g: failed", "<b>no rain</b>"]] if permission == "default" else [])
    assert "g: failed: <b>no rain</b>" in page.get_by_role("log").inner_text()
    page.close()
