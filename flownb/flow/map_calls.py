"""How is one node called for each element of a list? In parallel; a `Gathering` collects.

`add_node("grade", grade, over="papers")` is called for each element of `state["papers"]`, and
what the calls gave is collected in the order of the list. With `on_error="continue"` the list
is as long as it was: None stands where a call failed, and the run's `failures` say which and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flownb.errors import FAILS, RunError, beside

if TYPE_CHECKING:
    from flownb.errors import Failure
    from flownb.flow.token import Token
    from flownb.model.nodes import Node


class Gathering:
    """The calls of one node over the elements of a list, and what they gave so far."""

    __slots__ = ("error", "failures", "left", "results", "token")

    def __init__(self, token: Token, count: int) -> None:
        self.token, self.left = token, count
        self.results: list[Any] = [None] * count
        self.error: BaseException | None = None
        self.failures: dict[int, Failure] = {}

    def took(self, place: int, result: Any, error: BaseException | None) -> bool:
        """Take in one call; say whether it was the last one."""
        self.results[place] = result
        self.error = error if self.error is None else self.error
        self.left -= 1
        return self.left == 0


def elements(node: Node, state: Any) -> list[Any]:
    """Give the elements that *node* is called for: a key of the state, or a function of it."""
    over, what = node.over, f"node {node.name!r}: over="
    if callable(over):
        try:
            found = over(state)
        except FAILS as fault:
            raise beside(what, fault) from fault
        return _listed(found, f"{what} what it gave")
    try:
        found = state[over] if isinstance(state, dict) else getattr(state, str(over))
    except (KeyError, AttributeError, TypeError):
        msg = f"{what}{over!r}, but the state has no {over!r}"
        raise RunError(msg) from None
    return _listed(found, f"{what}{over!r}")


def _listed(found: Any, what: str) -> list[Any]:
    """Give the elements in their order; what goes by letters, keys or by chance is refused."""
    if isinstance(found, (str, bytes, Mapping, set, frozenset)):
        msg = f"{what} is a {type(found).__name__}: give a list"
        raise RunError(msg)
    try:
        return list(found)
    except FAILS as fault:
        raise beside(f"{what}: going through it", fault) from fault
