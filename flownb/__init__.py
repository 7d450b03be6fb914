"""Build workflow loops in a notebook, run them live, see who waits for whom.

The layers, from the top; each imports only from those below it:

    graph       the verbs: validate, plan, simulate, start, draw
    notebook    how it looks: scene, SVG, Gantt, tables
    engine      how it runs: plans, loops, hosts, virtual time
    queues      how data crosses loops: Redis Streams
    stores      where runs and graphs are kept: memory, SQLite, PostgreSQL, Redis
    analysis    what can be known before it runs: who waits for whom
    model       what a workflow is: nodes, edges, policies, records
    errors      what can go wrong

Public names are imported at their first use, so `import flownb` is light. Types that you
only get (a `Status`, a `LoopMetrics`) or only name in an annotation are in `flownb.typing`.
"""

import importlib as _importlib  # no name but public ones: completion reads this module
import typing as _typing

if _typing.TYPE_CHECKING:
    from flownb.analysis.explain import Explanation as Explanation
    from flownb.engine.context import Context as Context
    from flownb.engine.context import SyncContext as SyncContext
    from flownb.engine.control import Request as Request
    from flownb.engine.loop import LoopManager as LoopManager
    from flownb.engine.observe import Observer as Observer
    from flownb.engine.orchestrator import Orchestrator as Orchestrator
    from flownb.engine.simulate import Simulation as Simulation
    from flownb.errors import DeadlockError as DeadlockError
    from flownb.errors import Failure as Failure
    from flownb.errors import FlowError as FlowError
    from flownb.errors import GraphError as GraphError
    from flownb.errors import InFlightFull as InFlightFull
    from flownb.errors import IterationLimit as IterationLimit
    from flownb.errors import LivelockError as LivelockError
    from flownb.errors import LoopStopped as LoopStopped
    from flownb.errors import NodeFailed as NodeFailed
    from flownb.errors import NodeTimeout as NodeTimeout
    from flownb.errors import QueueError as QueueError
    from flownb.errors import RunError as RunError
    from flownb.errors import SimulationError as SimulationError
    from flownb.errors import StateConflict as StateConflict
    from flownb.errors import StoreError as StoreError
    from flownb.graph import Graph as Graph
    from flownb.model.edges import END as END
    from flownb.model.edges import START as START
    from flownb.model.nodes import BaseNode as BaseNode
    from flownb.model.nodes import BlockingNode as BlockingNode
    from flownb.model.nodes import IfNode as IfNode
    from flownb.model.nodes import NodeConfig as NodeConfig
    from flownb.model.nodes import NodeData as NodeData
    from flownb.model.nodes import NonBlockingNode as NonBlockingNode
    from flownb.model.nodes import ProducerNode as ProducerNode
    from flownb.model.nodes import QueueNode as QueueNode
    from flownb.model.nodes import QueueReader as QueueReader
    from flownb.model.policies import OTHERWISE as OTHERWISE
    from flownb.model.policies import Limit as Limit
    from flownb.model.policies import Retry as Retry
    from flownb.model.records import Event as Event
    from flownb.model.records import Span as Span
    from flownb.model.run import WorkflowRun as WorkflowRun
    from flownb.model.timeline import Timeline as Timeline
    from flownb.model.tools import ToolRegistry as ToolRegistry
    from flownb.model.tools import tools as tools
    from flownb.notebook.sync import enable_nesting as enable_nesting
    from flownb.queues.manager import QueueManager as QueueManager
    from flownb.stores.base import GraphStore as GraphStore
    from flownb.stores.base import RunStore as RunStore

_HOMES: _typing.Final = {
    "flownb.graph": ("Graph",),
    "flownb.notebook.sync": ("enable_nesting",),
    "flownb.engine.orchestrator": ("Orchestrator",),
    "flownb.engine.loop": ("LoopManager",),
    "flownb.engine.simulate": ("Simulation",),
    "flownb.engine.control": ("Request",),
    "flownb.engine.context": ("Context", "SyncContext"),
    "flownb.engine.observe": ("Observer",),
    "flownb.queues.manager": ("QueueManager",),
    "flownb.stores.base": ("GraphStore", "RunStore"),
    "flownb.analysis.explain": ("Explanation",),
    "flownb.model.nodes": (
        "BaseNode", "BlockingNode", "IfNode", "NodeConfig", "NodeData", "NonBlockingNode",
        "ProducerNode", "QueueNode", "QueueReader",
    ),
    "flownb.model.policies": ("OTHERWISE", "Limit", "Retry"),
    "flownb.model.records": ("Event", "Span"),
    "flownb.model.edges": ("END", "START"),
    "flownb.model.run": ("WorkflowRun",),
    "flownb.model.timeline": ("Timeline",),
    "flownb.model.tools": ("ToolRegistry", "tools"),
    "flownb.errors": (
        "DeadlockError", "Failure", "FlowError", "GraphError", "InFlightFull", "IterationLimit",
        "LivelockError", "LoopStopped", "NodeFailed", "NodeTimeout", "QueueError", "RunError",
        "SimulationError", "StateConflict", "StoreError",
    ),
}  # fmt: skip
_HOME: _typing.Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = list(_HOME)
__version__ = "0.1.0"


if not _typing.TYPE_CHECKING:  # for a type checker there are the names above, and no others

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            msg = f"module 'flownb' has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(_importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
