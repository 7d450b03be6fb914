"""How is a node with policies called? As middleware( cache( retry( timeout( function )))).

Each attempt is a span of its own; waiting for the next one is another. An attempt that
timed out is left behind: what it still does, and what it pushes, is discarded.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, Protocol

from flownb.engine.calls.cache import Cached
from flownb.engine.calls.outcome import NotCalled, OpenCall, Simulated
from flownb.engine.calls.signature import ENDS
from flownb.engine.calls.threads import outcome_here
from flownb.engine.runtime import running_loop
from flownb.errors import FAILS, NodeTimeout, beside, told
from flownb.model.nodes import NodeData
from flownb.model.policies import retries
from flownb.records.events import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.call_site import CallSite
    from flownb.model.policies import Retry


_SAME: Final = 1e-6  # seconds


class _Begun(Exception):
    """A function has given a coroutine."""


class Function(Protocol):
    """What is called in the end: the user's function, with what its signature asks for."""

    is_async: bool
    gate: Any
    """Where its calls wait for a `Limit`."""
    passes: bool
    """Whether there is none: the payload passes on."""

    @property
    def threads(self) -> Any:
        """Where its sync calls are made."""

    def leave_thread(self) -> None:
        """Leave the thread to a call that was given up."""

    def invoke(self, token: Call) -> Any:
        """Call it; async ones give what is to be awaited."""

    def called(self, token: Call) -> tuple[Any, BaseException | None]:
        """Call it where it is; give output and error."""

    def extra(self, token: Call, output: Any, error: BaseException | None) -> float:
        """Seconds that a call which gave that still has to last."""

    async def stretched(
        self, token: Call, extra: float, output: Any, error: BaseException | None
    ) -> Any:
        """Let a simulated sync call take its time, then give its outcome."""


