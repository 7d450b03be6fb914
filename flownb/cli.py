"""What can be done from a command line? `flownb`, or `python -m flownb`.

It prints what a cell shows. What is wrong is told in sentences, without a traceback, and
the exit code is 1 then, 2 for a wrong call.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import signal
import sys
import threading
import warnings
from contextlib import closing, suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from flownb.errors import FlowError, told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from flownb.graph import Graph
    from flownb.model.tools import ToolRegistry
    from flownb.queues.manager import QueueManager
    from flownb.queues.spec import QueueStats
    from flownb.stores import Store
    from flownb.validate.problems import Problem

T = TypeVar("T")
_COLOURS: Final = {"error": "red", "warning": "yellow", "hint": "cyan"}


class Verbs(click.Group):
    """The verbs of the command line; whatever goes wrong is told in a sentence.

    `FLOWNB_TRACEBACK=full` in the environment shows where, too.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if os.environ.get("FLOWNB_TRACEBACK") == "full":
                raise
            said = str(error) if isinstance(error, FlowError) else _said(error)
            raise click.ClickException(said) from None


def _said(error: Exception) -> str:
    """Say what a node raised, and which, or what the operating system refuses."""
    where = [note.partition(";")[0] for note in getattr(error, "__notes__", ()) if "node" in note]
    return ": ".join([*where[:1], told(error)])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flownb")
def main() -> None:
    """Build workflow loops, run them, see who waits for whom."""


# -- what a verb works on --------------------------------------------------------


class _Graph(click.ParamType):  # type: ignore[type-arg]
    """A file that exists, as a Path, or "module:graph" as it is."""

    name = "graph"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Tell the two apart."""
        if isinstance(value, Path) or Path(value).is_file():
            return Path(value)
        if ":" in value:
            return value
        if Path(value).exists():
            self.fail(f"{value!r} is no file", param, ctx)
        return self.fail(f"file {value!r} does not exist; a module's is module:graph", param, ctx)


_GRAPH: Final = _Graph()


def on_graph(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb its FILE and how it is read; the verb gets what `load_graph` takes."""
    options = [
        click.argument("file", type=_GRAPH, metavar="FILE|MODULE:GRAPH"),
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
    file: Path | str,
    *,
    tools: str | None = None,
    at: str | None = None,
    default_type: str | None = None,
    placeholders: bool = False,
    drop: bool = False,
) -> Graph:
    """Read a graph from React Flow JSON or from what `to_dict` gave; raise FlowError.

    Or take it from a module of the user's: "module:graph", or a .py file with one graph in it.
    """
    of_drawings = {
        "--at": at, "--default-type": default_type, "--placeholders": placeholders, "--drop": drop,
    }  # fmt: skip
    if _is_python(file):
        _refuse({"--tools": tools, **of_drawings}, f"for a drawing, and {file} is Python")
        return _of_module(str(file))
    from flownb.graph import Graph
    from flownb.reactflow.source_text import Caps, sound

    registry = load_tools(tools) if tools else None
    document, _ = sound(file, Caps())
    if isinstance(document, dict) and type(document.get("flownb")) is int:
        _refuse(of_drawings, f"for a drawing, and {file} is what to_dict() gave")
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


def _is_python(file: Path | str) -> bool:
    return isinstance(file, str) or file.suffix == ".py"


def _refuse(options: dict[str, Any], only: str) -> None:
    if given := [word for word, value in options.items() if value]:
        raise click.UsageError(f"{', '.join(given)}: only {only}")


def _of_module(name: str) -> Graph:
    from flownb.graph import Graph

    module_name, _, wanted = name.partition(":")
    module = _imported(module_name, "FILE")
    if wanted:
        found = getattr(module, wanted, None)
        found = found() if callable(found) and not isinstance(found, Graph) else found
        if isinstance(found, Graph):
            return found
        raise click.BadParameter(f"{module_name} has no graph {wanted!r}", param_hint="FILE")
    graphs = {id(value): value for value in vars(module).values() if isinstance(value, Graph)}
    if len(graphs) != 1:
        said = f"{name} has {len(graphs)} graphs: name one, as in {name}:graph"
        raise click.BadParameter(said, param_hint="FILE")
    return next(iter(graphs.values()))


