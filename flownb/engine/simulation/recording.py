"""What does a simulation record? Its last spans and events, the digest of all, the meters.

Nobody looks at a simulation before its end. So what its loops publish is taken down as
it comes, in bare tuples, and gone through in large bites: the digest, the history and the
meters of all loops. That costs a third of reporting each call to each of them.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.observe.stream import Stream
from flownb.errors import Failure
from flownb.records.events import NOTHING, Event, LogLine, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from flownb.engine.observe.history import Outputs
    from flownb.engine.observe.meter import Meter
    from flownb.engine.observe.stream import Fields

BITE: Final = 500  # records; failed items are among them, so not too many
_SPAN: Final = len(Span._fields)  # a record of another length is an event


class Digest:
    """The sha256 of the whole stream, whatever part of it the history keeps."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, records: Iterable[Fields]) -> None:
        """Take in records, each as a line: the text of its fields as a tuple."""
        said, lines = _Said(), []
        for record in records:
            if len(record) == _SPAN:
                loop, node, iteration, visit, kind, start, end, attempt = record
                lines.append(
                    f"({said[loop]}, {said[node]}, {iteration}, {visit}, {said[kind]}, "
                    f"{said[start]}, {said[end]}, {attempt})\n"
                )
            else:
                time, kind, loop, node, iteration, data = record
                lines.append(
                    f"({said[time]}, {said[kind]}, {said[loop]}, {said[node]}, {iteration}) "
                    f"{_told(data)}\n"
                )
        self._hash.update("".join(lines).encode("utf-8", "replace"))

    def hexdigest(self) -> str:
        """Give the digest of all that came so far."""
        return self._hash.hexdigest()


class _Said(dict[Any, str]):
    """The text of names and times: the same ones come again and again."""

    def __missing__(self, value: Any) -> str:
        self[value] = text = repr(value)
        return text


def _told(data: Any) -> str:
    return str(data) if isinstance(data, (str, int, tuple, Failure)) else type(data).__name__


class Recording:
    """What all loops of one simulation published: the last of it, its digest, its meters."""

    def __init__(self, size: int, meters: Mapping[str, Meter]) -> None:
        self._meters, self._digest = meters, Digest()
        self.fresh: list[Fields] = []  # what was not gone through yet
        self._spans: deque[Fields] = deque(maxlen=size)
        self._events: deque[Fields] = deque(maxlen=size)
        self.failures: deque[Failure] = deque(maxlen=100)
        self.logs: deque[LogLine] = deque(maxlen=1_000)
        self.digest = ""
        """The digest of it all, at the end."""
        self._over = False

    def spans(self) -> list[Span]:
        """Give the kept spans, oldest first."""
        return list(map(Span._make, self._spans))

    @property
    def events(self) -> list[Event]:
        """The kept events, oldest first."""
        return list(map(Event._make, self._events))

    def end(self) -> None:
        """Go through the rest; what comes after the end is not recorded."""
        self.go_through()
        self._over, self.digest = True, self._digest.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        """Give what is recorded: a digest under way, and meters, stay with their simulation."""
        return {**vars(self), "_digest": None, "_meters": {}, "fresh": [], "_over": True}

    def go_through(self) -> None:
        """Let everybody know what is fresh."""
        records = self.fresh[:]
        self.fresh.clear()
        if self._over:
            return
        self._digest.add(records)
        meters, spans = self._meters, self._spans
        for record in records:
            if len(record) == _SPAN:
                spans.append(record)
                meters[record[0]].on_span(record)
            else:
                self._keep(record)
                meters[record[2]].on_event(record)

    def _keep(self, event: Fields) -> None:
        """Keep an event; failures and log lines in rings of their own."""
        data = event[-1]
        if isinstance(data, LogLine):
            self.logs.append(data)
            return
        self._events.append(event)
        if isinstance(data, Failure):
            self.failures.append(data)


class Tape(Stream):
    """The stream of one simulated loop, which is taken down."""

    def __init__(self, recording: Recording, outputs: Outputs, watching: Sequence[Any]) -> None:
        super().__init__(watching)
        self._recording, self._fresh, self._kept = recording, recording.fresh, outputs.kept

    def span(self, fields: Fields, output: Any = NOTHING) -> None:
        """Take down a span, and keep what a node call returned."""
        if output is not NOTHING:
            self._kept[fields[1]].append(output)
        self._fresh.append(fields)
        if len(self._fresh) >= BITE:
            self._recording.go_through()
        if self._spans:
            super().span(fields, output)

    def event(self, fields: Fields) -> None:
        """Take down an event."""
        self._fresh.append(fields)
        if len(self._fresh) >= BITE:
            self._recording.go_through()
        if self._events:
            super().event(fields)
