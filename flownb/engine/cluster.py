"""How does a loop live on a Dask cluster? `DaskHost`: one task for each attempt.

All traffic goes through the scheduler, the only place that the notebook and the workers
both reach. The notebook decides which attempt is the one that counts, sends a sign of
life every second, and misses the worker's answer to it when the worker is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.cargo import Cargo, Shared, dump_plan, load
from flownb.engine.hosts import Host
from flownb.engine.worker import BYE, main, queue_name
from flownb.errors import GraphError, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.mirror import Mirror

_BEAT: Final = 1.0
_SILENCE: Final = 15.0  # without an answer, before a worker counts as gone
_LOOK: Final = 0.25
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
    manager: Mirror

    def __init__(
        self,
        manager: Mirror,
        on_end: Callable[[Host], None],
        cargo: Cargo,
        client: Any,
        *,
        made: int = 0,
    ) -> None:
        super().__init__(manager, on_end)
        self._client, self._made = client, made
        self._content = load(cargo, "a Dask cluster")
        self._shared = Shared()
        self._shared.learn(cargo.plan)
        self._run = uuid.uuid4().hex[:12]
        self._uid = self.worker = ""
        self._event_loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop
        self._asked: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self._admitted = asyncio.Event()
        self._downs: list[Any] = []
        self._getting: asyncio.Future[Any] | None = None
        self._heard = time.monotonic()
        self._deadline = float("inf")
        manager.send = self._send

    def start(self, origin: float) -> None:
        """Submit the task; this returns at once."""
        self.manager.begin(origin)
        life = asyncio.run_coroutine_threadsafe(self._life(origin), self._event_loop)
        life.add_done_callback(lambda done: self._finish(_result_of(done)))

    def post(self, verb: Callable[..., Any], *args: Any) -> None:
        """Call a verb of the mirror, which sends it to the worker."""
        if not self.ended.done():
            verb(*args)

    def _send(self, verb: str, *args: Any) -> None:
        if verb == "apply":
            args = (dump_plan(args[0], args[1], self._shared),)
        elif verb == "stop":
            self._deadline = min(self._deadline, time.monotonic() + args[0] + _PATIENCE)
        with contextlib.suppress(RuntimeError):  # the client's event loop has closed
            self._event_loop.call_soon_threadsafe(self._asked.put_nowait, (verb, *args))

    # -- on the client's event loop --------------------------------------------

    async def _life(self, origin: float) -> BaseException | None:
        from distributed import Queue

        self._heard = time.monotonic()
        up = await Queue(queue_name(self._run), client=self._client)
        future = self._submit(origin)
        speaking = asyncio.create_task(self._speak())
        try:
            return await self._listen(up, future)
        finally:
            speaking.cancel()
            with contextlib.suppress(Exception):  # the cluster may be gone
                await asyncio.wait_for(self._part(up, future), _PARTING)

    async def _part(self, up: Any, future: Any) -> None:
        """Leave nobody waiting: neither the worker nor a question of ours to the scheduler."""
        for down in self._downs:
            await down.put(pickle.dumps(BYE))
        if self._getting is not None:
            await up.put(b"")
            await self._getting
        await self._client.cancel([future], force=True)

    def _submit(self, origin: float) -> Any:
        """Submit the task; where it runs is for Dask to say.

        With `workers=` a task whose worker has died would wait for it for ever.
        """
        began = time.time() - (time.monotonic() - origin)
        name = f"flownb-{self.manager.name}-{self._run}"
        return self._client.submit(
            main, self._content, self._run, self._made, began, key=name, pure=False, retries=0
        )

    async def _listen(self, up: Any, future: Any) -> BaseException | None:
        """Take what attempts tell until the loop has ended; give what broke it."""
        while not self.manager.has_told:
            content = await self._next(up)
            if content is not None:
                uid, what, message = pickle.loads(content)  # noqa: S301 - from our own worker
                if what == "hello" and not await self._admit(uid, message):
                    return self._gone()
                self._take(uid, what, message)
            if time.monotonic() > self._deadline:
                self.manager.abandoned.append(f"its task on {self.worker}, which did not obey")
                return None
            if self._uid and time.monotonic() > self._heard + _SILENCE:
                return self._gone()
            if future.status in {"error", "lost", "cancelled"}:
                return RunError(f"loop {self.manager.name!r}: its Dask task is {future.status}")
        return None

    async def _next(self, up: Any) -> bytes | None:
        """Give the next message, or None after a moment without any.

        Not with the queue's own timeout: Dask's scheduler would print it as an error.
        """
        if self._getting is None:
            self._getting = asyncio.ensure_future(up.get())
        done, _ = await asyncio.wait({self._getting}, timeout=_LOOK)
        if not done:
            return None
        getting, self._getting = self._getting, None
        return bytes(getting.result())

    def _take(self, uid: str, what: str, message: Any) -> None:
        if uid == self._uid:
            self._heard = time.monotonic()
            if what == "told":
                self.manager.take(message)

    async def _admit(self, uid: str, address: str) -> bool:
        """Answer an attempt that asks; a second one means that the first has died."""
        from distributed import Queue

        down = await Queue(queue_name(self._run, uid), client=self._client)
        first = not self._uid
        await down.put(pickle.dumps(("go",) if first else ("no",)))
        self._downs.append(down)
        if first:
            self._uid, self.worker = uid, address
            self._admitted.set()
        return first

    async def _speak(self) -> None:
        """Send what is asked, in order, and a sign of life every second."""
        await self._admitted.wait()
        while True:
            try:
                asked = await asyncio.wait_for(self._asked.get(), _BEAT)
            except TimeoutError:
                asked = ("alive",)
            await self._downs[0].put(pickle.dumps(asked))

    def _gone(self) -> RunError:
        where = f"loop {self.manager.name!r}: its Dask worker {self.worker}"
        return RunError(f"{where} is gone")


def _result_of(done: Any) -> BaseException | None:
    """Give what broke the loop, or the host itself."""
    if done.cancelled():
        return RunError("the client's event loop was closed")
    error: BaseException | None = done.exception()
    return error or done.result()
