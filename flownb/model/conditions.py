"""What does a node call that came as data? A `Condition`, or a `Placeholder` for a function.

A `Condition` compares one field of the payload with a value: an if that somebody drew. A
`Placeholder` stands where the function is still missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import contains, eq, ge, gt, le, lt, ne
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from flownb.errors import RunError, did_you_mean

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "exists"]
OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)
_COMPARE: Final[Mapping[str, Callable[[Any, Any], Any]]] = MappingProxyType(
    {
        "==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge, "contains": contains,
        "in": lambda a, b: a in b, "not in": lambda a, b: a not in b,
    }
)  # fmt: skip
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Condition:
    """A predicate that is data: whether a *field* of the payload compares so with a *value*.

    *field* is a key of the payload, or keys and places of a list with dots between them
    ("weather.temps.0"); "" is the payload itself. Only dicts and lists are looked into.

    >>> hot = Condition("temp", ">", 30)
    >>> hot({"temp": 31}), hot({"temp": 20})
    (True, False)
    """

    field: str
    op: Operator
    value: Any = None

    def __post_init__(self) -> None:
        """Refuse an operator that is none."""
        if self.op not in OPERATORS:
            msg = f"op={self.op!r} is no comparison{did_you_mean(str(self.op), OPERATORS)}"
            raise ValueError(msg)

    def __call__(self, payload: Any) -> bool:
        """Compare; RunError when the field is not there, or compares with no such value."""
        found = payload
        for key in self.field.split(".") if self.field else ():
            found = _inside(found, key)
        if self.op == "exists":
            return found is not _ABSENT
        if found is _ABSENT:
            msg = f"{self}: the payload has no field {self.field!r}"
            raise RunError(msg)
        try:
            return bool(_COMPARE[self.op](found, self.value))
        except TypeError as error:
            msg = f"{self}: {error}"
            raise RunError(msg) from error

    def __str__(self) -> str:
        value = "" if self.op == "exists" else f" {self.value!r}"
        return f"{self.field or 'payload'} {self.op}{value}"


def _inside(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key, _ABSENT)
    if isinstance(value, (list, tuple)) and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    return _ABSENT


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A function that is missing: a node of a foreign *type*, or of a function nobody knows.

    >>> Placeholder("prompt")({"text": "hi"})
    Traceback (most recent call last):
    flownb.errors.RunError: a placeholder for 'prompt': add_node() with the name of this node ...
    """

    type: str

    def __call__(self, payload: Any = None) -> Any:  # noqa: ARG002 - called as any node is
        """Refuse to run."""
        msg = f"a placeholder for {self.type!r}: add_node() with the name of this node and a"
        msg += " function fills it in"
        raise RunError(msg)
