"""Which loops of a run can be started once more, and may this run do it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flownb.analysis.validate import check
from flownb.arguments import known
from flownb.engine.generations import running
from flownb.engine.keeper import check_kept
from flownb.engine.placing import placed
from flownb.engine.supported import check_supported
from flownb.errors import LoopStopped

if TYPE_CHECKING:
    from flownb.analysis.plan import LoopPlan
    from flownb.engine.orchestrator import Orchestrator


def plans_again(orch: Orchestrator, loop: str | None, cluster: Any) -> list[LoopPlan]:
    """Compile the loops that have ended, or are about to; of one name, or all.

    Raises GraphError for a graph with mistakes, LoopStopped when another generation of
    it runs, RunError when it has no such loop, and what a checkpoint has against it.
    """
    if running().get(orch.name) not in {None, orch}:
        msg = f"graph {orch.name!r} runs in a newer generation: start its loops there"
        raise LoopStopped(msg)
    check(orch.workflow)
    check_supported(orch.workflow, live=True)
    loops = orch.workflow.producers
    asked = loops if loop is None else [known("loop", loop, loops)]
    tracks = orch._live.tracks
    idle = [name for name in asked if name not in tracks or tracks[name].is_ending]
    plans = [placed(orch.workflow, name, cluster) for name in idle]
    check_kept(orch.workflow, plans, fresh=False)
    return plans
