"""Does a loop that has crashed start again, and when?

With `restart="on_crash"`: yes, after a short wait that doubles from crash to crash, until
it has crashed five times within a minute. A crash is the death of its process or worker,
or a fault that is no item's; an item that failed under `on_error="stop"` is none, and what
cannot be kept by a checkpoint could not be kept by the next attempt either.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

from flownb.errors import GraphError, NodeFailed, StoreError, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from flownb.model.policies import Restart

LIMIT: Final = 5
WINDOW: Final = 60.0
_FIRST: Final = 0.1
_LONGEST: Final = 5.0


class Restartable:
    """A loop that crashes, wherever it lives, as `Supervisor` decides."""

    restarting: bool  # it has ended, and another attempt follows
    may_restart: Callable[[BaseException], bool]
    _stopping: bool
    _set: Callable[..., None]

    def give_up(self, error: BaseException) -> None:
        """End in state error, or, when another attempt is to follow, before it starts."""
        self.restarting = not self._stopping and self.may_restart(error)
        if self.restarting:
            self._set("starting", f"after a crash: {told(error)}")
        else:
            self._set("error")


class Supervisor:
    """Remembers the crashes of one loop; *now* gives seconds.

    >>> supervisor = Supervisor("on_crash", now=lambda: 0.0)
    >>> [supervisor.allows(RuntimeError()) and supervisor.wait() for _ in range(6)]
    [0.1, 0.2, 0.4, 0.8, 1.6, False]
    """

    def __init__(self, restart: Restart, *, now: Callable[[], float] = time.monotonic) -> None:
        self.restart, self._now = restart, now
        self._crashes: deque[float] = deque()
        self.attempt = 1

    def allows(self, error: BaseException) -> bool:
        """Whether the loop starts again after this error."""
        return (
            self.restart == "on_crash"
            and not isinstance(error, (NodeFailed, GraphError, StoreError))
            and len(self._recent()) < LIMIT
        )

    def wait(self) -> float:
        """Note a crash; give the seconds until the next attempt."""
        self._crashes.append(self._now())
        self.attempt += 1
        return float(min(_LONGEST, _FIRST * 2 ** (len(self._crashes) - 1)))

    def _recent(self) -> deque[float]:
        while self._crashes and self._crashes[0] < self._now() - WINDOW:
            self._crashes.popleft()
        return self._crashes
