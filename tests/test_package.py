"""Does the package keep the promises of the house: light to import, small, tidy, no leaks?"""

from __future__ import annotations

import ast
import asyncio
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "flownb").rglob("*.py"))
ALLOWED = {"pyproject.toml", "flownb", "notebooks", "tests", "binder", "README.md", "LICENSE"}
HEAVY = ("matplotlib", "ipywidgets", "anywidget", "redis", "fakeredis", "networkx", "IPython")
SOURCE = """
import sys
events = []
sys.addaudithook(lambda event, args: events.append(event))
import flownb
print(*[name for name in {heavy} if name in sys.modules])
print(*sorted({{event for event in events if event.startswith("socket.")}}))
print(*sorted({{event for event in events if event in ("subprocess.Popen", "os.fork")}}))
"""


def test_importing_flownb_loads_nothing_heavy_and_touches_nothing():
    source = SOURCE.format(heavy=HEAVY)
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    heavy, sockets, children = ran.stdout.split("\n")[:3]
    assert (heavy, sockets, children) == ("", "", "")
    assert ran.stderr == ""


def test_importing_flownb_starts_no_thread_and_patches_no_event_loop():
    source = (
        "import asyncio, threading; before = asyncio.run, asyncio.Task\n"
        "import flownb\n"
        "assert threading.active_count() == 1\n"
        "assert before == (asyncio.run, asyncio.Task)\n"
        "import sys; assert 'nest_asyncio' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True)


def test_a_graph_without_queues_is_simulated_run_and_run_again_without_a_redis():
    source = (
        "import asyncio, sys\n"
        "from flownb import Graph\n"
        "async def main():\n"
        "    graph = Graph('g').add_producer('p', every=0.01).add_node('n').add_edge('p', 'n')\n"
        "    graph.simulate(iterations=3)\n"
        "    await graph.start().wait(iterations=2)\n"
        "    orch = graph.start()\n"
        "    await orch.wait(iterations=2)\n"
        "    await orch.stop()\n"
        "asyncio.run(main())\n"
        "assert not {'fakeredis', 'redis', 'numpy', 'matplotlib', 'IPython'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True)


def test_every_module_opens_with_the_question_it_answers():
    silent = [
        str(module.relative_to(ROOT))
        for module in MODULES
        if not ast.get_docstring(ast.parse(module.read_text("utf-8")))
    ]
    assert silent == []


def test_the_top_level_stays_tidy():
    assert {name for name in _top_level() if not name.startswith(".")} <= ALLOWED


def test_the_readme_has_two_one_line_commands():
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = re.findall(r"<!-- (\w+)-command -->\n```sh\n(.*?)\n```\n", readme, re.DOTALL)
    assert [name for name, _ in commands] == ["notebook", "test"]
    for _, command in commands:
        assert command.startswith("python3 -m venv .venv && ")
        assert "\n" not in command


def test_the_notebook_that_the_readme_opens_is_there():
    notebooks = set(re.findall(r"notebooks/\w+\.ipynb", (ROOT / "README.md").read_text("utf-8")))
    assert "notebooks/01_quickstart.ipynb" in notebooks
    assert [name for name in sorted(notebooks) if not (ROOT / name).is_file()] == []


def _top_level() -> list[str]:
    """What is committed; where there is no git (an unpacked archive), what is there."""
    try:
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return sorted(path.name for path in ROOT.iterdir())
    return sorted({name.split("/")[0] for name in listed.stdout.splitlines()})


# The check around every test (conftest.py) is worth something only if it sees leaks.

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux only")


def test_the_leak_check_is_quiet_when_nothing_leaks(unleaked):
    asyncio.run(asyncio.sleep(0))
    assert unleaked() == []


def test_the_leak_check_sees_a_thread(unleaked):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="forgotten", daemon=True)
    thread.start()
    seen = unleaked()
    stop.set()
    thread.join()
    assert seen == ["thread 'forgotten' still runs"]


@needs_proc
def test_the_leak_check_sees_an_open_socket(unleaked):
    with socket.socket():
        (seen,) = unleaked()
    assert re.fullmatch(r"file descriptor \d+ is still open: socket:\[\d+\]", seen)


@needs_proc
def test_the_leak_check_sees_a_child_process(unleaked):
    child = subprocess.Popen(["sleep", "30"])
    seen = unleaked()
    child.kill()
    child.wait()
    assert seen == [f"child process {child.pid} still runs: sleep 30"]


def test_the_leak_check_sees_an_event_loop_and_a_pending_task(unleaked):
    loop = asyncio.new_event_loop()
    task = loop.create_task(asyncio.sleep(0), name="forgotten")
    seen = "\n".join(unleaked())
    loop.run_until_complete(task)
    loop.close()
    assert "event loop was not closed" in seen
    assert "task is still pending: <Task pending name='forgotten'" in seen
