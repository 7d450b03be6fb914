"""How does a manager connect to its server? At first use, and again when it has been away.

A `Connection` connects when first used, on the event loop that uses it first; knows whether the
server is there, whether calls are under way, and whether all is over.

`Availability`: one probe asks for a server that is away, ever more slowly, up to twice a second;
whatever failed meanwhile is done again when it is back. A manager that is not `patient` (a
person in a cell) gets the error.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flownb.errors import QueueError
from flownb.model.policies import Retry
from flownb.queues.notify import ended
from flownb.queues.redis.exchange import ask
from flownb.queues.redis.jobs import (
    Job,
    RetryMarker,
    is_refused_for_now,
    left_of,
    sweep,
    transact,
)
from flownb.queues.redis.refusals import clear_errors, cleared, is_away, located
from flownb.queues.redis.streams import Keys, create_groups

if TYPE_CHECKING:
    from flownb.queues.servers.link import Link, Server

T = TypeVar("T")
_MOMENT = 0.5  # seconds between two tries of what the server refuses for now
DONE = b""
"""The reply to a job whose answer was lost, when it turned out to be done."""


class Connection:
    """The way of one manager, on one event loop, to its server."""

    def __init__(self, server: Server, *, keys: Keys, virtual: bool, patient: bool) -> None:
        self.server = server
        self.closed = ""
        self.on_absence: Callable[[str], None] = _silent
        """Called with where the server is when it goes, and with "" when it comes back."""
        self.came_back: Callable[[], Awaitable[None]] | None = None
        """Awaited before anybody goes on when it has come back."""
        self._keys, self._virtual, self._patient = keys, virtual, patient
        self._link: Link | None = None
        self._availability: Availability | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls = 0
        self._idle = asyncio.Event()

    @property
    def link(self) -> Link:
        """The link, made now if this is its first use."""
        loop = asyncio.get_running_loop()
        if self._link is None:
            if self.closed:
                raise QueueError(self.closed)
            self._link, self._loop = self._connect(), loop
        if self._loop is not loop:
            raise QueueError(
                f"graph {self._keys.graph!r}: this manager belongs to another event loop: "
                f"open another QueueManager there"
            )
        return self._link

    def _connect(self) -> Link:
        link: Link = self.server.connect()
        if self._virtual and not link.can_be_virtual:
            raise QueueError(
                f"graph {self._keys.graph!r}: {link.where} cannot follow virtual time: omit redis="
            )
        return link

    @property
    def availability(self) -> Availability:
        """Whether the server is there."""
        if self._availability is None:
            link = self.link
            self._availability = Availability(
                self._take_a_write, where=link.where, patient=self._patient,
                back=self.came_back, on_absence=self.on_absence, closed=self.closed,
            )  # fmt: skip
        return self._availability

    async def _take_a_write(self) -> None:
        """Ask for a write that changes nothing: a server that only answers is of no use."""
        await ask(self.link.looks, "SET", self._keys.probe, "", "XX")

    @property
    def away(self) -> str:
        """Since when the server is away, in words; "" while it is there. From any thread."""
        return "" if self._availability is None else self._availability.away

    @property
    def silent(self) -> float:
        """For how many seconds the server has owed us an answer."""
        return 0.0 if self._link is None else self._link.silent

    def notify(self, channel: str) -> None:
        """Wake who listens, if there was ever a link."""
        if self._link is not None:
            self._link.notify(channel)

    @contextmanager
    def errors(self, subject: str) -> Iterator[None]:
        """Count a call, and turn what Redis says into a QueueError that names its subject."""
        self.check_open()
        where = self.link.where
        self._calls += 1
        try:
            with clear_errors(subject, where):
                yield
        except Exception:
            # Closing breaks the connection of who is still at it: that is the reason then.
            if self.closed:
                raise QueueError(self.closed) from None
            raise
        finally:
            self._calls -= 1
            if self.closed and not self._calls:
                self._idle.set()

    def check_open(self) -> None:
        """Raise QueueError if all is over."""
        if self.closed:
            raise QueueError(self.closed)

    def cleared(self, error: Exception, subject: str) -> Exception:
        """What `errors` would raise in place of an error."""
        if self.closed:
            return QueueError(self.closed)
        if isinstance(error, QueueError):
            return error
        clear = cleared(error, subject, self.link.where)
        clear.__cause__ = error
        return clear

    async def retry_until_back(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, begun again after each absence of the server."""
        return await self.availability.retry_until_back(work)

    async def transact(self, jobs: Sequence[Job]) -> list[Any]:
        """Send jobs, all of them, until Redis has answered; a reply for each."""
        link = self.link
        return await self.send(jobs, partial(transact, link.line, link.notify, swept=self.sweep))

    async def create_groups(self, key: str, groups: Sequence[str]) -> None:
        """Make sure that groups of a stream are there."""
        await self.retry_until_back(lambda: create_groups(self.link.looks, key, groups))

    async def send(
        self, jobs: Sequence[Any], do: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
    ) -> list[Any]:
        """Have `do` send the first of some jobs until Redis has answered; a reply for each.

        When the answer is lost, what must happen only once is looked at before it is sent
        again; anything else is harmless twice, or is a push, which then is there twice.
        """
        left = [True] * len(jobs)
        while any(left):
            try:
                replies = _filled(jobs, left, await do(_where(jobs, left)))
                return await self.repeated(jobs, replies)
            except Exception as error:
                if not is_away(error):
                    raise
                await self.availability.wait_until_back(error)
            left = [job.undone is None or await self.retry_until_back(job.undone) for job in jobs]
        return [DONE] * len(jobs)

    async def sweep(self, jobs: Sequence[Job]) -> None:
        """Delete what was acked by all, when the server is back if it goes before this.

        The jobs are done. If all ends before, who opens the queue next sweeps what is left.
        """
        from redis.exceptions import ResponseError

        try:
            await self.retry_until_back(lambda: sweep(self.link.looks, jobs))
        except Exception as error:
            # (a stranger's key may be in the place of a stream that was acked)
            if not (self.closed or is_away(error) or isinstance(error, ResponseError)):
                raise

    async def repeated(self, jobs: Sequence[Any], replies: Sequence[Any]) -> list[Any]:
        """Say `RetryMarker` to what the server refused for now, a moment later.

        Nobody waits until it takes that: what others post meanwhile goes with it. It may be
        the acks that give a full server its memory back.
        """
        refused = [reply for reply in replies if is_refused_for_now(reply)]
        if not refused or not self._patient:
            return list(replies)
        try:
            await self.availability.wait_until_back(_first(refused[0]), at_most=_MOMENT)
        except QueueError:  # it was closed meanwhile
            return list(replies)
        pairs = zip(jobs, replies, strict=False)
        return [RetryMarker(left_of(j, r)) if is_refused_for_now(r) else r for j, r in pairs]

    async def give_up(self, reason: str) -> None:
        """From now on nobody waits for the server any more."""
        self.closed = reason
        if self._availability is not None:
            await self._availability.aclose(reason)

    async def aclose(self) -> None:
        """Close the connections, once the calls under way have ended.

        A call that is just connecting would leave its connection open behind us.
        """
        if self._calls:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._idle.wait()
        if self._link is not None:
            await self._link.aclose()


