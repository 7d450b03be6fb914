"""What can be done from a command line? `flownb`, or `python -m flownb`.

It prints what a cell shows. What is wrong is told in sentences, without a traceback, and
the exit code is 1 then, 2 for a wrong call.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from flownb.errors import FlowError, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.graph import Graph
    from flownb.model.tools import ToolRegistry
    from flownb.validate.problems import Problem

_COLOURS: Final = {"error": "red", "warning": "yellow", "hint": "cyan"}


class Verbs(click.Group):
    """The verbs of the command line; what flownb refuses is told in its own words."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except FlowError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flownb")
def main() -> None:
    """Build workflow loops, run them, see who waits for whom."""


# -- what a verb works on --------------------------------------------------------


def on_graph(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb its FILE and how it is read; the verb gets what `load_graph` takes."""
    options = [
        click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
        click.option("--tools", metavar="MODULE", help="The module that has the functions."),
        click.option("--at", metavar="WAY", help="Where in the file the drawing stands: $.flow."),
        click.option("--default-type", metavar="TYPE", help="What nodes without a type are."),
        click.option("--placeholders", is_flag=True, help="Read nodes that nobody knows, too."),
        click.option("--drop", is_flag=True, help="Leave out edges that lead nowhere."),
    ]
    for option in reversed(options):
        verb = option(verb)
    return verb


def load_graph(
    file: Path,
    *,
    tools: str | None = None,
    at: str | None = None,
    default_type: str | None = None,
    placeholders: bool = False,
    drop: bool = False,
) -> Graph:
    """Read a graph from React Flow JSON or from what `to_dict` gave; raise FlowError."""
    from flownb.graph import Graph
    from flownb.reactflow.source_text import Caps, sound

    registry = load_tools(tools) if tools else None
    document, _ = sound(file, Caps())
    if isinstance(document, dict) and type(document.get("flownb")) is int:
        return Graph.from_dict(document, tools=registry)
    with warnings.catch_warnings(record=True) as left_out:
        warnings.simplefilter("always")
        graph = Graph.from_react_flow(
            file, tools=registry, at=at, default_type=default_type,
            on_unknown="placeholder" if placeholders else "error",
            on_dangling="drop" if drop else "error",
        )  # fmt: skip
    for warning in left_out:
        click.echo(str(warning.message), err=True)
    return graph


def load_tools(name: str) -> ToolRegistry:
    """Import a module (or a .py file) and give the functions that it has for documents.

    That is its ToolRegistry `tools` (or the one that `module:name` names), else what it has put
    into `flownb.tools`, else all public functions and classes that it defines.
    """
    from flownb.model.tools import ToolRegistry
    from flownb.model.tools import tools as shared

    module_name, _, wanted = name.partition(":")
    module = _imported(module_name)
    found = getattr(module, wanted or "tools", None)
    if isinstance(found, ToolRegistry) and (wanted or len(found)):
        return found
    if wanted:
        raise _bad_tools(f"{module_name} has no ToolRegistry {wanted!r}")
    if len(shared):
        return shared
    own = ToolRegistry()
    for known, value in vars(module).items():
        defined = getattr(value, "__module__", None) == module.__name__
        if callable(value) and defined and not known.startswith("_"):
            own.register(known, value)
    return own


def _imported(name: str) -> Any:
    """Import a module by its name, or by the path of its file."""
    path = Path(name)
    try:
        if path.suffix == ".py":
            return _from_file(path)
        if "" not in sys.path:
            sys.path.insert(0, "")  # as `python -m` has it: what lies in this folder
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - the user's own module
        raise _bad_tools(f"{name} cannot be imported: {told(error)}") from None


def _from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # its functions can then be found by their module
    spec.loader.exec_module(module)
    return module


def _bad_tools(text: str) -> click.BadParameter:
    return click.BadParameter(text, param_hint="--tools")


# -- validate --------------------------------------------------------------------


@main.command()
@on_graph
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
def validate(*, as_json: bool, **given: Any) -> None:
    """Find every mistake in a drawing, or in a graph's document.

    FILE is React Flow JSON (or the YAML of a tool that draws), or what graph.to_dict() gave.
    """
    from flownb.errors import GraphError
    from flownb.validate.problems import Problem

    graph, problems = None, []
    try:
        graph = load_graph(**given)
        problems = list(graph.validate())
    except GraphError as error:
        found = getattr(error, "found", error.problems)
        problems = [
            one if isinstance(one, Problem) else Problem("error", str(one)) for one in found
        ]
    if as_json:
        keys = ("level", "text", "nodes", "edges")
        click.echo(json.dumps([{key: getattr(p, key) for key in keys} for p in problems], indent=1))
    else:
        _print_problems(problems)
        if graph is not None and not problems:
            click.echo(f"{graph.name}: {_counted(graph)}, nothing is wrong")
    if any(problem.level == "error" for problem in problems):
        raise SystemExit(1)


def _counted(graph: Graph) -> str:
    parts = [(len(graph.nodes), "node"), (len(graph.edges), "edge"), (len(graph.producers), "loop")]
    return ", ".join(f"{n:,} {word}{'' if n == 1 else 's'}" for n, word in parts)


def _print_problems(problems: list[Problem]) -> None:
    for problem in problems:
        level = click.style(f"{problem.level}:", fg=_COLOURS[problem.level], bold=True)
        click.echo(f"{level} {problem.text}")


# -- run -------------------------------------------------------------------------


@main.command()
@on_graph
@click.option(
    "--until",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long; 10 in virtual time, with --live until it is done.",
)
@click.option("--live", is_flag=True, help="Run in real time, not in virtual time.")
@click.option("--seed", type=int, default=0, help="Decides all random numbers of a simulation.")
@click.option("--state", metavar="JSON", help="What a graph without a producer begins with.")
@click.option("--json", "as_json", is_flag=True, help="Print what came out as JSON.")
def run(
    *, until: float | None, live: bool, seed: int, state: str | None, as_json: bool, **given: Any
) -> None:
    """Run a drawing: exactly, in virtual time, or with --live.

    The digest is that of graph.simulate() in a notebook.
    """
    graph, payload = load_graph(**given), _state(state)
    if live and graph.producers:
        asyncio.run(_live(graph, until, as_json=as_json))
    elif live:
        _run_once(graph, payload, as_json=as_json)
    else:
        _simulate(graph, until, seed, payload, as_json=as_json)


def _state(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"this is no JSON: {error}", param_hint="--state") from None


def _simulate(graph: Graph, until: float | None, seed: int, payload: Any, *, as_json: bool) -> None:
    sim = graph.simulate(until=until, seed=seed, payload=payload)
    failures = [repr(failure) for failure in sim.failures()]
    if as_json:
        loops = {name: {"state": m.state, "released": m.released, "failed": m.failed}
                 for name, m in sim.metrics.items()}  # fmt: skip
        said = {"graph": graph.name, "digest": sim.digest, "duration": sim.duration}
        click.echo(json.dumps({**said, "loops": loops, "failures": failures}, indent=1))
        return
    click.echo(repr(sim))
    for failure in failures:
        click.echo(failure)
    click.echo(f"digest {sim.digest}")


def _run_once(graph: Graph, state: Any, *, as_json: bool) -> None:
    done = graph.run({} if state is None else state)
    if as_json:
        said = {"graph": graph.name, "status": done.status, "run_id": done.run_id}
        click.echo(json.dumps({**said, "state": done.state}, indent=1, default=repr))
    else:
        click.echo(repr(done))


async def _live(graph: Graph, until: float | None, *, as_json: bool) -> None:
    """Run the loops until they are done, or an interrupt; say once a second where they are."""
    orch = graph.start()
    status = orch.status()
    with suppress(asyncio.CancelledError):  # Ctrl-C
        left = float("inf") if until is None else until
        while left > 0:
            status = await orch.wait(timeout=min(1.0, left))
            left -= 1.0
            if not status.timed_out:
                break
            if not as_json:
                click.echo(repr(status))
    await orch.stop()
    status = orch.status()
    if as_json:
        loops = {one.loop: {"state": one.state, "done": one.done, "failed": one.failed}
                 for one in status.loops}  # fmt: skip
        click.echo(json.dumps({"graph": graph.name, "loops": loops}, indent=1))
        return
    for failure in orch.failures():
        click.echo(repr(failure))
    click.echo(repr(status))
