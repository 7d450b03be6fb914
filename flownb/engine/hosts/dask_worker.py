"""What runs on a Dask worker, and which workers are there? One long task for each attempt.

Dask runs a task again when its worker dies, without any notice. So an attempt first
asks the notebook whether it may run: only the first that asks gets a yes, and what to do after
a death is decided there. It stops by itself when the notebook has been silent for a minute.

Which workers a cluster has at this moment is asked of its scheduler; a client's own list lags
behind by seconds. All loops of one client share the question, so a cluster is asked at most
twice a second however many loops live on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from flownb.engine.prints import captured
from flownb.engine.remote.loop_server import LoopServer, refuse, unload
from flownb.errors import told

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from flownb.engine.checkpoints.record import Beginning

SILENCE: Final = 60.0
MAIL: Final = 16  # messages at the scheduler that the notebook has not fetched
BYE: Final = ("bye",)


def queue_name(run: str, uid: str = "") -> str:
    """Name the queue that leads to the notebook, or to one attempt."""
    return f"flownb-{run}-{uid or 'up'}"


class WorkerChannel:
    """The channel of a Dask loop: two of Dask's own queues, through the scheduler."""

    def __init__(self, client: Any, run: str, address: str) -> None:
        from distributed import Queue

        self.uid, self._address = uuid.uuid4().hex[:12], address
        self._up = Queue(queue_name(run), client=client, maxsize=MAIL)
        self._down = Queue(queue_name(run, self.uid), client=client)
        self._last_reply = time.monotonic()
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="flownb watch", daemon=True).start()

    def _watch(self) -> None:
        """End the waiting for a notebook that has fallen silent."""
        while not self._over.wait(1):
            if time.monotonic() > self._last_reply + SILENCE:
                with contextlib.suppress(Exception):  # this worker is being closed
                    self._down.put(pickle.dumps(BYE))
                return

    def send(self, message: bytes) -> None:
        """Send a message to the notebook."""
        self._send("sent", message)

    def mark(self, records: int) -> None:
        """A worker shares no memory with the notebook."""

    def _send(self, what: str, message: Any = None) -> None:
        try:
            self._up.put(pickle.dumps((self.uid, what, message)), timeout=SILENCE)
        except Exception as error:  # the worker is being closed: any part of it may be gone
            raise OSError(told(error)) from error

    def may_run(self) -> bool:
        """Ask the notebook whether this attempt is the one."""
        self._send("hello", self._address)
        try:
            return self.receive() == ("go",)
        except EOFError:
            return False

    def close(self) -> None:
        """Give the scheduler its queues back; nothing is sent or received any more."""
        if not self._over.is_set():
            self._over.set()
            self._up.close()
            self._down.close()

    def _next(self) -> bytes:
        try:
            # no timeout: Dask's scheduler would print it as an error
            return bytes(self._down.get())
        except Exception as error:  # as above
            raise OSError(told(error)) from error

    def receive(self) -> tuple[Any, ...]:
        """Wait for what the notebook asks; EOFError after its last word, or much silence."""
        while True:
            asked: tuple[Any, ...] = pickle.loads(self._next())  # noqa: S301
            self._last_reply = time.monotonic()
            if asked == BYE:
                self.close()
                raise EOFError
            if asked != ("alive",):
                return asked
            self._send("alive")


def main(content: bytes, run: str, beginning: Beginning, began: float) -> str:
    """Run one loop; *began* is the wall-clock second at which the run began."""
    from distributed import get_client, get_worker, secede

    client, address = get_client(), get_worker().address
    secede()  # a loop must not keep a worker from its other work
    post = WorkerChannel(client, run, address)
    if not post.may_run():
        post.close()
        return "superseded"
    origin = time.monotonic() - (time.time() - began)
    with captured():
        try:
            server = LoopServer(
                unload(content), post, beginning=beginning, on_orphaned=lambda: None
            )
        except Exception as error:  # noqa: BLE001 - e.g. a module that is not on this worker
            refuse(post, error)
            post.close()
            return "refused"
        server.on_orphaned = server.halt
        server.run(origin)
    return "ended"


PAUSE: Final = 0.5
_ANSWER: Final = 5.0  # seconds after which a scheduler counts as silent
_known: MutableMapping[Any, Workers] = WeakKeyDictionary()


class Workers:
    """The workers of one cluster; `most`: how many there were at once, at best."""

    def __init__(self) -> None:
        self.most = 0
        self._there: frozenset[str] | None = None
        self._since = float("-inf")
        self._asking = asyncio.Lock()

    async def look(self, client: Any) -> frozenset[str] | None:
        """Give the addresses of all that are there, or None if the scheduler does not say."""
        async with self._asking:
            if time.monotonic() > self._since + PAUSE / 2:
                self._there = await _asked(client)
                self._since = time.monotonic()
                self.most = max(self.most, len(self._there or ()))
        return self._there

    def counted(self, there: frozenset[str]) -> str:
        """Say how many are there.

        >>> workers = Workers()
        >>> workers.most = 2
        >>> workers.counted(frozenset())
        '0 of 2 left'
        """
        if len(there) < self.most:
            return f"{len(there)} of {self.most} left"
        return f"{len(there)} there" if there else "none has come yet"


async def _asked(client: Any) -> frozenset[str] | None:
    with contextlib.suppress(Exception):  # it is gone, or very busy
        return frozenset(await asyncio.wait_for(client.scheduler.ncores(), _ANSWER))
    return None


def workers_of(client: Any) -> Workers:
    """Give what is known of a client's cluster, the same object each time."""
    return _known.setdefault(client, Workers())