def load_tools(name: str) -> ToolRegistry:
    """Import a module (or a .py file) and give the functions that it has for documents.

    That is its ToolRegistry `tools` (or the one that `module:name` names), else `flownb.tools`
    if it has put something there, else all public functions and classes that it defines, and
    what others have put there.
    """
    from flownb.model.tools import ToolRegistry, origin
    from flownb.model.tools import tools as shared

    module_name, _, wanted = name.partition(":")
    module = _imported(module_name)
    found = getattr(module, wanted or "tools", None)
    if isinstance(found, ToolRegistry) and (wanted or len(found)):
        return found
    if wanted:
        raise _bad_tools(f"{module_name} has no ToolRegistry {wanted!r}")
    if any(origin(tool.fn)[0] == module.__name__ for tool in shared.listing()):
        return shared
    own = ToolRegistry()
    for tool in shared.listing():
        own.register(tool.name, tool.fn, tool.description)
    for known, value in vars(module).items():
        defined = getattr(value, "__module__", None) == module.__name__
        if callable(value) and defined and not known.startswith("_"):
            own.register(known, value, replace=True)
    return own


def _imported(name: str, hint: str = "--tools") -> Any:
    """Import a module by its name, or by the path of its file."""
    path = Path(name)
    try:
        if path.suffix == ".py":
            return _from_file(path)
        if "" not in sys.path:
            sys.path.insert(0, "")  # as `python -m` has it: what lies in this folder
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own module
        said = f"{name} cannot be imported: {told(error)}"
        raise click.BadParameter(said, param_hint=hint) from None


