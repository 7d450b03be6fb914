"""What is an edge? A source, a target, and for which outcomes it is live."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from flownb.model.policies import OTHERWISE

START: Final = "__start__"  # the names of the entry and of the end of a run, as LangGraph's
END: Final = "__end__"


@dataclass(frozen=True, slots=True)
class Edge:
    """One line of the graph, from `source` to `target`.

    It is live for the verdict `when`, or where `condition` holds of the source's output;
    `copy`: the payload is deep-copied on it; `description` is a word for the picture. `owner`
    is the node whose `after=` made it.
    """

    source: str
    target: str
    when: Any = None
    condition: Callable[..., Any] | None = None
    copy: bool = False
    description: str = ""
    owner: str | None = None

    @property
    def conditional(self) -> bool:
        """Whether the edge is live for some outcomes only."""
        return self.when is not None or self.condition is not None

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


class Conditional(Protocol):
    """An edge as the builder or the plan has it."""

    @property
    def when(self) -> Any:
        """For which verdict it is live; None: for any."""

    @property
    def condition(self) -> Callable[..., Any] | None:
        """What must hold of the source's output."""


Out = TypeVar("Out", bound=Conditional)


class AnyOf(tuple[Any, ...]):
    """The `when=` of an edge that several answers of a router lead to.

    >>> AnyOf(("fix", "retry"))
    'fix' or 'retry'
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return " or ".join(map(repr, self))


def says(verdict: Any, when: Any) -> bool:
    """Whether this verdict makes an edge with this `when=` live.

    >>> says("fix", "fix"), says("fix", AnyOf(("fix", "retry"))), says("fix", False)
    (True, True, False)
    """
    if type(when) is AnyOf and type(verdict) is not AnyOf:
        return any(bool(verdict == one) for one in when)
    return bool(verdict == when)


def chosen(outs: Iterable[Out], fits: Callable[[Out], bool]) -> list[Out]:
    """Choose among the edges out of a node: those that fit, by verdict and condition.

    Those with `when=OTHERWISE` are taken, too, if none of these is conditional.
    """
    outs = list(outs)
    live = [e for e in outs if e.when is not OTHERWISE and fits(e)]
    if not any(e.when is not None or e.condition is not None for e in live):
        live += [e for e in outs if e.when is OTHERWISE]
    return live
