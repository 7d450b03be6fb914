"""What may stand in the state of a one-shot run, and how are updates folded in?

A schema is a graph's `state_model=` and `reducers=`, read once. A pydantic model is
checked at the entry and after every node; a `TypedDict` gives its reducers only. Both
may say them as LangGraph's users write them: `docs: Annotated[list, operator.add]`, which
begins as an empty list.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import (
    Annotated,
    Any,
    Final,
    NotRequired,
    Required,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, TypeAdapter, ValidationError

from flownb.arguments import at_once
from flownb.errors import GraphError, RunError, StoreError, beside, told
from flownb.jsonable import Refused, compare

Reducer = Callable[[Any, Any], Any]


class Schema:
    """The rules of one graph's state.

    >>> import operator
    >>> Schema(None, {"n": operator.add}).folded({"n": 1, "m": 0}, {"n": 2, "m": 5})
    {'n': 3, 'm': 5}
    """

    def __init__(
        self, model: type | None = None, reducers: Mapping[str, Reducer] | None = None
    ) -> None:
        self.model = model if model is not None and issubclass(model, BaseModel) else None
        self.reducers = reducers_of(model, reducers or {})
        self._empties = _empties(model, self.reducers)
        self._plain = self.model is None and not self.reducers

    def entry(self, state: Any) -> dict[str, Any]:
        """Give the entry state as a dict of its own; the model's defaults are filled in.

        A field with a reducer in its annotation begins empty: a list as [], a number as 0.
        """
        if state is None:
            state = {}
        values = _fields(state) if isinstance(state, BaseModel) else dict(state)
        values |= {k: begin() for k, begin in self._empties.items() if k not in values}
        return self._checked(values, "the entry state") if self.model else values

    def view(self, values: dict[str, Any]) -> Any:
        """Give what a node gets to see: a dict it may change freely, or the model."""
        return dict(values) if self.model is None else self.model.model_construct(**values)

    def update(self, output: Any, seen: Mapping[str, Any], node: str) -> dict[str, Any]:
        """Read what a node returned: only what it says anew counts as its update."""
        if output is None:
            return {}
        if isinstance(output, BaseModel):
            output = _fields(output)
        if not isinstance(output, Mapping):
            msg = (
                f"node {node!r} returned {type(output).__name__}: a node of a run over a dict "
                "returns a dict of what it changes, or None"
            )
            if type(output).__name__ == "Command":
                msg += "; where to go on is what add_conditional_edges() says"
            raise RunError(msg)
        reducers = self.reducers
        return {
            k: v for k, v in output.items() if k in reducers or k not in seen or v is not seen[k]
        }

    def stepped(
        self, output: Any, values: dict[str, Any], node: str
    ) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """Give the update that a node returned, and the values with it folded in."""
        if self._plain and type(output) is dict:
            update = {k: v for k, v in output.items() if k not in values or v is not values[k]}
            return update, {**values, **update}
        update = self.update(output, values, node)
        return update, self.folded(values, update, node) if update else values

    def folded(
        self, values: Mapping[str, Any], update: Mapping[str, Any], node: str = ""
    ) -> dict[str, Any]:
        """Give the values with *update* folded in; the first value of a key needs no reducer."""
        out = {**values, **update}
        for key, reducer in self.reducers.items():
            if key in update and key in values:
                try:
                    out[key] = at_once(reducer(values[key], update[key]))
                except BaseException as fault:
                    what = f"the reducer of {key!r}, on what node {node!r} returned,"
                    raise beside(what, fault) from fault
        return self._checked(out, f"what node {node!r} returned") if self.model else out

    def dumped(self, update: Mapping[str, Any], where: str = "the state") -> Any:
        """Give an update as it is kept: the fields of a model as JSON types.

        StoreError names a field of which `loaded` would make something else; *where* says
        what it is a field of.
        """
        if self.model is None:
            return dict(update)
        return {k: self._dumped(k, v, where) for k, v in update.items()}

    def _dumped(self, name: str, value: Any, where: str) -> Any:
        from pydantic_core import to_jsonable_python

        try:
            kept = to_jsonable_python(value, round_trip=True)
            compare(self._field(name, value), self._field(name, kept))
        except Refused as refused:
            msg = f"{where}: .{name}{refused.path}: {refused.reason}"
            raise StoreError(msg) from refused.__cause__
        except BaseException as fault:
            msg = f"{where}: .{name}: {told(fault)}"
            raise StoreError(msg) from fault
        return kept

    def loaded(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        """Read back what `dumped` gave."""
        return {k: self._field(k, v) for k, v in kept.items()}

    def _field(self, name: str, value: Any) -> Any:
        if self.model is None or name not in self.model.model_fields:
            return value
        try:
            return _adapter(self.model, name).validate_python(value)
        except ValidationError:  # an update for a reducer may be of another type than the field
            return value

    def _checked(self, values: dict[str, Any], what: str) -> dict[str, Any]:
        model: Any = self.model
        unknown = [k for k in values if k not in model.model_fields]
        if unknown and model.model_config.get("extra") != "allow":
            known = ", ".join(model.model_fields)
            msg = f"{what}: {model.__name__} has no field {unknown[0]!r} (there are: {known})"
            raise RunError(msg)
        try:
            return _fields(model.model_validate(values))
        except BaseException as error:
            text = error if isinstance(error, ValidationError) else told(error)
            msg = f"{what} does not fit {model.__name__}: {text}"
            raise RunError(msg) from error


@lru_cache(maxsize=256)
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    return TypeAdapter(model.model_fields[name].rebuild_annotation())


def _fields(model: BaseModel) -> dict[str, Any]:
    """Give the fields of a model as they are; `model_dump` would copy them."""
    return dict(model)


def reducers_of(model: type | None, given: Mapping[str, Reducer]) -> dict[str, Reducer]:
    """Give all reducers of a graph: those in the annotations of its model, and those given.

    >>> from typing import TypedDict
    >>> Docs = TypedDict("Docs", {"docs": Annotated[list[str], list.__add__]})
    >>> list(reducers_of(Docs, {"n": max}))
    ['docs', 'n']
    """
    found = {k: [m for m in extras if _reduces(m)] for k, (_, extras) in _hints(model).items()}
    return {**{k: each[-1] for k, each in found.items() if each}, **given}


def _hints(model: type | None) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Give the type of each field that has extras in `Annotated`, and these extras."""
    if model is None:
        return {}
    try:
        hints = get_type_hints(model, include_extras=True)
    except NameError as error:
        msg = f"state_model {model.__name__}: its annotations cannot be read: {error}"
        raise GraphError(msg) from error
    found = {}
    for key, hint in hints.items():
        while get_origin(hint) in {Required, NotRequired}:
            (hint,) = get_args(hint)  # noqa: PLW2901
        if get_origin(hint) is Annotated:
            found[key] = hint.__origin__, hint.__metadata__
    return found


def _empties(model: type | None, reducers: Mapping[str, Reducer]) -> dict[str, type]:
    """Say with what a field begins that has a reducer in its annotation, and no default."""
    fields = getattr(model, "model_fields", {})
    begins = {k: _EMPTY.get(get_origin(kind) or kind) for k, (kind, _) in _hints(model).items()}
    return {
        k: begin
        for k, begin in begins.items()
        if begin and k in reducers and (k not in fields or fields[k].is_required())
    }


_EMPTY: Final[dict[Any, type]] = {
    **{kind: kind for kind in (list, dict, set, frozenset, tuple, str, int, float)},
    **dict.fromkeys((abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable), list),
    **dict.fromkeys((abc.Set, abc.MutableSet), set),
    **dict.fromkeys((abc.Mapping, abc.MutableMapping), dict),
}


def _reduces(value: object) -> bool:
    return callable(value) and not isinstance(value, type)