class Attempts:
    """The careful way to call one node."""

    def __init__(self, site: CallSite, function: Function) -> None:
        self._site, self._runtime, self._function = site, site.runtime, function
        self._retries = retries(site.node.retry)
        self._cached = Cached(site, self.aside) if site.node.cache else None

    async def call(self, token: Call, started: Any) -> Any:
        """Call the node for *token*.

        *started* is its first attempt, made already: the coroutine that it gave, what it raised,
        the `OpenCall` that a row has begun, or the `Simulated` call that still has to last.
        """
        call: Any = functools.partial(self._with_cache, token, started)
        for middleware in reversed(self._runtime.middleware):
            call = functools.partial(_ask, middleware, call, self._site.node)
        output = NOTHING
        try:
            output = await call(NodeData(token.payload, self._site.meta(token)))
        finally:
            if not token.attempt and not token.cancelled:  # the cache, or a middleware, answered
                self._site.answered(token, output)
        return output

    def at_once(self, token: Call) -> Any:
        """Give what the cache has, else call the function, in this thread: no other is asked.

        NotCalled if it cannot be said what the cache has; the attempt of the token is 0 where
        the function was not called.
        """
        assert self._cached is not None  # noqa: S101

        async def called() -> Any:
            token.attempt = 1
            output = self._function.invoke(token)
            if inspect.iscoroutine(output):
                raise _Begun(output)
            return output

        try:
            self._cached.call(token, called).send(None)
        except StopIteration as answer:
            return answer.value
        except _Begun as begun:
            return begun.args[0]
        except FAILS as error:
            if not token.attempt:
                raise NotCalled from error
            raise
        raise NotCalled  # it waits for something

    async def _with_cache(self, token: Call, started: Any, data: NodeData) -> Any:
        token.payload = data.payload
        call = functools.partial(self._with_retry, token, started)
        return await (call() if self._cached is None else self._cached.call(token, call))

    async def _with_retry(self, token: Call, started: Any) -> Any:
        if not self._retries:
            return await self._attempt(token, started)
        from tenacity import AsyncRetrying, retry_if_exception

        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: self._which(error) is not None),
            stop=lambda state: state.attempt_number >= self._of(state).attempts,
            wait=lambda state: self._of(state).wait(state.attempt_number, self._site.memory.rng),
            before_sleep=functools.partial(self._will_retry, token),
            sleep=functools.partial(self._backoff, token),
            reraise=True,
        )
        made = [started]

        async def attempt() -> Any:
            return await self._attempt(token, made.pop() if made else None)

        return await retrying(attempt)

    def _which(self, error: BaseException) -> Retry | None:
        try:
            return next((retry for retry in self._retries if retry.catches(error)), None)
        except FAILS as fault:
            what = f"node {self._site.name!r}: the predicate of Retry(on=...)"
            raise beside(what, fault, error) from fault

    def _of(self, state: Any) -> Retry:
        """Give the policy for what an attempt raised; asked only where there is one."""
        found = self._which(state.outcome.exception())
        assert found is not None  # noqa: S101
        return found

    def _will_retry(self, token: Call, state: Any) -> None:
        error = state.outcome.exception()
        why = told(error)
        self._runtime.event("retry", self._site.name, token.iteration, why)

    async def _backoff(self, token: Call, seconds: float) -> None:
        token.asked = start = self._runtime.now()
        await asyncio.sleep(seconds)
        self._site.span(token, "retry", start)

    async def _attempt(self, token: Call, started: Any) -> Any:
        if isinstance(started, BaseException):  # its row has told of it
            raise started
        await self._enter(token)
        token.attempt += 1
        token.held_back = ()  # what a failed attempt held back is not pushed
        token.start, output, limit = self._runtime.now(), NOTHING, self._site.node.timeout
        try:
            if isinstance(started, OpenCall) and limit is not None:
                token.start = started.start
                output = await self._opened(token, started, limit)
            else:
                output = await self._with_timeout(token, started, limit)
        finally:
            if not token.cancelled:
                self._site.span(token, "work", token.start, output)
        return output

    async def _enter(self, token: Call) -> None:
        """Wait for a place in the node's `Limit`, where a call that was given up has kept ours."""
        gate, runtime = self._function.gate, self._runtime
        if gate is None or token.place is not None:
            return
        token.asked, token.entered = runtime.now(), False
        held = asyncio.Event()
        token.place = gate.enter(token.iteration, runtime.event_loop, held.set)
        if not token.place.at_once:
            await held.wait()
            self._site.span(token, "limited", token.asked)
        token.entered = True

    async def _opened(self, token: Call, call: OpenCall, limit: float) -> Any:
        """Wait for a call that a row has begun; if it had not begun after all, make it."""
        token.in_thread = True
        try:
            found = await call.outcome(limit)
        except asyncio.CancelledError:
            call.leave()
            raise
        except TimeoutError:
            token.disown()
            call.leave()
            self._runtime.event("timeout", self._site.name, token.iteration, True)
            raise NodeTimeout(late(limit)) from None
        token.in_thread = False
        if found is None:
            return await self._with_timeout(token, None, limit)
        output, error = found
        if call.ended is not None and call.ended - call.start > limit + _SAME:
            self._late(token, limit)
        if error is not None:
            raise error
        if inspect.iscoroutine(output):
            left = max(limit - (self._runtime.now() - call.start), 0.0)
            return await self._with_timeout(token, output, left)
        return output

    async def _with_timeout(self, token: Call, started: Any, limit: float | None) -> Any:
        if limit is None:
            return await self._once(token, started)
        task = self._runtime.spawn(self._outcome(token, started), name=self._site.name)
        try:
            # not asyncio.timeout: the node could swallow its cancellation
            await asyncio.wait((task,), timeout=limit)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not task.done():
            self._abandon(token, task)
            raise NodeTimeout(late(limit))
        output, error, seconds = task.result()
        if seconds > limit + _SAME and self._function.is_async:
            self._late(token, limit)
        if error is not None:
            raise error
        return output

    def _late(self, token: Call, limit: float) -> None:
        """Let a call that ended too late have timed out: nobody could look meanwhile."""
        self._runtime.event("timeout", self._site.name, token.iteration, False)
        raise NodeTimeout(late(limit))

    async def _outcome(self, token: Call, started: Any) -> tuple[Any, Any, float]:
        """Give output, error, seconds: a SystemExit in a task would end the event loop."""
        output, error, begun = None, None, self._runtime.now()
        try:
            output = await self._once(token, started)
        except ENDS:
            raise
        except FAILS as failure:
            error = failure
        return output, error, self._runtime.now() - begun

    def _abandon(self, token: Call, task: asyncio.Task[Any]) -> None:
        token.disown()
        task.cancel()
        place, token.place = token.place, None
        simulated = self._runtime.inline and not self._function.is_async
        if place is not None and not simulated:
            task.add_done_callback(lambda _: place.give_up())
        abandoned = not self._function.is_async and not self._runtime.inline
        if abandoned and token.in_thread:
            self._function.leave_thread()
        self._runtime.event("timeout", self._site.name, token.iteration, abandoned)

    async def _once(self, token: Call, started: Any) -> Any:
        if isinstance(started, Simulated):
            return await self._function.stretched(token, *started)
        if self._function.is_async or started is not None:
            work = self._function.invoke(token) if started is None else started
            return await self._lasting(token, work)
        if self._runtime.inline or self._function.passes:
            output, error = self._function.called(token)
            if inspect.iscoroutine(output):
                return await self._lasting(token, output)
            extra = self._function.extra(token, output, error)
            return await self._function.stretched(token, extra, output, error)
        output = await self._thread_future(token)
        return await self._lasting(token, output) if inspect.iscoroutine(output) else output

    async def _lasting(self, token: Call, work: Any) -> Any:
        """Await an async node; in a simulation it then lasts as declared, also if it fails."""
        try:
            output = await work
        except ENDS:
            raise
        except FAILS as error:
            await self._linger(token, None, error)
            raise
        await self._linger(token, output)
        return output

    async def _linger(self, token: Call, output: Any, error: BaseException | None = None) -> None:
        if (extra := self._function.extra(token, output, error)) > 0:
            await asyncio.sleep(extra)

    async def _thread_future(self, token: Call) -> Any:
        token.in_thread = True
        call = functools.partial(self._function.called, token)
        output, error = await self.aside(call if token.place is None else token.place.kept_by(call))
        token.in_thread = False
        if error is not None:
            raise error
        return output

    async def aside(self, call: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
        """Do what may take its time in a thread; in one already, and in virtual time, at once."""
        runtime = self._runtime
        if runtime.inline or running_loop() is None:
            return call()
        future = runtime.event_loop.create_future()
        context = contextvars.copy_context()

        def land(output: Any, error: BaseException | None) -> None:
            if not future.done():
                future.set_result((output, error))

        def work() -> Callable[[], None]:
            return functools.partial(runtime.soon, land, *context.run(outcome_here, call))

        self._function.threads.submit(self._site.name, work)
        output, error = await future
        return output, error


def late(limit: float) -> str:
    """Say that a call took too long."""
    return f"took longer than its timeout of {limit:g} s"


async def _ask(middleware: Any, call_next: Any, node: Any, data: NodeData) -> Any:
    """Call one middleware, which has to be an async function."""
    answer = middleware(call_next, node, data)
    if inspect.isawaitable(answer):
        return await answer
    name = getattr(middleware, "__name__", type(middleware).__name__)
    msg = f"middleware {name!r} is not async: write async def {name}(call_next, node, data)"
    raise TypeError(msg)
