"""Is a loop named whose process keeps a module as it was before it was edited?"""

from __future__ import annotations

import importlib
import os
import sys
import time
import types
from pathlib import Path

import pytest

from flownb.engine.remote.environment import Imports
from tests.support.live import live, one

pytestmark = pytest.mark.wallclock


@live
async def test_who_applies_edits_is_told_that_a_process_keeps_a_module_that_was_edited(
    tmp_path, monkeypatch, capsys
):
    file = tmp_path / "recently_edited.py"
    file.write_text("def check(n):\n    return 'old'\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("recently_edited")
    orch = one(every=0.01, fn=module.check, pool="process").start()
    await orch.wait(iterations=1, timeout=30)
    await orch.apply()
    assert capsys.readouterr().out == ""
    file.write_text("def check(n):\n    return 'the new one'\n")
    os.utime(file, times=(time.time() + 9, time.time() + 9))
    await orch.swap("check", importlib.reload(module).check)
    await orch.wait(iterations=orch.metrics()["days"].released + 2, timeout=30)
    await orch.stop()
    assert orch.outputs("check") == ["old"]
    assert capsys.readouterr().out == (
        "live: loop 'days' goes on with recently_edited as when its process began;"
        " graph.start() takes up what you edited since\n"
    )


def test_a_module_whose_file_is_a_path_or_nothing_is_none_of_yours(monkeypatch):
    for name, file in (("odd", Path(__file__)), ("none", None)):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules[name].__file__ = file
    assert not {"odd", "none"} & set(Imports().edited())
