"""How does a queue node push? Without a task: the queue tells when Redis has the message.

Only where something else must go on around the push, a retry, a timeout, middleware, or
virtual time, is it awaited as any other async call.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from flownb.engine.signature import FAILS

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.engine.calling import Runner
    from flownb.engine.item import Token
    from flownb.queues.spec import Message


class Underway:
    """A push that has been sent for a token that is only made now."""

    __slots__ = ("_heard",)

    def __init__(self) -> None:
        self._heard: Callable[[Exception | None], None] | None = None

    def then(self, heard: Callable[[Exception | None], None]) -> None:
        """Have `heard` called when Redis has it."""
        self._heard = heard

    def cancel(self) -> None:
        """Nobody hears of it any more."""
        self._heard = None

    def end(self, error: Exception | None) -> None:
        """Redis has it, or does not take it."""
        if self._heard is not None:
            self._heard(error)


class Label:
    """Writes as JSON what `Runner.about` says of a first call, at a tenth of the price."""

    def __init__(self, loop: str, node: str) -> None:
        loop, node = (json.dumps(name, ensure_ascii=False) for name in (loop, node))
        self._who = f'{{"loop":{loop},"node":{node},"iteration":'

    def text(self, iteration: int, message: Message | None) -> str:
        """Say where the payload of a row comes from."""
        call = f'{self._who}{iteration},"visit":0,"attempt":1'
        if message is None:
            return call + "}"
        came = f'"message_id":"{message.id}","deliveries":{message.deliveries}'
        return f'{call},{came},"hops":{message.hops + 1}}}'


class Pushing:
    """The pushes of one queue node."""

    def __init__(self, runner: Runner, queue: str) -> None:
        self._runner, self._queue = runner, queue

    async def awaited(self, token: Token) -> Any:
        """Push, and wait until Redis has it."""
        meta = dict(self._runner.meta(token))
        await self._runner.loop.ending.push(token, self._queue, token.payload, meta)
        return token.payload

    def post(self, token: Token) -> None:
        """Push soon; the token ends when Redis has it, or at once if it leaves with an ack."""
        loop, meta = self._runner.loop, dict(self._runner.meta(token))
        heard = functools.partial(loop.context.run, loop.guard, self._heard, token)
        try:
            token.task = loop.ending.post(token, self._queue, meta, heard)
        except FAILS as error:  # it is not JSON, or its model's own code raised
            self._runner.ended(token, token.payload, error)
        else:
            if token.task is None:
                self._runner.ended(token, token.payload, None)

    def follow(self, token: Token, underway: Underway) -> None:
        """Let a token end with a push that the fast lane has begun."""
        token.task = underway
        underway.then(functools.partial(self._heard, token))

    def _heard(self, token: Token, error: Exception | None) -> None:
        token.task = None
        self._runner.ended(token, token.payload, error)
        self._runner.loop.pump()
