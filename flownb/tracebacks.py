"""What does a traceback show that leaves flownb? The user's lines, and none of ours.

A node is called from deep inside: a thread, an event loop, a retry. None of that shows why it
failed, and it hides the line that does. So each verb that calls the user's code, or checks what
they gave, cuts the frames of flownb, and of what it uses, out of the errors that leave it.
`FLOWNB_TRACEBACK=full` in the environment keeps them, for those who work on flownb.

Cells, scripts and modules that are not installed are the user's code.
"""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
from contextlib import AbstractContextManager
from inspect import iscoroutinefunction
from pathlib import Path
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from flownb.errors import FlowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")
_MACHINERY: Final = frozenset(
    {"asyncio", "concurrent", "contextlib", "nest_asyncio", "nest_asyncio2", "tenacity"}
    | {"threading"}
)


# What says all in its text; of any other error that begins in flownb the last frame is left.
_TELLS_ITSELF: Final = frozenset({"CancelledError", "KeyboardInterrupt", "TimeoutError"})


# An exception's own class may refuse to be changed, as a frozen dataclass does.
_SET_TRACEBACK: Final = BaseException.__dict__["__traceback__"].__set__


class _Folding(AbstractContextManager[None]):
    """Folds what is raised inside, on its way out of a verb."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Cut the frames out; Python goes on with what is left."""
        if error is not None:
            fold(error)


folding: Final = _Folding()


def folded(verb: Callable[P, R]) -> Callable[P, R]:
    """Have a verb, sync or async, fold what it raises."""
    call: Any = verb
    fold_it = folding  # all that the faces read is closed over: they get other globals

    async def awaited(*args: Any, **kwargs: Any) -> Any:
        with fold_it:
            return await call(*args, **kwargs)

    def called(*args: Any, **kwargs: Any) -> Any:
        with fold_it:
            return call(*args, **kwargs)

    face = awaited if iscoroutinefunction(verb) else called
    # Of the verb's own module, so that doctest finds its examples.
    made = FunctionType(face.__code__, call.__globals__, call.__name__, None, face.__closure__)
    return cast("Callable[P, R]", functools.wraps(verb)(made))


def fold(error: BaseException) -> None:
    """Cut our frames out of an error, and of those that it came from."""
    if os.environ.get("FLOWNB_TRACEBACK") == "full":
        return
    for one in _family(error):
        _SET_TRACEBACK(one, _linked(_kept(one)))
        context = one.__context__
        if isinstance(one, FlowError) and context is not None and context.__traceback__ is None:
            one.__suppress_context__ = True  # something of ours that nobody needs to know


def _family(error: BaseException) -> Iterator[BaseException]:
    """Give an error and those that it came from, these first."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and not any(one is other for other in found):
            found.append(one)
            todo += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return reversed(found)


def _kept(error: BaseException) -> list[TracebackType]:
    """Give what is left of a traceback: from flownb on nothing, until the user's code is called."""
    kept: list[TracebackType] = []
    inside, frame, last = True, error.__traceback__, error.__traceback__
    while frame is not None:
        module = _module(frame).partition(".")[0]
        inside = module == "flownb" or (inside and module in _MACHINERY)
        if not inside:
            kept.append(frame)
        frame, last = frame.tb_next, frame
    if inside and (isinstance(error, FlowError) or type(error).__name__ in _TELLS_ITSELF):
        # What the user called, and not how that came to us: a socket, opened by a library.
        while kept and not is_own(_module(kept[-1])):
            kept.pop()
    elif inside and last is not None and last is not error.__traceback__:
        kept.append(last)  # (the first one is the verb's own: it was called with what it has not)
    return kept


def _module(frame: TracebackType) -> str:
    name = frame.tb_frame.f_globals.get("__name__")
    return name if isinstance(name, str) else ""


def _linked(frames: list[TracebackType]) -> TracebackType | None:
    linked: TracebackType | None = None
    for frame in reversed(frames):
        linked = TracebackType(linked, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return linked


@functools.cache
def _installed() -> tuple[str, ...]:
    """Give the folders of Python and of installed packages."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {sysconfig.get_path(name) for name in names} | set(site.getsitepackages())
    # a browser's Python has its library in a zip file, and no folder of the user's (None)
    folders |= {str(Path(os.__file__).parent), site.getusersitepackages() or ""} - {""}
    return tuple(f"{Path(folder).resolve()}/" for folder in folders)


@functools.lru_cache(maxsize=4096)
def _is_installed(file: str) -> bool:
    return Path(file).resolve().as_posix().startswith(_installed())


def is_own(name: object) -> bool:
    """Whether a module is the user's: a cell, a script, a file that is not installed.

    >>> is_own("__main__"), is_own("json"), is_own("pydantic.main"), is_own("flownb.graph")
    (True, False, False, False)
    """
    if not isinstance(name, str):
        return False
    top = name.partition(".")[0]
    if name == "__main__" or top == "flownb":
        return name == "__main__"
    module = sys.modules.get(name)
    if module is None:
        return top not in sys.stdlib_module_names
    file = getattr(module, "__file__", None)
    if file is None:
        return top not in sys.stdlib_module_names and top not in sys.builtin_module_names
    return not _is_installed(file)
