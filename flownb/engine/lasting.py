"""What does a loop do so that another one can go on where it ends?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flownb.engine.catchup import remember
from flownb.engine.checkpoint import Beginning, Keeping
from flownb.engine.leaving import Leaving

if TYPE_CHECKING:
    from collections import deque

    from flownb.analysis.plan import LoopPlan
    from flownb.model.records import LoopState


class Lasting(Leaving):
    """The part of `LoopManager` that begins where an earlier attempt ended, and keeps where it is.

    *beginning* is set by the host, before the loop runs.
    """

    plan: LoopPlan

    def __init__(self) -> None:
        super().__init__()
        self.beginning = Beginning()

    def go_on(self) -> None:
        """Take up what earlier attempts, or an earlier kernel, have left."""
        self.made = self.beginning.made
        if self.plan.options.checkpoint is not None:
            self.keeping = Keeping(self, self.beginning.kept)

    def keep_now(self) -> None:
        """Nothing more comes for a while: keep what there is."""
        if self.keeping is not None:
            self.keeping.hurry()

    async def keep_last(self) -> None:
        """Keep how the loop ended."""
        if self.keeping is None:
            return
        if self.source_begun:
            remember(self.source)
        await self.keeping.close("error" if self.runtime.error is not None else self.last_state())

    # -- its source ------------------------------------------------------------

    @property
    def source_begun(self) -> bool:
        """Whether there is a source yet."""
        return hasattr(self, "source")

    @property
    def source_ended(self) -> bool:
        """Whether the producer will make no more items."""
        return self.source_begun and self.source.exhausted

    def last_state(self) -> LoopState:
        """Say in which state it ends, if no error has ended it."""
        return "completed" if self.source_ended and not self._stopping else "stopped"

    @property
    def halted(self) -> bool:
        """Whether it is to end."""
        return self.runtime.error is not None or self._stopping

    @property
    def at_rest(self) -> bool:
        """Whether no item may be made just now."""
        return self.halted or self.pausing

    @property
    def source_keeps_state(self) -> bool:
        """Whether what makes items has a `ctx.state`."""
        return self.source.may_keep_state

    @property
    def again(self) -> deque[Any]:
        """The items to offer again."""
        return self.source.again

    @property
    def idles(self) -> bool:
        """Whether nothing more comes, or nothing just now."""
        return self._stopping or self.source.exhausted or self.source.reading

    @property
    def next_item(self) -> int:
        """The number that the next item of the source will have."""
        if self.source_begun:
            return self.source.pulled
        return 0 if self.keeping is None else self.keeping.position.first

    def tell_position(self) -> int:
        """Tell the producer where it is to go on; who asks begins there by itself."""
        if self.source_begun and self.source.catch_up is not None:
            self.source.catch_up.asked = True
        return self.next_item
