"""Which endpoints do graphs and tools have?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query

from flownb.errors import GraphError
from flownb.model.document.schema import parse
from flownb.server.problem_details import Problem
from flownb.server.schemas import (
    DrawingIn,
    GraphIn,
    GraphList,
    GraphOut,
    Name,
    ToolList,
    ToolOut,
    Words,
)
from flownb.server.services import Shared  # noqa: TC001 - FastAPI reads it

if TYPE_CHECKING:
    from flownb.graph import Graph
    from flownb.server.services import Services

router = APIRouter()
GraphName = Annotated[Name, Path(description="the graph's name", examples=["sums"])]


def keep(services: Services, given: GraphIn) -> GraphOut:
    """Check a graph and keep it; an unchanged one keeps its version."""
    graph = _made(services, given)
    wrong = [p for p in graph.validate() if p.level == "error"]
    if wrong:
        raise Problem(409, str(wrong[0]), problems=[str(p) for p in wrong[:100]])
    if graph.name in services.graphs.given:
        raise Problem(409, f"graph {graph.name!r} is given in Python here: choose another name")
    if "/" in graph.name:
        raise Problem(409, f"graph {graph.name!r}: over HTTP a name has no '/'")
    record = services.store.graphs.save(graph.to_dict(tools=services.tools))
    return GraphOut(name=record.name, version=record.version, saved=record.saved, **_checked(graph))


def _made(services: Services, given: GraphIn) -> Graph:
    from flownb.graph import Graph

    if isinstance(given, DrawingIn):
        graph = Graph.from_react_flow(given.react_flow, tools=services.tools)
        graph.name = given.name or graph.name
        return graph
    try:
        parse(given.document)
    except GraphError as error:
        problems = list(error.problems[:100])
        raise Problem(422, problems[0], problems=problems) from None
    return services.graphs.make(given.document)


def _checked(graph: Graph) -> dict[str, Any]:
    return {"problems": [str(p) for p in graph.validate()], "loops": list(graph.producers)}


@router.post("/graphs", status_code=201, tags=["graphs"], summary="Keep a graph")
def create_graph(given: GraphIn, services: Shared) -> GraphOut:
    """Keep a graph, in a new version if it has changed.

    A document names functions that are registered here (`GET /tools`); it never contains code.
    """
    return keep(services, given)


@router.get("/graphs", tags=["graphs"], summary="List graphs")
def list_graphs(
    services: Shared,
    prefix: Annotated[Words, Query(description="names begin with this")] = "",
    kind: Annotated[str | None, Query(pattern="^(given|kept)$")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> GraphList:
    """List the newest version of each graph that is kept, and those given in Python."""
    found: list[GraphOut] = []
    if kind != "kept":
        found += [GraphOut(name=n, **_checked(g)) for n, g in services.graphs.given.items()]
    if kind != "given":
        kept = services.store.graphs.list()
        found += [GraphOut(name=r.name, version=r.version, saved=r.saved) for r in kept]
    return GraphList(graphs=[g for g in found if g.name.startswith(prefix)][:limit])


@router.get("/graphs/{name}", tags=["graphs"], summary="Read a graph")
def read_graph(
    name: GraphName,
    services: Shared,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> GraphOut:
    """Give a version of a graph, the newest if none is named, with its document."""
    if version is None and name in services.graphs.given:
        return GraphOut(name=name, **_checked(services.graphs.given[name]))
    record = services.store.graphs.load(name, version)
    return GraphOut(
        name=record.name, version=record.version, saved=record.saved,
        document=dict(record.document),
    )  # fmt: skip


@router.get("/graphs/{name}/versions", tags=["graphs"], summary="List the versions of a graph")
def list_versions(name: GraphName, services: Shared) -> GraphList:
    """List all versions that are kept, newest first."""
    found = services.store.graphs.list(name=name)
    if not found:
        services.store.graphs.load(name)  # says that there is none
    versions = [GraphOut(name=r.name, version=r.version, saved=r.saved) for r in found]
    return GraphList(graphs=versions)


@router.get("/tools", tags=["tools"], summary="List tools")
def list_tools(services: Shared) -> ToolList:
    """List the functions that documents may name."""
    return ToolList(
        tools=[
            ToolOut(name=t.name, signature=t.signature, description=t.description)
            for t in services.tools.listing()
        ]
    )
