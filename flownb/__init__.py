"""Build workflow loops in a notebook, run them live, see who waits for whom.

Each folder is a room: its `__init__` asks the question that its modules answer. Imports go
down only, in this order:

    graph, oneshot, testing  the front door: the verbs of a Graph, the pytest plugin
    regression               How does a notebook become a regression test?
    cli                      the command line
    server/                  How is flownb reached over HTTP?
    exporters/               How do other tools watch a run?
    widgets/                 Which live views show a run, and steer it?
    reactflow/               How does a drawing come in, and go out again?
    notebook/                How does an object show itself in a cell?
    notebook/reports/        How does a result read?
    notebook/live/           What does a running graph say?
    notebook/gantt/          How does a timeline become a chart?
    notebook/graph/          How does a graph become a picture?
    notebook/graph/layout/   Where does each box and line stand?
    notebook/picture/        What is a picture made of?
    engine/                  How does it run? What its rooms share.
    engine/orchestrator/     Who runs all loops of a graph?
    engine/hosts/            Where does a loop live?
    engine/remote/           How does a loop elsewhere stay in touch?
    engine/runs/             How does a graph run once, and again after a crash?
    engine/simulation/       What would it do, exactly, in virtual time?
    engine/loop/             How does one loop run?
    engine/checkpoints/      How does a loop go on after a crash?
    engine/calls/            How is one node called?
    engine/observe/          Who observes what happens?
    queues/                  How does data cross loops?
    queues/receive/          How does a message get out?
    queues/send/             How does a message get in?
    queues/servers/          Where does the server come from?
    queues/redis/            How are commands sent to Redis?
    stores/                  Where are runs, graphs and checkpoints kept?
    explain/                 Who waits for whom, and can it keep up?
    validate/                Which mistakes does a workflow have?
    flow/                    How does one item go through a plan?
    plan/                    What exactly will a loop run?
    records/                 In which words does a run report?
    model/                   What is a workflow?
    model/document/          How is a workflow written as JSON, and read back?
    errors, arguments, ...   the ground: what everybody may use (also jsonable, equality, address,
                             redaction, tracebacks, liveness, display)

Four ways through it, file by file, with what belongs to two of them:

    an item's   plan/compiler, engine/loop/loop_manager, engine/loop/pull_source, flow/item,
                flow/token, engine/calls/runner, engine/calls/attempts, flow/routing,
                engine/loop/settlement
    (in rows    engine/calls/steps, engine/calls/turn, engine/calls/chain, engine/calls/token_row)
    a push's    engine/calls/push, engine/loop/settlement, queues/manager, queues/send/posts,
                queues/send/batcher, queues/redis/jobs, queues/redis/exchange,
                queues/receive/reader, queues/receive/inbox, engine/loop/queue_source
    (its ack    engine/loop/settlement, queues/send/posts, queues/send/batcher, queues/redis/jobs)
    a run's     graph, oneshot, plan/compiler, engine/runs/resume, engine/runs/console,
                engine/runs/execution, engine/loop/loop_manager, flow/run_values,
                engine/runs/journal, records/workflow_run
    a click's   widgets/base.js, widgets/base, widgets/views, engine/orchestrator/orchestrator,
                engine/orchestrator/loop_run, engine/hosts/host, engine/loop/control
    (elsewhere  engine/remote/loop_proxy, engine/hosts/process, engine/hosts/child,
                engine/remote/loop_server)

Where something is added:

    an await policy  model/policies, plan/await_sets, explain/reasons
    a pool           model/policies, engine/hosts/host, engine/orchestrator/loop_run,
                     engine/orchestrator/placement
    a store          stores/base, stores/__init__, address
    a widget, a view widgets/part, widgets/views, display
    an exporter      engine/observe/stream, exporters/log_records (the shortest)

Public names are imported at their first use, so `import flownb` is light.
"""

import importlib as _importlib  # no name but public ones: completion reads this module
import typing as _typing

