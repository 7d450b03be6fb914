"""What is known of one loop before it runs? Its plan, its durations, its possible items.

Everything that `explain` says of a loop is read off a `Study`: the courses that an item
can take, one for each choice of the ifs, and under each policy the release of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from flownb.analysis.course import Course, course, lasts_of
from flownb.analysis.durations import MICRO
from flownb.analysis.rehearsal import needs_rehearsal, rehearse
from flownb.analysis.releases import Release, release
from flownb.analysis.verdicts import MOST, choices, options

if TYPE_CHECKING:
    from flownb.analysis.durations import Durations
    from flownb.analysis.plan import LoopPlan
    from flownb.analysis.verdicts import Option, Verdicts
    from flownb.model.policies import AwaitPolicy

_STEPS: Final = 300_000  # nodes times choices: a huge loop gets a bound instead


@dataclass(frozen=True, slots=True)
class Study:
    """One loop, and the courses that its items can take.

    `exact`: these are all courses; else there is one, in which everything that is not
    decided is live, and what is read off it is a bound: "at most".
    """

    plan: LoopPlan
    durations: Durations
    open: dict[int, tuple[Option, ...]]
    courses: tuple[Course, ...]
    exact: bool
    _known: dict[AwaitPolicy, tuple[Release, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, plan: LoopPlan, durations: Durations, verdicts: Verdicts | None = None) -> Study:
        """Follow an item along every course that *verdicts* leave open."""
        left = options(plan, verdicts)
        most = min(MOST, _STEPS // len(plan.nodes))
        picked, exact = choices(left, most)
        lasts = lasts_of(plan, durations.us)
        follow = rehearse if needs_rehearsal(plan) else course
        courses = tuple(follow(plan, lasts, each) for each in picked)
        return cls(plan, durations, left, courses, exact)

    def only(self, courses: Sequence[Course]) -> Study:
        """Give the same study of fewer courses."""
        return Study(self.plan, self.durations, self.open, tuple(courses), self.exact)

    @property
    def is_bound(self) -> bool:
        """Whether what is read off it is "at most": too many courses, or runs that wait."""
        waits = any(n.multi for n in self.plan.nodes) and self.courses[0].played
        return waits or not self.exact

    @property
    def loop(self) -> str:
        """The name of the loop."""
        return self.plan.loop

    def releases(self, policy: AwaitPolicy | None = None) -> tuple[Release, ...]:
        """Give the release of each course; the loop's own policy if none is named."""
        read = policy or self.plan.policy
        if read not in self._known:
            self._known[read] = tuple(release(it, read) for it in self.courses)
        return self._known[read]

    def release_of(self, it: Course) -> Release:
        """Give the release of one of the courses under the loop's own policy."""
        return self.releases()[next(i for i, each in enumerate(self.courses) if each is it)]

    def worst(self, policy: AwaitPolicy | None = None) -> Release:
        """Give the latest release there can be."""
        return max(self.releases(policy), key=lambda r: r.us)

    def awaited(self, policy: AwaitPolicy | None = None) -> tuple[str, ...]:
        """Name the nodes that some item makes the producer wait for, in graph order."""
        found = {v for r in self.releases(policy) for v in r.awaited}
        names = {self.plan.nodes[v].name for v in found}
        return tuple(name for name in self.durations.us if name in names)

    @property
    def detached(self) -> tuple[str, ...]:
        """Name the nodes that never delay the producer."""
        names = {n.name for n in self.plan.nodes if n.detached}
        return tuple(name for name in self.durations.us if name in names)

    def names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Give the names of nodes by number."""
        return tuple(self.plan.nodes[v].name for v in numbers)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Name the nodes of the loop whose duration nobody knows."""
        missing = set(self.durations.unknown)
        return tuple(n.name for n in self.plan.nodes if n.name in missing)

    def takes(self, name: str) -> float:
        """Give the seconds of a node."""
        return self.durations.us[name] / MICRO
