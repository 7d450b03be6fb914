"""What must a server be able to do? Give each manager a link: a client, and how to wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from flownb.queues.manager import QueueManager
    from flownb.queues.notify import Notifier, Notifiers
    from flownb.queues.redis.exchange import Exchange
    from flownb.queues.spec import Clock, QueueSpec


class Link(Protocol):
    """A connection of one manager: a client on its own event loop, and how to wait."""

    client: Any
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
    line: Exchange | None
    """Over which pushes and acks go; None: through the client."""

    def wire(self) -> Exchange | None:
        """Another connection, as for a reader; None where there is none to be had."""

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

    def manager(
        self,
        graph: str,
        specs: Iterable[QueueSpec],
        consumer: str,
        clock: Clock | None = None,
        *,
        namespace: str = "flownb",
        patient: bool = True,
    ) -> QueueManager:
        """A manager of the graph's queues, for the event loop that uses it first."""


class Opens:
    """The way to a manager, the same for every server."""

    def manager(
        self,
        graph: str,
        specs: Iterable[QueueSpec],
        consumer: str,
        clock: Clock | None = None,
        *,
        namespace: str = "flownb",
        patient: bool = True,
    ) -> QueueManager:
        """A manager of the graph's queues, for the event loop that uses it first."""
        from flownb.queues.manager import QueueManager

        return QueueManager(
            self, graph=graph, specs=specs, namespace=namespace, consumer=consumer, clock=clock,
            patient=patient,
        )  # fmt: skip


class BaseLink:
    """What the links share: a client, and notifiers in this process."""

    def __init__(self, client: Any, notifiers: Notifiers) -> None:
        self.client = client
        self._notifiers = notifiers
        self.listen: Callable[..., AbstractContextManager[Notifier]] = notifiers.listen
        self.notify = notifiers.notify
        self.depart = notifiers.depart
        self._wires: list[Exchange] = []
        self.line = self.wire()

    def wire(self) -> Exchange | None:
        """Another connection; None where there is none to be had."""
        return None

    async def aclose(self) -> None:
        """Close all connections."""
        for wire in self._wires:
            await wire.aclose()
        await self.client.aclose()

    @property
    def silent(self) -> float:
        """For how many seconds the server has owed us an answer."""
        return max((wire.silent for wire in self._wires), default=0.0)

    @property
    def departures(self) -> int:
        """How often somebody in this process has stopped reading here."""
        return self._notifiers.departures


class WiredLink(BaseLink):
    """A link whose server is reached by connections."""

    def wire(self) -> Exchange | None:
        """Another connection."""
        from flownb.queues.redis.exchange import Exchange

        options = self.client.connection_pool.connection_kwargs
        self._wires.append(Exchange(self.client, limit=options.get("socket_timeout")))
        return self._wires[-1]
