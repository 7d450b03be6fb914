"""How far is a bounded run? A bar for each loop: tqdm's own, in a notebook its widget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flownb.engine.track import Track


class Progress:
    """Bars that follow how many items the loops of a run have released."""

    def __init__(self, tracks: Sequence[Track], iterations: int | None) -> None:
        bar = _bar()
        self._bars: list[tuple[Track, Any]] = [
            (track, bar(total=iterations, desc=track.name, unit="item")) for track in tracks
        ]

    def look(self) -> None:
        """Bring every bar up to date; tqdm decides when to draw."""
        for track, bar in self._bars:
            released = track.released
            bar.update((released if bar.total is None else min(released, bar.total)) - bar.n)

    def close(self) -> None:
        """End the bars, where they stand."""
        self.look()
        for _, bar in self._bars:
            bar.close()


def _bar() -> Any:
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # no thread that outlives the run: we look often enough

    return Bar
