"""Does the course run in a browser that has nothing but its site, as its saved outputs say?

The site holds Pyodide and all wheels (`.ci/lite --offline`), and the browser reaches no other
host. Not here: 01, which needs pandas (that comes from Pyodide's own distribution, not from PyPI),
and what `.ci/lite` leaves out.
"""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbval.plugin import IPyNbFile, coalesce_streams

from tests.support.machine import ROOT
from tests.support.notebooks import new_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.browser, pytest.mark.nightly, pytest.mark.timeout(500), pytest.mark.wallclock,
]  # fmt: skip
COURSE = (
    "02_who_waits", "03_ifs_and_joins", "04_two_loops_and_a_queue", "05_failure_and_retry",
    "06_overload", "07_a_case_from_life", "10_patterns", "11_draw_it",
)  # fmt: skip
START = 200_000  # milliseconds, until Python runs
KERNEL = "window.jupyterapp?.shell.currentWidget?.context?.sessionContext?.session?.kernel"
RUN_ALL = "() => jupyterapp.commands.execute('notebook:run-all-cells')"
NOTEBOOK = "() => JSON.stringify(jupyterapp.shell.currentWidget.context.model.toJSON())"
RUN = f"""async (code) => {{
    const said = [], asked = {KERNEL}.requestExecute({{code}});
    asked.onIOPub = ({{content}}) => said.push(content.text ?? content.evalue ?? "");
    await asked.done;
    return said.join("");
}}"""


class Files(SimpleHTTPRequestHandler):
    """Serves the site, with the types that a browser asks of modules and of WebAssembly."""

    extensions_map = {".mjs": "text/javascript", ".wasm": "application/wasm"} | {
        **SimpleHTTPRequestHandler.extensions_map
    }

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def address(course: Path) -> Iterator[str]:
    """Serve the site."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=course))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """Give `open(name)`: a page with that notebook, whose kernel has started."""
    page = new_page(browser)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def exposed(route: Any) -> None:
        response = route.fetch()
        settings = response.json()
        settings.setdefault("jupyter-config-data", {})["exposeAppInBrowser"] = True
        route.fulfill(response=response, json=settings)

    page.route("**/jupyter-lite.json*", exposed)

    def open_notebook(name: str) -> Any:
        page.goto(f"{address}/notebooks/index.html?path={name}.ipynb")
        page.wait_for_selector(".jp-CodeCell")
        page.wait_for_function(f"() => {KERNEL}?.status === 'idle'", timeout=START)
        return page

    yield open_notebook
    page.close()
    here = (address, "blob:", "data:")
    assert [url for url in asked if not url.startswith(here)] == []


def test_the_site_holds_these_notebooks(course):
    assert sorted(path.stem for path in (course / "files").glob("*.ipynb")) == sorted(COURSE)


@pytest.mark.parametrize("name", COURSE)
def test_a_notebook_runs_to_its_end_and_says_what_was_saved(name, opened, request):
    page = opened(name)
    page.evaluate(RUN_ALL)
    here = nbformat.reads(page.evaluate(NOTEBOOK), as_version=4)
    ran = [cell for cell in here.cells if cell.cell_type == "code"][1:]  # the first installs
    notebook = IPyNbFile.from_parent(request.session, path=ROOT / "notebooks" / f"{name}.ipynb")
    saved = [cell for cell in notebook.collect() if "import subprocess" not in cell.cell.source]
    for cell, again in zip(saved, ran, strict=True):
        assert cell.cell.source == again.source
        errors = [o.evalue for o in again.outputs if o.output_type == "error"]
        assert errors == [], again.source
        if cell.options["check"]:
            outputs = [coalesce_streams(c.outputs) for c in (again, cell.cell)]
            assert cell.compare_outputs(*outputs), "\n".join(map(str, cell.comparison_traceback))


def test_a_sync_node_sleeps_in_a_run_inside_a_cell(opened):
    page = opened("02_who_waits")
    page.evaluate(RUN, "%pip install -q flownb")
    said = page.evaluate(
        RUN,
        "from time import sleep\n"
        "from flownb import Graph\n"
        "naps = Graph('naps').add_node('nap', lambda state: sleep(0.01) or {'n': state['n'] + 1})\n"
        "print(naps.run({'n': 1}).state)",
    )
    assert said.strip() == "{'n': 2}"
