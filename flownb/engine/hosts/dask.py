"""How does a loop live on a Dask cluster? `DaskHost`: one task for each attempt.

All traffic goes through the scheduler, the only place that the notebook and the workers
both reach. The notebook decides which attempt is the one that counts. It asks the scheduler for
the worker twice a second, so it knows of a death at once, also when no other worker is
left; then the loop says so and starts as soon as a worker comes. A worker that is there
and has nothing to say answers a sign of life every second.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.hosts.dask_worker import BYE, MAIL, PAUSE, main, queue_name, workers_of
from flownb.engine.hosts.host import Host
from flownb.engine.remote.pickling import PickledLoop, Shared, dump_plan, load
from flownb.errors import GraphError, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.remote.loop_proxy import LoopProxy

_BEAT: Final = 1.0
_SILENCE: Final = 60  # looks without an answer, before a worker counts as gone
_LOOK: Final = 0.25
_USUAL: Final = 10.0  # seconds in which a cluster with a free thread has begun a task
_PATIENCE: Final = 2.5
_PARTING: Final = 2.0


def client_of(cluster: Any) -> Any:
    """Give the client to use: the given one, a cluster's own, or Dask's current one."""
    try:
        from distributed import Client, default_client
    except ImportError as error:
        msg = "pool='dask' needs the extra: pip install 'flownb[dask]'"
        raise GraphError(msg) from error
    if cluster is not None and not isinstance(cluster, Client):
        cluster = cluster.get_client() if hasattr(cluster, "get_client") else cluster
    if cluster is not None and not isinstance(cluster, Client):
        msg = f"start(cluster=...) takes a distributed.Client, not a {type(cluster).__name__}"
        raise GraphError(msg)
    try:
        return default_client() if cluster is None else cluster
    except ValueError as error:
        msg = "pool='dask' needs a cluster: graph.start(cluster=distributed.Client(...))"
        raise GraphError(msg) from error


class DaskHost(Host):
    """One loop in a task on a Dask worker."""

    pool = "dask"
    manager: LoopProxy

    def __init__(
        self,
        manager: LoopProxy,
        on_end: Callable[[Host], None],
        pickled: PickledLoop,
        client: Any,
    ) -> None:
        super().__init__(manager, on_end)
        self._client = client
        self._content = load(pickled, "a Dask cluster")
        self._shared = Shared()
        self._shared.add_plan(pickled.plan)
        self._run = uuid.uuid4().hex[:12]
        self._uid = self.worker = ""
        self._workers = workers_of(client)
        self._event_loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop
        self._asked: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self._admitted = asyncio.Event()
        self._downs: list[Any] = []
        self._getting: asyncio.Future[Any] | None = None
        self._silent, self._lost, self._leaving = 0, False, False
        self._deadline = float("inf")
        manager.send = self._send

    def start(self, origin: float) -> None:
        """Submit the task; this returns at once."""
        self.manager.begin(origin)
        life = self._life(origin)
        try:
            living = asyncio.run_coroutine_threadsafe(life, self._event_loop)
        except RuntimeError:  # it has closed with the last client
            life.close()
            self._finish(self._error("its Dask client is closed"))
            return
        living.add_done_callback(lambda done: self._finish(_result_of(done)))

    def _send(self, verb: str, *args: Any) -> None:
        if verb == "apply":
            args = (dump_plan(args[0], args[1], self._shared),)
        elif verb == "stop":
            self._leaving = self._leaving or not self._uid
            self._deadline = min(self._deadline, time.monotonic() + args[0] + _PATIENCE)
        with contextlib.suppress(RuntimeError):  # the client's event loop has closed
            self._event_loop.call_soon_threadsafe(self._asked.put_nowait, (verb, *args))

    # -- on the client's event loop --------------------------------------------

    async def _life(self, origin: float) -> BaseException | None:
        if self._client.status in {"closing", "closed"}:
            return self._error("its Dask client is closed")
        opening = asyncio.ensure_future(self._queue())
        while not (await asyncio.wait({opening}, timeout=_LOOK))[0]:
            if self._leaving:  # a scheduler that is gone is tried for half a minute
                opening.cancel()
                return None
        try:
            return await self._attempt(opening.result(), origin)
        except OSError as error:
            return self._error(_parted(self._client.status, error))

    async def _queue(self, uid: str = "") -> Any:
        """Open one of Dask's queues, at the scheduler."""
        from distributed import Queue

        queue = Queue(queue_name(self._run, uid), client=self._client, maxsize=0 if uid else MAIL)
        await getattr(queue, "_started", queue)  # `await queue` alone would open it twice
        return queue

    async def _attempt(self, up: Any, origin: float) -> BaseException | None:
        future = self._submit(origin)
        beside = [asyncio.create_task(self._speak()), asyncio.create_task(self._watch())]
        try:
            error = await self._listen(up, future)
            if self._uid and not self.manager.has_reported_end:
                self.manager.cut_off(None)
            return error
        finally:
            for task in beside:
                task.cancel()
            with contextlib.suppress(Exception):  # the cluster may be gone
                await asyncio.wait_for(self._part(up, future), _PARTING)

    async def _part(self, up: Any, future: Any) -> None:
        """Leave nobody waiting: no attempt, and no question of ours to the scheduler."""
        self._leaving = True
        await self._client.cancel([future], force=True)
        for down in self._downs:
            await down.put(pickle.dumps(BYE))
        last = asyncio.ensure_future(up.put(b""))
        while content := await self._get(up):
            uid, what, message = pickle.loads(content)  # noqa: S301 - from our own worker
            if what == "hello":
                await self._admit(uid, message)
        await last
        if self.manager.has_reported_end:  # nobody writes any more
            for queue in (up, *self._downs):
                queue.close()

    def _submit(self, origin: float) -> Any:
        """Submit the task; where it runs is for Dask to say.

        With `workers=` a task whose worker has died would wait for it for ever.
        """
        began = time.time() - (time.monotonic() - origin)
        name = f"flownb-{self.manager.name}-{self._run}"
        return self._client.submit(
            main,
            self._content,
            self._run,
            self.manager.beginning,
            began,
            key=name,
            pure=False,
            retries=0,
        )

    async def _listen(self, up: Any, future: Any) -> BaseException | None:
        """Take what attempts report until the loop has ended; give what broke it."""
        while not self.manager.has_reported_end:
            content = await self._next(up)
            if self._leaving and not self._uid:
                return None  # stopped before it had a worker
            if content is None:
                self._silent += 1
            else:
                uid, what, message = pickle.loads(content)  # noqa: S301 - from our own worker
                if what == "hello" and not await self._admit(uid, message):
                    return self._gone()
                self._take(uid, what, message)
            if time.monotonic() > self._deadline:
                self.manager.abandoned.append(f"its task on {self.worker}, which did not obey")
                return None
            if content is None and self._uid and (self._lost or self._silent > _SILENCE):
                return self._gone()
            if future.status in {"error", "lost", "cancelled"}:
                return await self._broken(future)
        return None

    async def _next(self, up: Any) -> bytes | None:
        """Give the next message, or None after a moment without any.

        Not with the queue's own timeout: Dask's scheduler would print it as an error.
        """
        if self._getting is None:
            self._getting = asyncio.ensure_future(up.get())
        done, _ = await asyncio.wait({self._getting}, timeout=_LOOK)
        return await self._get(up) if done else None

    async def _get(self, up: Any) -> bytes:
        getting = self._getting or up.get()
        self._getting = None
        return bytes(await getting)

    def _take(self, uid: str, what: str, message: Any) -> None:
        if uid == self._uid:
            self._silent = 0
            if what == "sent":
                self.manager.take(message)

    async def _admit(self, uid: str, address: str) -> bool:
        """Answer an attempt that asks; a second one means that the first has died."""
        down = await self._queue(uid)
        first = not self._uid and not self._leaving
        await down.put(pickle.dumps(("go",) if first else ("no",)))
        if first:
            self._uid, self.worker = uid, address
            self._downs.append(down)
            self._admitted.set()
        return first

    async def _speak(self) -> None:
        """Send what is asked, in order, and a sign of life every second."""
        await self._admitted.wait()
        with contextlib.suppress(OSError):  # the scheduler is gone: its listeners will notice
            while True:
                try:
                    asked = await asyncio.wait_for(self._asked.get(), _BEAT)
                except TimeoutError:
                    asked = ("alive",)
                await self._downs[0].put(pickle.dumps(asked))

    async def _watch(self) -> None:
        """See whether the worker is still there, or what the loop waits for."""
        begin = time.monotonic()
        while True:
            there = await self._workers.look(self._client)
            if there is not None and self._uid:
                self._lost = self.worker not in there
            elif there is not None and (not there or time.monotonic() > begin + _USUAL):
                what = "with a free thread" if there else ""
                found = f"waits for a Dask worker {what}".rstrip()
                self.manager.wait_for(f"{found}: {self._workers.counted(there)}", warn=not there)
            await asyncio.sleep(PAUSE)

    def _gone(self) -> RunError:
        return self._error(f"its Dask worker {self.worker} is gone")

    async def _broken(self, future: Any) -> RunError:
        if future.status != "error":
            return self._error(f"its Dask task is {future.status}")
        error = await future.exception()
        if isinstance(error.__cause__, ImportError):
            return self._error(f"its Dask worker needs flownb and dask as here: {error.__cause__}")
        return self._error(f"its Dask task is error: {error}")

    def _error(self, what: str) -> RunError:
        return RunError(f"loop {self.manager.name!r}: {what}")


def _parted(status: str, error: OSError) -> str:
    """Say who has gone."""
    if status in {"closing", "closed"}:
        return "its Dask client was closed"
    return f"its Dask scheduler is gone: {error}"


def _result_of(done: Any) -> BaseException | None:
    """Give what broke the loop, or the host itself."""
    if done.cancelled():
        return RunError("the client's event loop was closed")
    error: BaseException | None = done.exception()
    return error or done.result()