def _first(reply: Any) -> Exception:
    """The refusal in a reply."""
    refusal: Exception = reply
    if isinstance(reply, list):
        refusal = next(said for said in reply if is_refused_for_now(said))
    return refusal


def _silent(*_: str) -> None:
    """Do nothing."""


def _where(jobs: Sequence[Any], undone: Sequence[bool]) -> list[Any]:
    return [job for job, wanted in zip(jobs, undone, strict=True) if wanted]


def _filled(jobs: Sequence[Any], undone: Sequence[bool], answers: Sequence[Any]) -> list[Any]:
    """A reply for each of the first jobs: those that were done before have no answer now.

    What was left for the next round, and stands before one of those, is sent `RetryMarker`.
    """
    left, replies = list(reversed(answers)), []
    last = max((at for at, wanted in enumerate(undone) if not wanted), default=-1)
    for at, wanted in enumerate(undone):
        if wanted and not left and at > last:
            break
        replies.append(DONE if not wanted else left.pop() if left else RetryMarker(jobs[at]))
    return replies


_BACKOFF: Final = Retry(on=Exception, wait_initial=0.02, wait_max=0.5)  # between two questions


class Availability:
    """Whether a server is there, as one event loop sees it.

    `ask` has it do something; `back` is called whenever it has come back; `on_absence` is
    called for each absence that lasts, with where the server is, and with "" when it is over.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[object]],
        *,
        where: str,
        patient: bool,
        back: Callable[[], Awaitable[None]] | None,
        on_absence: Callable[[str], None],
        closed: str = "",
    ) -> None:
        self._ask, self._where, self._patient = ask, where, patient
        self._back, self._on_absence = back, on_absence
        self._since: float | None = None
        self._reason = ""
        self._probing: asyncio.Task[None] | None = None
        self._closed = closed  # why nobody waits any more

    async def retry_until_back(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, begun again after each absence of the server."""
        while True:
            try:
                return await work()
            except Exception as error:
                if not is_away(error):
                    raise
                await self.wait_until_back(error)

    async def wait_until_back(self, error: Exception, *, at_most: float | None = None) -> None:
        """Wait until the server answers again; raises `error` when that is not wanted.

        `at_most` so many seconds.
        """
        if self._closed:
            raise QueueError(self._closed) from None
        if not self._patient:
            raise error
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())
        await asyncio.wait({self._probing}, timeout=at_most)
        if self._closed:
            raise QueueError(self._closed) from None

    async def _probe(self) -> None:
        self._since = time.monotonic()
        self._reason = ""
        for tried in count(1):
            # Jitter: a hundred loops shall not knock at the same moment.
            await asyncio.sleep(_BACKOFF.wait(tried) * random.uniform(0.5, 1))
            try:
                await self._ask()
                break
            except Exception as error:  # noqa: BLE001  a refusal is an answer: it is there
                if not is_away(error):
                    break
                if not self._reason:
                    self._reason = located(self._where, error)
                    self._on_absence(self._reason)
        self._since = None
        if self._reason:
            self._on_absence("")
        if self._back is not None:
            with suppress(Exception):  # it has gone again: who goes on meets it
                await self._back()

    @property
    def away(self) -> str:
        """Since when the server is away, in words; "" while it is there. From any thread."""
        since = self._since
        if since is None:
            return ""
        return (
            f"redis is away since {time.monotonic() - since:.0f} s ({self._reason or self._where})"
        )

    async def aclose(self, reason: str) -> None:
        """Whoever waits gets a QueueError."""
        self._closed = reason
        if self._probing is not None and not self._probing.done():
            await ended(self._probing)
        self._since = None
