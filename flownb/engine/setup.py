"""What does a loop open before its first item, and close after its last?

Its resources (clients, connections, models) and its class nodes, all on the loop's
own event loop, closed in reverse order however the loop ends.
"""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from flownb.engine.context import Context
from flownb.engine.signature import ENDS
from flownb.engine.token import Token
from flownb.errors import FAILS, RunError, told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flownb.engine.calling import Runner
    from flownb.engine.runtime import Runtime


async def open_resources(
    runtime: Runtime, resources: Mapping[str, Any], stack: contextlib.AsyncExitStack
) -> None:
    """Enter each of `set_loop(resources=...)`: a context manager, or what makes one."""
    for name, value in resources.items():
        try:
            runtime.resources[name] = await _entered(value, stack)
        except FAILS as error:
            if isinstance(error, ENDS):
                raise
            why = told(error)
            msg = f"loop {runtime.name!r}: resource {name!r} did not open: {why}"
            raise RunError(msg) from error


async def _entered(value: Any, stack: contextlib.AsyncExitStack) -> Any:
    managed = hasattr(type(value), "__aenter__") or hasattr(type(value), "__enter__")
    made = value() if callable(value) and not managed else value
    if hasattr(type(made), "__aenter__"):
        return await stack.enter_async_context(made)
    if hasattr(type(made), "__enter__"):
        return stack.enter_context(made)
    return made


async def set_up(runners: Sequence[Runner], stack: contextlib.AsyncExitStack) -> None:
    """Call `setup(ctx)` of new class nodes, and see to it that `teardown()` follows."""
    for runner in runners:
        instance = runner.instance
        if instance is None or runner.is_set_up:
            continue
        token = Token(_Nobody, runner, None, 0)
        try:
            with runner.runtime.spot.at(runner.name):
                context = Context(runner.site, token, runner.table.pushes)
                await _maybe(instance.setup(context))
        except FAILS as error:
            if isinstance(error, ENDS):
                raise
            why = told(error)
            msg = f"node {runner.name!r} (loop {runner.runtime.name!r}): setup failed: {why}"
            raise RunError(msg) from error
        runner.is_set_up = True
        stack.push_async_callback(_torn_down, runner)


async def _torn_down(runner: Runner) -> None:
    runtime = runner.runtime
    try:
        with runtime.spot.at(runner.name):
            await _maybe(runner.instance.teardown())  # type: ignore[union-attr]
    except FAILS as error:  # the others are still to be torn down
        if isinstance(error, ENDS):
            raise
        runtime.log(runner.name, -1, "error", f"teardown failed: {told(error)}")


async def _maybe(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


class _Nobody:
    """Stands where an item would, before there is one."""

    iteration = -1
    message = None
