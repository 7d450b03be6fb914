"""What did a node change inside a list or dict of the state, without returning it?

Everybody sees such a change, as the object is shared; only the steps of the run would not
know of it, and a run that is taken up would come out different. So each list and dict of
a kept run's state is compared with what it was, when a node has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flownb.stores.codec import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flownb.engine.state import State
    from flownb.model.schema import Schema

# Comparing costs about 10 ms for each megabyte, at the end of every node that sees it.
LARGEST: Final = 1_000_000


class InPlace:
    """The lists and dicts of one run's state, and what they held when last looked at."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._known: dict[int, tuple[Any, str | None]] = {}

    def look(self, values: Mapping[str, Any]) -> None:
        """Remember what a node is about to see."""
        for name, value in values.items():
            if type(value) in {list, dict} and id(value) not in self._known:
                self._known[id(value)] = value, self._text(name, value)

    def changed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Give what is different by now, as it is kept."""
        found = {}
        for name, value in values.items():
            before = self._known.get(id(value))
            if before is None or before[1] is None:
                continue
            text = self._text(name, value)
            if text != before[1]:
                self._known[id(value)] = value, text
                if text is not None:
                    found[name] = value
        return self._schema.dumped(found) if found else {}

    def _text(self, name: str, value: Any) -> str | None:
        """Write it as text; None: too large to be compared, or changing at this very moment."""
        try:
            text = encode(self._schema.dumped({name: value}), f"state[{name!r}]")
        except RuntimeError:
            return None
        return text if len(text) <= LARGEST else None


def change(state: State, kept: Mapping[str, Any]) -> None:
    """Change the lists and dicts of *state* in place, as they were changed then."""
    for name, new in kept.items():
        held = state.values[name]
        if isinstance(held, dict):
            held.clear()
            held.update(new)
        else:
            held[:] = new
