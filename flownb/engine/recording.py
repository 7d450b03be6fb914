"""What does a simulation keep of what happens, and how does it keep up?

Nobody looks at a simulation before its end. So what its loops publish is taken down as
it comes, and gone through in large bites: the digest, the history and the meters of all
loops. That costs a third of telling each of them of each call.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from flownb.model.records import Event, Failure, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flownb.engine.metrics import Meter
    from flownb.engine.observe import History

BITE: Final = 500  # records; failed items are among them, so not too many


class Digest:
    """The sha256 of the whole stream, whatever part of it the history keeps."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, records: Iterable[Span | Event]) -> None:
        """Take in records, each as a line: the text of its fields as a tuple."""
        said = _Said()
        lines = [_span(r, said) if type(r) is Span else _event(r, said) for r in records]
        if lines:
            self._hash.update(("\n".join(lines) + "\n").encode("utf-8", "replace"))

    def hexdigest(self) -> str:
        """Give the digest of all that came so far."""
        return self._hash.hexdigest()


class _Said(dict[Any, str]):
    """The text of names and times: the same ones come again and again."""

    def __missing__(self, value: Any) -> str:
        self[value] = text = repr(value)
        return text


def _span(span: Any, said: _Said) -> str:
    loop, node, iteration, visit, kind, start, end, attempt = span
    return (
        f"({said[loop]}, {said[node]}, {iteration}, {visit}, {said[kind]}, "
        f"{said[start]}, {said[end]}, {attempt})"
    )


def _event(event: Any, said: _Said) -> str:
    time, kind, loop, node, iteration, data = event
    told = str(data) if isinstance(data, (str, int, tuple, Failure)) else type(data).__name__
    return f"({said[time]}, {said[kind]}, {said[loop]}, {said[node]}, {iteration}) {told}"


class Recording:
    """Takes down what all loops of one simulation publish."""

    def __init__(self, history: History, meters: Mapping[str, Meter]) -> None:
        self.history = history
        self._meters, self._digest = meters, Digest()
        self._records: list[Span | Event] = []
        self._over = False

    @property
    def digest(self) -> str:
        """The digest of all that was gone through."""
        return self._digest.hexdigest()

    def on_span(self, span: Span, _: Any) -> None:
        """Take down a span."""
        self._records.append(span)
        if len(self._records) >= BITE:
            self._flush()

    def on_event(self, event: Event) -> None:
        """Take down an event."""
        self._records.append(event)
        if len(self._records) >= BITE:
            self._flush()

    def end(self) -> None:
        """Go through the rest; what comes after the end is not told."""
        self._flush()
        self._over = True

    def _flush(self) -> None:
        records, self._records = self._records, []
        if self._over:
            return
        self._digest.add(records)
        history, meters = self.history, self._meters
        for record in records:
            if type(record) is Span:
                history.on_span(record, None)
                meters[record.loop].on_span(record, None)
            elif type(record) is Event:
                history.on_event(record)
                meters[record.loop].on_event(record)
