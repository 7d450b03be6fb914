"""How are resources opened and closed? Async ones on the event loop, sync ones in a thread.

A sync resource may be bound to the thread that opened it, and closing may take its time: each
loop opens and closes all of them in one thread of their own. With `thread_sensitive=True` that is
the one thread in which all sync code of the loop is called, so that nodes can use them.
"""

from __future__ import annotations

import contextvars
from functools import partial
from typing import TYPE_CHECKING, Any

from flownb.arguments import is_async
from flownb.engine.calls.signature import ENDS
from flownb.engine.calls.threads import Threads
from flownb.engine.prints import HERE, Spot
from flownb.errors import FAILS, RunError, told

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Mapping

    from flownb.engine.runtime import Runtime

_GRACE = 0.1  # seconds for a thread that has nothing left to do


async def open_resources(
    runtime: Runtime, resources: Mapping[str, Any], stack: contextlib.AsyncExitStack
) -> None:
    """Enter each of `set_loop(resources=...)`: a context manager, or what makes one."""
    if not resources:
        return
    threads = runtime.threads
    if not runtime.inline and not threads.single:
        threads = Threads(f"{runtime.name} resources", runtime.crash, most=1)
        stack.push_async_callback(threads.aclose, _GRACE)
    for name, value in resources.items():
        try:
            runtime.resources[name] = await _entered(runtime, threads, value, stack)
        except FAILS as error:
            if isinstance(error, ENDS):
                raise
            why = told(error)
            msg = f"loop {runtime.name!r}: resource {name!r} did not open: {why}"
            raise RunError(msg) from error


async def _entered(
    runtime: Runtime, threads: Threads, value: Any, stack: contextlib.AsyncExitStack
) -> Any:
    made = value
    if callable(value) and not _is_manager(type(value)):
        made = await _made(runtime, threads, value)
    if hasattr(type(made), "__aenter__"):
        return await stack.enter_async_context(made)
    if not hasattr(type(made), "__enter__"):
        return made
    leave = made.__exit__

    async def left(*details: Any) -> Any:
        return await call_aside(runtime, threads, partial(leave, *details))

    entered = await call_aside(runtime, threads, made.__enter__)
    stack.push_async_exit(left)
    return entered


def _is_manager(kind: type) -> bool:
    return hasattr(kind, "__aenter__") or hasattr(kind, "__enter__")


async def _made(runtime: Runtime, threads: Threads, make: Callable[[], Any]) -> Any:
    """Make a resource in the thread; on the event loop what asks for one that runs."""
    if hasattr(make, "__aenter__"):  # a class
        return make()
    try:
        return await call_aside(runtime, threads, make)
    except RuntimeError as error:
        if "event loop" not in str(error):
            raise
        return make()


async def call_aside(
    runtime: Runtime, threads: Threads, call: Callable[[], Any], node: str = ""
) -> Any:
    """Call the user's sync code in a thread, with its prints in the log of *node* or the loop."""
    if runtime.inline:
        with runtime.spot.at(node or runtime.name):
            return call()
    future = runtime.event_loop.create_future()
    context, spot = contextvars.copy_context(), Spot(runtime.write_line)
    spot.where = lambda: (node or runtime.name, -1)
    context.run(HERE.set, spot)

    def land(output: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_result((output, error))

    def work() -> Callable[[], None]:
        outcome = context.run(_tried, call)
        context.run(spot.end)
        return partial(runtime.soon, land, *outcome)

    threads.submit(node or "a resource", work)
    output, error = await future
    if error is not None:
        raise error
    return output


def _tried(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return call(), None
    except FAILS as error:
        return None, error


async def call_hook(runtime: Runtime, node: str, hook: Callable[..., Any], *args: Any) -> None:
    """Call `setup` or `teardown` of a class node: a sync one in a thread."""
    if is_async(hook):
        with runtime.spot.at(node):
            await hook(*args)
    else:
        await call_aside(runtime, runtime.threads, partial(hook, *args), node)