def _from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # its functions can then be found by their module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
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
        remarks = graph.drawing.remarks if graph.drawing else ()
        problems = [*graph.validate(), *(Problem("warning", remark) for remark in remarks)]
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
@click.option("--redis", metavar="URL", help="Where the queues are, with --live.")
@click.option("--store", metavar="STORE", help="Where a one-shot run is kept, with --live.")
@click.option("--json", "as_json", is_flag=True, help="Print what came out as JSON.")
def run(
    *, until: float | None, live: bool, seed: int, state: str | None, redis: str | None,
    store: str | None, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Run a graph: exactly, in virtual time, or with --live.

    The digest is that of graph.simulate() in a notebook. The exit code is 1 if a loop or a run
    ended with an error.
    """
    graph, payload = load_graph(**given), _state(state)
    if live:
        _refuse({"--seed": seed}, "in virtual time, without --live")
    else:
        _refuse({"--redis": redis, "--store": store}, "with --live")
    if graph.producers:
        _refuse({"--state": state, "--store": store}, "for a graph without a producer")
    if live and graph.producers:
        asyncio.run(_live(graph, until, redis, as_json=as_json))
    elif live:
        _refuse({"--until": until}, "for loops")
        _run_once(graph, payload, redis, store, as_json=as_json)
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
    else:
        click.echo(repr(sim))
        for failure in failures:
            click.echo(failure)
        click.echo(f"digest {sim.digest}")
    if any(m.state == "error" for m in sim.metrics.values()) or (failures and not graph.producers):
        raise SystemExit(1)


def _run_once(
    graph: Graph, state: Any, redis: str | None, store: str | None, *, as_json: bool
) -> None:
    done = graph.run({} if state is None else state, redis=redis, store=store)
    if as_json:
        said = {"graph": graph.name, "status": done.status, "run_id": done.run_id}
        click.echo(json.dumps({**said, "state": done.state}, indent=1, default=repr))
    else:
        click.echo(repr(done))


async def _live(graph: Graph, until: float | None, redis: str | None, *, as_json: bool) -> None:
    """Run the loops until they are done, or an interrupt; say once a second where they are."""
    orch = graph.start(redis=redis)
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
    else:
        for failure in orch.failures():
            click.echo(repr(failure))
        click.echo(repr(status))
    if any(one.state == "error" for one in status.loops):
        raise SystemExit(1)


# -- look --------------------------------------------------------------------------


@main.command()
@on_graph
@click.option("--policy", metavar="POLICY", help="Read it under another await policy.")
@click.option("--svg", "as_svg", is_flag=True, help="Print the picture as SVG.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def explain(*, policy: Any, as_svg: bool, as_json: bool, **given: Any) -> None:
    """Say who waits for whom, and why."""
    why = load_graph(**given).explain(policy=policy)
    if as_svg:
        click.echo(why.svg())
    elif as_json:
        loops = {
            loop: {
                "policy": why.policy(loop),
                "awaits": list(why.await_set(loop)),
                "detached": list(why.detached(loop)),
                "arms": [{"waits": arm.waits, "because": arm.because} for arm in why.arms[loop]],
            }
            for loop in why.loops
        }
        click.echo(json.dumps({"graph": why.workflow.name, "loops": loops}, indent=1))
    else:
        click.echo(why.text)


@main.command()
@on_graph
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg")
def draw(*, output: Path | None, **given: Any) -> None:
    """Draw a graph as SVG, into a file or to the terminal."""
    if output is not None and output.suffix != ".svg":
        raise click.BadParameter(f"{output}: it is drawn as .svg", param_hint="--output")
    picture = load_graph(**given).draw()
    if output is None:
        click.echo(picture)
    else:
        output.write_text(picture, encoding="utf-8")


@main.command()
@on_graph
@click.option("--until", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS")
@click.option("--iterations", type=click.IntRange(min=1), metavar="N", help="Items of each source.")
@click.option("--seed", type=int, default=0, help="Decides all random numbers.")
@click.option("--no-call", is_flag=True, help="Call no function: what is declared counts.")
@click.option("--json", "as_json", is_flag=True, help="Print the spans as JSON.")
def simulate(
    *, until: float | None, iterations: int | None, seed: int, no_call: bool, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Run in virtual time, and print who worked and waited when."""
    graph = load_graph(**given)
    sim = graph.simulate(until=until, iterations=iterations, seed=seed, call=not no_call)
    if as_json:
        spans = [span._asdict() for span in sim.timeline]
        click.echo(json.dumps({"graph": graph.name, "digest": sim.digest, "spans": spans}))
    else:
        click.echo(sim.timeline.table())
        click.echo(f"digest {sim.digest}")


@main.command()
@click.option("--seconds", type=click.FloatRange(min=0), default=10.0, help="How long.")
@click.option("--json", "as_json", is_flag=True, help="Print only how it ended, as JSON.")
def demo(*, seconds: float, as_json: bool) -> None:
    """Run two small loops and watch them: no file, no server is needed."""
    import time
    from random import Random

    from flownb.graph import Graph

    rng = Random(1)

    def works(seconds: float) -> Callable[[Any], Any]:
        def work(day: Any) -> Any:
            time.sleep(seconds)
            return day

        return work

    graph = (
        Graph("weather")
        .add_producer("days", every=0.2)
        .add_node("check", works(0.05))
        .add_node("audit", works(0.4), kind="non_blocking")
        .add_if("wet?", lambda _: rng.random() < 0.4)  # noqa: PLR2004 - it rains that often
        .add_queue("wet_days")
        .add_edge("days", "check", "wet?")
        .add_edge("days", "audit")
        .add_edge("wet?", "wet_days", when=True)
        .add_queue_reader("storms", queue="wet_days")
        .add_node("rank", works(0.1))
        .add_edge("storms", "rank")
    )
    if not as_json:
        click.echo(graph.explain().text)
    asyncio.run(_live(graph, seconds, None, as_json=as_json))


# -- runs that are kept --------------------------------------------------------------


@main.group()
def runs() -> None:
    """Look at one-shot runs that are kept in a store, and go on with them."""


def _on_store(verb: Callable[..., Any]) -> Callable[..., Any]:
    said = "A path, or a URL; else $FLOWNB_STORE, else flownb-runs.sqlite."
    return click.option("--store", metavar="STORE", help=said)(verb)


@runs.command("list")
@_on_store
@click.option("--graph", metavar="NAME")
@click.option(
    "--status", type=click.Choice(["pending", "running", "completed", "failed", "cancelled"])
)
@click.option("--limit", type=click.IntRange(min=1), default=20)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_runs(
    *, store: str | None, graph: str | None, status: Any, limit: int, as_json: bool
) -> None:
    """List runs, newest first."""
    with closing(_opened(store)) as kept:
        found = kept.runs.list(graph=graph, status=status, limit=limit)
    if as_json:
        keys = ("run_id", "graph", "status", "created", "updated", "attempt", "error")
        click.echo(
            json.dumps([{key: getattr(run, key) for key in keys} for run in found], indent=1)
        )
        return
    for run in found:
        error = f"  {_first_line(run.error)}" if run.error else ""
        when = datetime.fromtimestamp(run.created).astimezone().isoformat(" ", "seconds")
        click.echo(f"{run.run_id}  {run.status:9}  {when}  {run.graph}{error}")


def _opened(store: str | None) -> Store:
    from flownb.stores import open_store

    return open_store(store)


def _first_line(text: str) -> str:
    return text.splitlines()[0][:100] if text else ""


@runs.command()
@click.argument("run_id")
@_on_store
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show(*, run_id: str, store: str | None, as_json: bool) -> None:
    """Show a run: its state, its error, and what its nodes did."""
    with closing(_opened(store)) as kept:
        run = kept.runs.load(run_id)
    steps = [(s.node, s.visit, s.kind, s.end - s.start, s.error) for s in run.steps]
    if as_json:
        keys = ("run_id", "graph", "status", "created", "updated", "attempt", "error", "state")
        said: dict[str, Any] = {key: getattr(run, key) for key in keys}
        said["steps"] = [
            dict(zip(("node", "visit", "kind", "seconds", "error"), s, strict=True)) for s in steps
        ]
        click.echo(json.dumps(said, indent=1, default=repr))
        return
    click.echo(f"{run.run_id} of {run.graph}: {run.status}, attempt {run.attempt}")
    for node, visit, kind, seconds, error in steps:
        if kind != "started":
            again = f"#{visit}" if visit else ""
            click.echo(
                f"{max(0.0, seconds):9.3f} s  {node}{again}  {kind}{f': {error}' if error else ''}"
            )
    click.echo(f"error: {run.error}" if run.error else f"state: {_brief(run.state)}")


def _brief(value: Any) -> str:
    from flownb.records.workflow_run import summary

    return summary(value)


@runs.command()
@click.argument("run_id")
@on_graph
@_on_store
@click.option("--json", "as_json", is_flag=True, help="Print how it ended as JSON.")
def resume(*, run_id: str, store: str | None, as_json: bool, **given: Any) -> None:
    """Go on with a run that crashed, failed or was cancelled; nodes that ended do not run again."""
    done = load_graph(**given).resume(run_id, store=store)
    if as_json:
        said = {"run_id": done.run_id, "status": done.status, "state": done.state}
        click.echo(json.dumps(said, indent=1, default=repr))
    else:
        click.echo(repr(done))


@runs.command()
@click.argument("run_id")
@_on_store
def cancel(*, run_id: str, store: str | None) -> None:
    """Have nobody go on with a run that waits, or whose process has died.

    A process that works on it now is not reached like this: ask its server.
    """
    import time

    with closing(_opened(store)) as kept:
        run = kept.runs.load(run_id)
        if run.status not in {"pending", "running"}:
            raise click.ClickException(f"run {run_id} is {run.status} already")
        kept.runs.save(replace(run, status="cancelled", updated=time.time(), steps=()))
    click.echo(f"{run_id}: cancelled")


# -- queues on a Redis ----------------------------------------------------------------


@main.group()
def queues() -> None:
    """Look at the queues of a graph on a Redis, and at its dead letters."""


def _on_queues(verb: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--namespace", default="flownb", help="What all keys begin with."),
        click.option(
            "--redis", "url", required=True, metavar="URL", envvar="FLOWNB_REDIS_URL",
            help="Where it is; else $FLOWNB_REDIS_URL.",
        ),
        on_graph,
    ):  # fmt: skip
        verb = option(verb)
    return verb


def _asked(
    ask: Callable[[QueueManager, Sequence[str]], Awaitable[T]],
    *,
    url: str,
    namespace: str,
    **given: Any,
) -> T:
    """Ask a manager of the graph's queues, which have these names."""
    from flownb.engine.links import queue_specs
    from flownb.queues.manager import QueueManager

    graph = load_graph(**given)
    specs = queue_specs(graph)

    async def asking() -> T:
        async with QueueManager(
            url, graph=graph.name, specs=specs, namespace=namespace, consumer="cli"
        ) as manager:
            return await ask(manager, [spec.name for spec in specs])

    return asyncio.run(asking())


@queues.command("list")
@_on_queues
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_queues(*, as_json: bool, **at: Any) -> None:
    """List the queues of a graph, with their figures."""
    _print_stats(None, at, as_json=as_json)


@queues.command()
@click.argument("queue")
@_on_queues
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def stats(*, queue: str, as_json: bool, **at: Any) -> None:
    """Show the figures of one queue."""
    _print_stats(queue, at, as_json=as_json)


def _print_stats(queue: str | None, at: Any, *, as_json: bool) -> None:
    async def ask(manager: QueueManager, names: Sequence[str]) -> list[QueueStats]:
        return [await manager.stats(name) for name in (names if queue is None else [queue])]

    found = _asked(ask, **at)
    if as_json:
        click.echo(json.dumps([{**asdict(s), "backlog": s.backlog} for s in found], indent=1))
        return
    for s in found:
        click.echo(
            f"{s.queue}: depth {s.depth:,}, not delivered {s.lag:,}, not acked {s.pending:,}"
        )


@queues.command()
@click.argument("loop")
@_on_queues
@click.option("--count", type=click.IntRange(min=1), default=100)
@click.option("--json", "as_json", is_flag=True)
def dead(*, loop: str, count: int, as_json: bool, **at: Any) -> None:
    """List the dead letters of a loop, oldest first."""
    found = _asked(lambda m, _: m.dead(loop, count), **at)
    if as_json:
        click.echo(json.dumps(list(found), indent=1, default=repr))
        return
    for letter in found:
        click.echo(
            f"{letter['id']}  {letter.get('node', '')}: {_first_line(letter.get('error', ''))}"
        )


@queues.command()
@click.argument("loop")
@_on_queues
@click.option("--id", "ids", multiple=True, metavar="ID", help="Only this one; may be given again.")
def replay(*, loop: str, ids: tuple[str, ...], **at: Any) -> None:
    """Push dead letters that came through a queue into it again."""

    async def ask(manager: QueueManager, _: Sequence[str]) -> int:
        letters = await manager.dead(loop, 10_000)
        chosen = [x for x in letters if x.get("queue") and (not ids or x["id"] in ids)]
        return await manager.dead_letters.replay(loop, chosen) if chosen else 0

    click.echo(f"{_asked(ask, **at)} replayed")


@queues.command()
@click.argument("queue")
@_on_queues
@click.option("--count", type=click.IntRange(min=1), default=10)
@click.option("--json", "as_json", is_flag=True)
def peek(*, queue: str, count: int, as_json: bool, **at: Any) -> None:
    """Look at the oldest messages of a queue; they stay in it."""
    found = _asked(lambda m, _: m.peek(queue, count), **at)
    if as_json:
        said = [{"id": one.id, "data": one.payload, "meta": one.meta} for one in found]
        click.echo(json.dumps(said, indent=1, default=repr))
        return
    for one in found:
        click.echo(f"{one.id}  {_brief(one.payload)}")


@queues.command()
@click.argument("queue")
@click.argument("reader")
@_on_queues
def forget(*, queue: str, reader: str, **at: Any) -> None:
    """Remove a reader that is gone, with what only it had to read."""
    dropped = _asked(lambda m, _: m.forget(queue, reader), **at)
    click.echo(f"{dropped} dropped")


@queues.command()
@click.argument("queue")
@_on_queues
@click.confirmation_option(prompt="Drop all messages of it?")
def clear(*, queue: str, **at: Any) -> None:
    """Drop all messages of a queue, delivered ones too."""
    click.echo(f"{_asked(lambda m, _: m.clear(queue), **at)} dropped")


# -- new ------------------------------------------------------------------------------


@main.group()
def new() -> None:
    """Make a file to begin with."""


@new.command("test")
@click.argument("notebook", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Where to; else test_NOTEBOOK beside it.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new_test(*, notebook: Path, output: Path | None, force: bool) -> None:
    """Make a regression test of a notebook: a copy with marks, which pytest --nbval runs.

    Cells that show what is live (a running graph, a clock) are marked to run only; the others
    have to show what was saved. The notebook itself stays as it is.
    """
    from flownb.regression import RAISES, marked

    target = output or notebook.with_name(f"test_{notebook.name}")
    if target.exists() and not force:
        raise click.ClickException(f"{target} is there already: --force replaces it")
    try:
        found = json.loads(notebook.read_text("utf-8"))
        made, marks = marked(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise click.ClickException(f"{notebook} is no notebook: {told(error)}") from None
    except FlowError as error:
        raise click.ClickException(f"{notebook}: {error}") from None
    target.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", "utf-8")
    cells = sum(cell["cell_type"] == "code" for cell in made["cells"])
    click.echo(f"{target}: {cells} code cells, {len(marks)} marked")
    for mark in marks:
        does = "has to raise" if mark.word == RAISES else "runs, is not compared"
        click.echo(f"  cell {mark.cell} {does}: it {mark.why}")
    click.echo(f"Now run: pytest --nbval {target}")


# -- serve ----------------------------------------------------------------------------


@main.command()
@click.argument("files", nargs=-1, metavar="[FILE|MODULE:GRAPH]...")
@click.option("--tools", metavar="MODULE", help="The module that has the functions.")
@click.option(
    "--store",
    metavar="STORE",
    envvar="FLOWNB_STORE",
    help="Where runs and graphs are kept; else $FLOWNB_STORE, else in memory.",
)
@click.option("--redis", metavar="URL", help="Where the queues of loops are.")
@click.option("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in.")
@click.option("--port", type=click.IntRange(0, 65535), default=8899, help="0 is a free one.")
@click.option("--token", envvar="FLOWNB_TOKEN", help="Else $FLOWNB_TOKEN, else a new one.")
@click.option("--name", default="http", help="Whose runs it takes up: see create_app.")
@click.option("--root-path", default="", help="Where a proxy has put it.")
@click.option("--json", "as_json", is_flag=True, help="Print the address as JSON.")
def serve(
    *, files: tuple[str, ...], tools: str | None, store: str | None, redis: str | None, host: str,
    port: int, token: str | None, name: str, root_path: str, as_json: bool,
) -> None:  # fmt: skip
    """Serve graphs over HTTP until Ctrl-C: loops are started, others may be run once."""
    try:
        from flownb.server import Server, create_app
    except ImportError as error:
        needs = 'pip install "flownb[server]"'
        raise click.ClickException(f"the server needs {error.name}: {needs}") from None
    paths = [_GRAPH.convert(file, None, None) for file in files]
    found = [load_graph(path, tools=None if _is_python(path) else tools) for path in paths]
    registry = load_tools(tools) if tools else None
    started = [
        graph.start(redis=redis, control="thread", tools=registry)
        for graph in found
        if graph.producers
    ]
    try:
        app = create_app(
            *started, graphs=[graph for graph in found if not graph.producers], store=store,
            tools=registry, token=token, name=name, root_path=root_path,
        )  # fmt: skip
        server = Server(app, host=host, port=port).start()
        said = {"url": server.url, "address": server.address, "token": server.token}
        click.echo(json.dumps(said) if as_json else f"flownb is at {server.url}")
        _until_asked_to_stop()
        server.stop().wait()
    finally:
        for orch in started:
            orch.stop(grace=5).wait(15)


def _until_asked_to_stop() -> None:
    asked = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: asked.set())
    while not asked.wait(0.5):
        pass  # in short waits: on Windows a long one hears no Ctrl-C
