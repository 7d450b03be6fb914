"""What are the types called that you only get, or only name in an annotation?

    from flownb.typing import AwaitPolicy, LoopMetrics, Status

What you make yourself is in `flownb`, errors are in `flownb.errors`, what stores and queues
give and take is in `flownb.stores` and `flownb.queues`.
"""

from flownb.engine.observe.stream import CallNext, Middleware
from flownb.engine.orchestrator.notices import Notice, NoticeKind
from flownb.engine.runtime import Clock
from flownb.engine.simulation.recorded_run import RecordedCall
from flownb.engine.simulation.simulate import Sweep
from flownb.explain.capacity import Capacity, Change, LimitCapacity, LoopCapacity, QueueCapacity
from flownb.explain.choices import Verdicts
from flownb.explain.explanation import Makespan
from flownb.explain.question import Question
from flownb.explain.reasons import Arm, Waits
from flownb.explain.study import Answer, Comparison, Reading
from flownb.explain.throughput import Rates
from flownb.model.edges import Edge
from flownb.model.nodes import Kind, Node, QueueOptions, ReaderOptions
from flownb.model.policies import (
    Ack,
    AwaitPolicy,
    Codec,
    Control,
    ErrorFilter,
    Fail,
    Join,
    LoopOptions,
    NodeKind,
    OnError,
    Pool,
    Prefetch,
    QueueMode,
    Restart,
    RunOnError,
    StartRule,
    Takes,
    WhenFull,
)
from flownb.model.tools import Tool
from flownb.model.topology import NodeRef, Targets
from flownb.model.workflow import Source, Workflow
from flownb.plan.loop_plan import LoopPlan, Once, PlanEdge, PlanNode
from flownb.queues.by_hand import QueuesByHand
from flownb.queues.send.dead_letters import DeadLetters
from flownb.records.events import Hop, LogLine, LoopState, NodeState, SpanKind, Swimlane
from flownb.records.metrics import LoopMetrics, LoopStatus, NodeMetrics, Status
from flownb.records.timeline import Timelines
from flownb.records.workflow_run import LogEntry, NodeStatus, RunStatus
from flownb.stores.base import StepKind
from flownb.validate.problems import Level, Problem

__all__ = [
    "Ack",
    "Answer",
    "Arm",
    "AwaitPolicy",
    "CallNext",
    "Capacity",
    "Change",
    "Clock",
    "Codec",
    "Comparison",
    "Control",
    "DeadLetters",
    "Edge",
    "ErrorFilter",
    "Fail",
    "Hop",
    "Join",
    "Kind",
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
    "Notice",
    "NoticeKind",
    "OnError",
    "Once",
    "PlanEdge",
    "PlanNode",
    "Pool",
    "Prefetch",
    "Problem",
    "Question",
    "QueueCapacity",
    "QueueMode",
    "QueueOptions",
    "QueuesByHand",
    "Rates",
    "ReaderOptions",
    "Reading",
    "RecordedCall",
    "Restart",
    "RunOnError",
    "RunStatus",
    "Source",
    "SpanKind",
    "StartRule",
    "Status",
    "StepKind",
    "Sweep",
    "Swimlane",
    "Takes",
    "Targets",
    "Timelines",
    "Tool",
    "Verdicts",
    "Waits",
    "WhenFull",
    "Workflow",
]
