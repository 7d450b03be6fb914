"""What are the types called that you only get, or only name in an annotation?

    from flownb.typing import AwaitPolicy, LoopMetrics, Status

What you make yourself is in `flownb`, errors are in `flownb.errors`, what stores and queues
give and take is in `flownb.stores` and `flownb.queues`.
"""

from flownb.analysis.capacity import Capacity, Change, LimitCapacity, LoopCapacity, QueueCapacity
from flownb.analysis.makespan import Makespan
from flownb.analysis.pace import Rates
from flownb.analysis.plan import LoopPlan, Once, PlanEdge, PlanNode
from flownb.analysis.problems import Level, Problem
from flownb.analysis.readings import Answer, Comparison, Reading
from flownb.analysis.verdicts import Verdicts
from flownb.analysis.why import Arm, Waits
from flownb.engine.byhand import QueuesByHand
from flownb.engine.observe import CallNext, Middleware
from flownb.engine.runtime import Clock
from flownb.engine.sweep import Sweep
from flownb.model.edges import Edge
from flownb.model.nodes import Kind, Node, QueueOptions, ReaderOptions
from flownb.model.policies import (
    Ack,
    AwaitPolicy,
    Control,
    ErrorFilter,
    Fail,
    Join,
    LoopOptions,
    NodeKind,
    OnError,
    Pool,
    QueueMode,
    Restart,
    RunOnError,
    StartRule,
    Takes,
    WhenFull,
)
from flownb.model.records import (
    Hop,
    Lane,
    LogLine,
    LoopMetrics,
    LoopState,
    NodeMetrics,
    NodeState,
    SpanKind,
)
from flownb.model.run import LogEntry, NodeStatus, RunStatus
from flownb.model.status import LoopStatus, Status
from flownb.model.timeline import Timelines
from flownb.model.tools import Tool
from flownb.model.topology import NodeRef, Targets
from flownb.model.workflow import Source, Workflow
from flownb.queues.letters import DeadLetters
from flownb.stores.base import StepKind

__all__ = [
    "Ack",
    "Answer",
    "Arm",
    "AwaitPolicy",
    "CallNext",
    "Capacity",
    "Change",
    "Clock",
    "Comparison",
    "Control",
    "DeadLetters",
    "Edge",
    "ErrorFilter",
    "Fail",
    "Hop",
    "Join",
    "Kind",
    "Lane",
    "Level",
    "LimitCapacity",
    "LogEntry",
    "LogLine",
    "LoopCapacity",
    "LoopMetrics",
    "LoopOptions",
    "LoopPlan",
    "LoopState",
    "LoopStatus",
    "Makespan",
    "Middleware",
    "Node",
    "NodeKind",
    "NodeMetrics",
    "NodeRef",
    "NodeState",
    "NodeStatus",
    "OnError",
    "Once",
    "PlanEdge",
    "PlanNode",
    "Pool",
    "Problem",
    "QueueCapacity",
    "QueueMode",
    "QueueOptions",
    "QueuesByHand",
    "Rates",
    "ReaderOptions",
    "Reading",
    "Restart",
    "RunOnError",
    "RunStatus",
    "Source",
    "SpanKind",
    "StartRule",
    "Status",
    "StepKind",
    "Sweep",
    "Takes",
    "Targets",
    "Timelines",
    "Tool",
    "Verdicts",
    "Waits",
    "WhenFull",
    "Workflow",
]
