"""Can a loop be pickled for another process, and if not, which value cannot?

A process or Dask loop travels as one cloudpickle of its plan. What a function
captured travels with it: an open file, a lock or a client does not.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from flownb.errors import told
from flownb.model.policies import REMOTE_POOLS
from flownb.plan.traversal import reach
from flownb.validate.problems import Problem, error

if TYPE_CHECKING:
    from flownb.model.nodes import Node
    from flownb.validate.problems import Subject

_CARRIED: Final = ("fn", "fake", "takes", "fail", "retry", "on_error", "config")
_LONGEST: Final = 120
_LOOP: Final = ("resources", "on_error")


@dataclass(frozen=True, slots=True)
class _Piece:
    """One value that travels, and where it stands in the graph."""

    where: str
    value: Any
    node: str
    pool: str


def picklable(subject: Subject) -> Iterator[Problem]:
    """Find what cannot be pickled in the loops that run in another process."""
    flow, told = subject.flow, bytearray(len(subject.flow.names))
    for loop in subject.producers:
        options = subject.workflow.options.get(loop, {})
        pool = options.get("pool")
        if pool not in REMOTE_POOLS:
            continue
        inside = reach(flow.succ, [flow.index[loop]])
        names = [flow.names[v] for v, here in enumerate(inside) if here and not told[v]]
        told = bytearray(map(int.__or__, told, inside))
        yield from _running(subject.workflow.nodes[loop], pool)
        pieces = [
            *(_Piece(f"loop {loop!r}, {o}", options.get(o), loop, pool) for o in _LOOP),
            *(piece for name in names for piece in _of_node(subject, name, pool)),
        ]
        yield from _stuck([p for p in pieces if not _is_plain(p.value)])


def _running(node: Node, pool: str) -> Iterator[Problem]:
    if _is_running(node):
        kind = type(node.fn).__name__
        yield error(
            f"node {node.name!r}: a {kind} cannot move to a {pool} pool; give a generator"
            " function that yields its items, or a list",
            (node.name,),
        )


def _of_node(subject: Subject, name: str, pool: str) -> Iterator[_Piece]:
    node = subject.workflow.nodes[name]
    for option in _CARRIED:
        if option != "fn":
            yield _Piece(f"node {name!r}, {option}", getattr(node, option), name, pool)
        elif not _is_running(node):
            yield _Piece(f"node {name!r}", node.fn, name, pool)
    for edge in subject.outs[name]:
        yield _Piece(f"edge {edge}, condition", edge.condition, name, pool)


def _stuck(pieces: list[_Piece]) -> Iterator[Problem]:
    # All together first: what they share, say a big table, is then pickled once.
    if not _refusal([piece.value for piece in pieces]):
        return
    for piece in pieces:
        why = stuck(piece.value, f"a {piece.pool} pool")
        if why:
            yield error(f"{piece.where}: {why}", (piece.node,))


def stuck(value: Any, where: str) -> str:
    """Say why something cannot move there and what to do; "" if it can."""
    if not (failure := _refusal(value)):
        return ""
    culprit = _culprit(value)
    if "(in get_ipython)," in culprit:
        return (
            f"it calls get_ipython(), as each % and ! does, which cannot move to {where};"
            " say it in Python (`subprocess`, `time`), or use pool='thread'"
        )
    what = f"it uses {culprit} which" if culprit else "it"
    return (
        f"{what} cannot move to {where} ({failure}); make it"
        " inside the function, give it with set_loop(resources=...), or use pool='thread'"
    )


def _is_running(node: Node) -> bool:
    return node.kind == "producer" and isinstance(node.fn, (Iterator, AsyncIterator))


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in {bool, int, float, str}


def _refusal(value: Any) -> str:
    """Say why pickling fails, "" when it does not."""
    import cloudpickle

    try:
        cloudpickle.dumps(value)
    except Exception as failure:  # noqa: BLE001 - a __reduce__ may raise anything
        return told(failure)[:_LONGEST].split(" at 0x", 1)[0]
    return ""


def _culprit(value: Any, depth: int = 3) -> str:
    """Name the captured variable that does not travel: "'log' (in helper)"."""
    for name, held in _captured(value):
        if not _is_plain(held) and _refusal(held):
            inner = _culprit(held, depth - 1) if depth and callable(held) else ""
            return f"{inner} (in {name})," if inner else f"{name!r}, a {type(held).__name__},"
    return ""


def _captured(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (type, ModuleType)):
        return  # a class travels with all it has; nothing in it was captured
    if isinstance(value, FunctionType):
        yield from _closure(value)
        yield from _globals(value)
        yield from zip(_defaulted(value), value.__defaults__ or (), strict=False)
        yield from (value.__kwdefaults__ or {}).items()
    elif isinstance(value, MethodType):
        yield "self", value.__self__
    elif isinstance(value, functools.partial):
        yield "its function", value.func
        yield from ((f"argument {i}", held) for i, held in enumerate(value.args))
        yield from value.keywords.items()
    elif hasattr(value, "__dict__"):
        yield from vars(value).items()
    elif isinstance(value, dict):
        yield from ((str(key), held) for key, held in value.items())


def _closure(fn: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue


def _globals(fn: FunctionType) -> Iterator[tuple[str, Any]]:
    for name in _names(fn.__code__):
        if name in fn.__globals__:
            yield name, fn.__globals__[name]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _defaulted(fn: Callable[..., Any]) -> tuple[str, ...]:
    code, optional = fn.__code__, len(getattr(fn, "__defaults__", None) or ())
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names[len(names) - optional :]
