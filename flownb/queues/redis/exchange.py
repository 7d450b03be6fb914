"""What is an exchange with Redis? Commands go out together, and each has a reply.

Replies are as RESP2 gives them (bytes, numbers, lists, None), whatever the server is; an error
is no exception here but the reply of its command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Command = tuple[str, ...]
"""The words of a command; a name of two words is two words."""
Entry = tuple[str, dict[bytes, bytes]]
"""An entry of a stream: its id and its fields."""


class Exchange(Protocol):
    """One connection, for one exchange at a time."""

    @property
    def session(self) -> int:
        """Another one with each connect: what was watched in one is not watched in the next."""

    @property
    def number(self) -> int | None:
        """What the server calls this connection; None if it does not say."""

    async def exchange(
        self, commands: Sequence[Command], *, patience: float = 0.0, session: int | None = None
    ) -> list[Any]:
        """Send commands, give a reply for each.

        Raises what redis-py raises when the server is away: then they may have been done or
        not. `patience` is how long the server was asked to wait (seconds). With a `session` they
        go out in that one or not at all.
        """

    @property
    def silent(self) -> float:
        """For how many seconds an answer has been missing."""

    async def aclose(self) -> None:
        """Let go of the connection."""


async def ask(line: Exchange, *command: str) -> Any:
    """The reply to one command; raises it if it is a refusal."""
    (reply,) = await line.exchange([command])
    if isinstance(reply, Exception):
        raise reply
    return reply


async def ask_all(line: Exchange, commands: Sequence[Command]) -> list[Any]:
    """The replies to some commands that have nothing to do with each other."""
    replies = await line.exchange(commands) if commands else []
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


async def at_one_moment(line: Exchange, commands: Sequence[Command]) -> list[Any]:
    """Replies or errors, all from one moment; a full Redis takes no MULTI: then from nearly one."""
    replies = (await line.exchange([("MULTI",), *commands, ("EXEC",)]))[-1]
    return replies if isinstance(replies, list) else await line.exchange(commands)


def encoded(command: Command) -> tuple[Any, ...]:
    """The words as bytes where a client would refuse them: they may stand for any bytes."""
    if all(map(str.isascii, command)):
        return command
    return tuple(word.encode(errors="surrogateescape") for word in command)


def pairs(flat: Sequence[Any] | None) -> dict[bytes, Any]:
    """What a reply says in turn, names and values, as a dict.

    >>> pairs([b"length", 3, b"groups", 1])
    {b'length': 3, b'groups': 1}
    """
    each = iter(flat or ())
    return dict(zip(each, each, strict=True))
