"""How is one node called for each element of a list? In parallel; a `Gathering` collects.

`add_node("grade", grade, over="papers")` is called for each element of `state["papers"]`, and
what the calls gave is collected in the order of the list. `more=` gives further elements, of
what a call gave: they are called at once, and their results stand behind that of the call they
came of, so the list does not depend on who was quicker. With `on_error="continue"` the list
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
    """The calls of one node over the elements of a list, and what they gave so far.

    `places` says for each call where its result stands: its number in the list, then its
    number among those that another call has added, and so on.
    """

    __slots__ = ("_gave", "error", "failures", "left", "places", "token")

    def __init__(self, token: Token) -> None:
        self.token, self.left = token, 0
        self.places: list[tuple[int, ...]] = []
        self._gave: list[Any] = []
        self.error: BaseException | None = None
        self.failures: dict[int, Failure] = {}

    def add(self, place: tuple[int, ...]) -> int:
        """Add a call to come; give its number."""
        self.places.append(place)
        self._gave.append(None)
        self.left += 1
        return len(self.places) - 1

    @property
    def results(self) -> list[Any]:
        """What the calls gave, in the order of the list."""
        order = sorted(range(len(self.places)), key=self.places.__getitem__)
        return [self._gave[call] for call in order]

    def took(self, call: int, result: Any, error: BaseException | None) -> bool:
        """Take in one call; say whether it was the last one."""
        self._gave[call] = result
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


def further(node: Node, result: Any) -> list[Any]:
    """Give the elements that *node* is to be called for too, of what a call gave."""
    if node.more is None:
        return []
    what = f"node {node.name!r}: more="
    try:
        found = node.more(result)
    except FAILS as fault:
        raise beside(what, fault) from fault
    return _listed(found, f"{what} what it gave")


def _listed(found: Any, what: str) -> list[Any]:
    """Give the elements in their order; what goes by letters, keys or by chance is refused."""
    if isinstance(found, (str, bytes, Mapping, set, frozenset)):
        msg = f"{what} is a {type(found).__name__}: give a list"
        raise RunError(msg)
    try:
        return list(found)
    except FAILS as fault:
        raise beside(f"{what}: going through it", fault) from fault