if _typing.TYPE_CHECKING:
    from flownb.engine.calls.context import Context as Context
    from flownb.engine.calls.context import SyncContext as SyncContext
    from flownb.engine.loop.loop_manager import LoopManager as LoopManager
    from flownb.engine.observe.stream import Observer as Observer
    from flownb.engine.orchestrator.generations import running as running
    from flownb.engine.orchestrator.generations import stop_all as stop_all
    from flownb.engine.orchestrator.orchestrator import Orchestrator as Orchestrator
    from flownb.engine.orchestrator.requests import Request as Request
    from flownb.engine.simulation.recorded_run import RecordedRun as RecordedRun
    from flownb.engine.simulation.simulate import Simulation as Simulation
    from flownb.errors import DeadlockError as DeadlockError
    from flownb.errors import Failure as Failure
    from flownb.errors import FlowError as FlowError
    from flownb.errors import FlowFormatError as FlowFormatError
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
    from flownb.explain.explanation import Explanation as Explanation
    from flownb.explain.question import question as question
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
    from flownb.model.tools import ToolRegistry as ToolRegistry
    from flownb.model.tools import tools as tools
    from flownb.notebook.nesting import enable_nesting as enable_nesting
    from flownb.queues.manager import QueueManager as QueueManager
    from flownb.records.events import Event as Event
    from flownb.records.events import Span as Span
    from flownb.records.timeline import Timeline as Timeline
    from flownb.records.workflow_run import WorkflowRun as WorkflowRun
    from flownb.server.serving import serve as serve
    from flownb.stores.base import GraphStore as GraphStore
    from flownb.stores.base import RunStore as RunStore
    from flownb.widgets.notifier import notifier as notifier
    from flownb.widgets.quiz import quiz as quiz

_HOMES: _typing.Final = {
    "flownb.graph": ("Graph",),
    "flownb.notebook.nesting": ("enable_nesting",),
    "flownb.engine.orchestrator.orchestrator": ("Orchestrator",),
    "flownb.engine.orchestrator.generations": ("running", "stop_all"),
    "flownb.engine.loop.loop_manager": ("LoopManager",),
    "flownb.engine.simulation.recorded_run": ("RecordedRun",),
    "flownb.engine.simulation.simulate": ("Simulation",),
    "flownb.engine.orchestrator.requests": ("Request",),
    "flownb.engine.calls.context": ("Context", "SyncContext"),
    "flownb.engine.observe.stream": ("Observer",),
    "flownb.queues.manager": ("QueueManager",),
    "flownb.stores.base": ("GraphStore", "RunStore"),
    "flownb.explain.explanation": ("Explanation",),
    "flownb.explain.question": ("question",),
    "flownb.model.nodes": (
        "BaseNode",
        "BlockingNode",
        "IfNode",
        "NodeConfig",
        "NodeData",
        "NonBlockingNode",
        "ProducerNode",
        "QueueNode",
        "QueueReader",
    ),
    "flownb.model.policies": ("OTHERWISE", "Limit", "Retry"),
    "flownb.records.events": ("Event", "Span"),
    "flownb.model.edges": ("END", "START"),
    "flownb.records.workflow_run": ("WorkflowRun",),
    "flownb.records.timeline": ("Timeline",),
    "flownb.model.tools": ("ToolRegistry", "tools"),
    "flownb.server.serving": ("serve",),
    "flownb.widgets.notifier": ("notifier",),
    "flownb.widgets.quiz": ("quiz",),
    "flownb.errors": (
        "DeadlockError",
        "Failure",
        "FlowError",
        "FlowFormatError",
        "GraphError",
        "InFlightFull",
        "IterationLimit",
        "LivelockError",
        "LoopStopped",
        "NodeFailed",
        "NodeTimeout",
        "QueueError",
        "RunError",
        "SimulationError",
        "StateConflict",
        "StoreError",
    ),
}
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
