"""What must a server be able to do? Give each manager a link: connections, and how to wait."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flownb.queues.notify import Notifier, Notifiers
    from flownb.queues.redis.exchange import Exchange


class Link(Protocol):
    """What one manager has of a server, on its own event loop: connections, and how to wait."""

    where: str
    patience: float
    """How long one read may wait at the server; 0: never there, only for a notification."""
    leases: bool
    """Whether readers may die unseen; inside one process the dead are known for certain."""
    room_poll: float | None
    """How often to look for room in a full queue; None: we are notified."""
    drain_poll: float | None
    """How often to look whether other readers are done; None: we are notified."""
    can_be_virtual: bool
    line: Exchange
    """Over which pushes and acks go."""
    looks: Exchange
    """Over which questions go, which may hold up neither."""

    def wire(self) -> Exchange:
        """Another connection, as for a reader."""

    async def aclose(self) -> None:
        """Close all connections."""

    def listen(self, *names: str) -> AbstractContextManager[Notifier]:
        """A notifier that listens to those channels."""

    def notify(self, name: str) -> None:
        """Wake whoever listens."""

    @property
    def silent(self) -> float:
        """For how many seconds the server has owed us an answer."""

    @property
    def departures(self) -> int:
        """How often somebody in this process has stopped reading here."""

    def depart(self) -> None:
        """Note that somebody reads no more."""


class Server(Protocol):
    """Where managers get their link from."""

    outlives: bool
    """Whether its messages are there when a run begins, and stay when it ends."""

    def connect(self) -> Link:
        """A link for the running event loop."""

    def describe(self) -> str:
        """What a person calls this server."""

    def check(self, subject: str) -> None:
        """Ask whether it is there; raises QueueUnavailable. Blocks for two seconds at most."""

    def left(self) -> dict[str, int]:
        """Messages, by key, that would be lost with it."""

    def close(self) -> None:
        """Let go of it."""


class BaseLink:
    """What the links share: connections that `connect` makes, and notifiers in this process."""

    def __init__(self, connect: Callable[[], Exchange], notifiers: Notifiers) -> None:
        self._connect, self._notifiers = connect, notifiers
        self.listen: Callable[..., AbstractContextManager[Notifier]] = notifiers.listen
        self.notify = notifiers.notify
        self.depart = notifiers.depart
        self._wires: list[Exchange] = []
        self.line, self.looks = self.wire(), self.wire()

    def wire(self) -> Exchange:
        """Another connection; it connects when it is first used."""
        self._wires.append(self._connect())
        return self._wires[-1]

    async def aclose(self) -> None:
        """Close all connections."""
        for wire in self._wires:
            await wire.aclose()

    @property
    def silent(self) -> float:
        """For how many seconds the server has owed us an answer."""
        return max((wire.silent for wire in self._wires), default=0.0)

    @property
    def departures(self) -> int:
        """How often somebody in this process has stopped reading here."""
        return self._notifiers.departures
