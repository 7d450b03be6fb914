"""What does one loop wait for under one await policy, and under all six?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flownb.analysis.durations import MICRO
from flownb.model.shown import Shown

if TYPE_CHECKING:
    from flownb.analysis.study import Study
    from flownb.analysis.verdicts import Option
    from flownb.model.policies import AwaitPolicy


@dataclass(frozen=True, slots=True)
class Reading:
    """One `loop` under one await `policy`: the `release` in seconds, and what it `waits_for`.

    `chain` is what takes so long: (node, seconds), the producer first. `own`: it is the
    policy of the loop. `at_most`: the ifs leave too many courses to try each, so the
    release is a bound.
    """

    loop: str
    policy: AwaitPolicy
    release: float
    waits_for: tuple[str, ...]
    chain: tuple[tuple[str, float], ...]
    own: bool = False
    at_most: bool = False


class Comparison(Shown, tuple[Reading, ...]):
    """Readings side by side: a tuple that shows itself as bars and as a table."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one node may say, and what the producer then waits for, until which second.

    If `node` of `loop` `says` this, its producer `waits_for` these nodes, until second
    `release` of the iteration. `at_most`: the release is a bound.
    """

    loop: str
    node: str
    says: str
    waits_for: tuple[str, ...]
    release: float
    at_most: bool = False


def read(study: Study, policy: AwaitPolicy, own: AwaitPolicy) -> Reading:
    """Read a loop under a policy; *own* is that of the loop."""
    worst = study.worst(policy)
    names = study.names(worst.chain)
    chain = tuple((name, study.takes(name)) for name in names)
    seconds, waits_for = worst.us / MICRO, study.awaited(policy)
    return Reading(study.loop, policy, seconds, waits_for, chain, policy == own, study.is_bound)


def answer(study: Study, option: Option) -> Answer:
    """Say what follows if a node says this; *study* holds the courses on which it does."""
    release = study.worst().us / MICRO
    return Answer(study.loop, option.node, option.says, study.awaited(), release)
