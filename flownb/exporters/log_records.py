"""How do log lines, failures and states of loops reach `logging`? As records, with their node.

Each line that a node prints or logs, each item that fails and each change of a loop's state
becomes a record of the standard library's `logging`, or an event of structlog, with `loop`,
`node` and `iteration` as fields of their own. Payloads are left out.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.observe.stream import Observer
from flownb.errors import Failure, told

if TYPE_CHECKING:
    from flownb.records.events import Event

_LEVELS: Final = {"print": "info", "stderr": "warning"}
_MOST: Final = 10_000
_IDLE: Final = 2.0  # seconds until the thread ends that has nothing to write


class LogRecords(Observer):
    """An observer that writes to *logger*: one of `logging` (default "flownb.loops") or structlog.

    `graph.use(LogRecords())` before the graph is started. A thread of its own writes, so a
    slow handler holds up no loop, and what a handler prints is taken for no node's print. Of
    more than 10,000 records that wait the newest are dropped, and counted in `dropped`.
    """

    def __init__(self, logger: Any = None) -> None:
        self._logger = logging.getLogger("flownb.loops") if logger is None else logger
        self._waiting: queue.Queue[tuple[str, str, dict[str, Any]]] = queue.Queue(_MOST)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.dropped = 0

    def on_event(self, event: Event) -> None:
        """Write down what a person may want to read."""
        at: dict[str, Any] = {"loop": event.loop}
        if event.kind == "log":
            line = event.data
            at |= {"node": line.node, "iteration": line.iteration}
            self._post(_LEVELS.get(line.level, line.level), line.text, at)
        elif event.kind == "state":
            state, reason = event.data
            level = "error" if state == "error" else "info"
            self._post(level, f"loop is {state}{f': {reason}' if reason else ''}", at)
        elif isinstance(event.data, Failure):
            failure = event.data
            at |= {"node": failure.node, "iteration": failure.iteration}
            at["attempts"] = failure.attempts
            self._post("error", f"item failed: {told(failure.error)}", at)

    def _post(self, level: str, text: str, at: dict[str, Any]) -> None:
        try:
            self._waiting.put_nowait((level, text, at))
        except queue.Full:
            self.dropped += 1
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._write, name="flownb log records", daemon=True
                )
                self._thread.start()

    def _write(self) -> None:
        while True:
            try:
                level, text, at = self._waiting.get(timeout=_IDLE)
            except queue.Empty:
                with self._lock:
                    if self._waiting.empty():
                        self._thread = None
                        return
                continue
            self._emit(level, text, at)

    def _emit(self, level: str, text: str, at: dict[str, Any]) -> None:
        if isinstance(self._logger, logging.Logger | logging.LoggerAdapter):
            number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
            self._logger.log(number, "%s", text, extra=at)
        else:
            getattr(self._logger, level, self._logger.info)(text, **at)
