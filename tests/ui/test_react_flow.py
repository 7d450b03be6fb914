"""Is what we write shown by React Flow itself, without a word on its console?"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from flownb import OTHERWISE, Graph
from tests.support import drawings
from tests.support.machine import missing, require

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.browser, pytest.mark.wallclock, pytest.mark.nightly, pytest.mark.timeout(300),
]  # fmt: skip

PACKAGES = ("@xyflow/react@12", "react@19", "react-dom@19", "esbuild@0.25")
PROGRAM = """
import { createRoot } from "react-dom/client";
import { BezierEdge, ReactFlow, Handle, Position } from "@xyflow/react";
import "@xyflow/react/dist/style.css";

let handles = {};
const Box = ({ id, data }) => (
  <div>
    <Handle type="target" position={Position.Left} />
    {String(data?.label ?? "")}
    {(handles[id] ?? []).map((one) => (
      <Handle key={one ?? ""} id={one} type="source" position={Position.Right} />
    ))}
  </div>
);

window.show = (drawn, own) => {
  const known = { nodeTypes: {}, edgeTypes: {} };
  handles = {};
  for (const edge of drawn.edges) {
    const found = (handles[edge.source] ??= new Set());
    handles[edge.source] = new Set([...found, edge.sourceHandle ?? null]);
    known.edgeTypes[edge.type ?? "default"] = BezierEdge;
  }
  for (const id in handles) handles[id] = [...handles[id]];
  for (const node of drawn.nodes) known.nodeTypes[node.type ?? "default"] = Box;
  const page = document.createElement("div");
  page.style.cssText = "width: 1200px; height: 800px";
  document.body.replaceChildren(page);
  createRoot(page).render(
    <ReactFlow
      nodes={drawn.nodes}
      edges={drawn.edges}
      fitView
      {...(own ? known : {})}
      onError={(code, text) => console.warn(code, text)}
    />,
  );
};
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with React Flow as one script, made from npm."""
    require("npm", shutil.which("npm") and shutil.which("node"), "npm is not installed")
    folder = tmp_path_factory.mktemp("react_flow")
    (folder / "package.json").write_text('{"private": true}')
    (folder / "program.jsx").write_text(PROGRAM)
    esbuild = "node_modules/.bin/esbuild"
    for command in (
        ["npm", "install", "--silent", "--no-audit", "--no-fund", *PACKAGES],
        [esbuild, "program.jsx", "--bundle", "--outfile=page.js", "--jsx=automatic",
         '--define:process.env.NODE_ENV="development"'],
    ):  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            missing("npm", f"{command[0]} failed: {done.stderr[-500:]}")
    (folder / "page.html").write_text(
        '<!doctype html><link rel="icon" href="data:,"><link rel="stylesheet" href="page.css">'
        '<body></body><script src="page.js"></script>'
    )
    return folder


@pytest.fixture
def show(browser: Any, bundle: Path) -> Any:
    """Give `show(drawn, own)`: what it drew, and what was said on the console."""
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text) if is_loud(line.type) else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((bundle / "page.html").as_uri())

    def shown(drawn: dict[str, Any], *, own: bool = False) -> tuple[int, int, list[str]]:
        said.clear()
        page.evaluate("([drawn, own]) => window.show(drawn, own)", [drawn, own])
        count = len([node for node in drawn["nodes"] if not node.get("hidden")])
        page.wait_for_function(
            "n => document.querySelectorAll('.react-flow__node').length === n", arg=count
        )
        page.wait_for_timeout(300)  # edges are drawn once the boxes have been measured
        found = [page.locator(f".react-flow__{part}").count() for part in ("node", "edge")]
        return found[0], found[1], list(said)

    yield shown
    page.close()


def is_loud(kind: str) -> bool:
    return kind in {"warning", "error"}


def weather() -> Graph:
    graph = Graph("weather").add_producer("days", ["dry"]).add_node("check").add_if("wet?")
    graph.add_node("audit", kind="non_blocking").add_queue("wet days").add_node("alone")
    graph.add_queue_reader("storms", queue="wet days").add_node("rank").add_node("dry")
    graph.add_edge("days", "check", "wet?").add_edge("days", "audit", description="a copy")
    graph.add_edge("wet?", "wet days", when=True).add_edge("wet?", "dry", when=OTHERWISE)
    return graph.add_edge("wet days", "storms", "rank")


def test_a_graph_of_ours_opens_in_react_flow_as_it_is(show: Callable[..., Any]):
    graph = weather()
    assert show(graph.to_react_flow()) == (9, 7, [])


def test_a_graph_that_was_edited_opens_too(show: Callable[..., Any]):
    graph = Graph.from_react_flow(weather().to_react_flow())
    graph.remove_node("check").add_node("new").add_edge("days", "new", "wet?")
    graph.remove_edge("wet days", "storms").add_node("alone", kind="non_blocking")
    assert show(graph.to_react_flow()) == (9, 6, [])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["two_loops", *drawings.TOOLS])
def test_what_was_drawn_elsewhere_opens_where_its_types_are_known(show, name):
    drawn = getattr(drawings, name)()
    graph = Graph.from_react_flow(drawn, on_unknown="placeholder", on_dangling="drop")
    flow = graph.to_react_flow()
    for step in graph.drawing.place.way:
        flow = flow[step]
    ids = {node["id"] for node in flow["nodes"]}
    flow["edges"] = [e for e in flow["edges"] if {e["source"], e["target"]} <= ids]
    for edge in flow["edges"]:
        edge.pop("targetHandle", None)  # the boxes of this page have one
    flow = json.loads(json.dumps(flow))
    nodes, _, said = show(flow, own=True)
    assert nodes == len([node for node in flow["nodes"] if not node.get("hidden")])
    assert said == []
