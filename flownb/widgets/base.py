"""How does a view reach the browser, and what is asked there reach what runs?

Three traits, by how often they change: `scene` (on edits), `state` (changed keys only,
at most 10 times a second, and only when something has changed), `selection` (from the
browser; it names what is chosen for the next cell, `view.selection.get("node")`). Clicks are
one custom message, `{"do": "pause", "loop": "ingest"}`: it may arrive in any thread, so a
handler only posts.

`state` is filled in place and never sent as a trait after the start: what has changed
travels as a message, all of it every 5 seconds, for a page that was not there yet.

A page says now and then that it is there. One that was reloaded or has died cannot say
good-bye: a view that has been silent for a while only keeps its still up to date. The other
way round, `follows` in the state promises the page more news: without any it says so.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import anywidget
import traitlets

from flownb.engine.runtime import running_loop
from flownb.errors import told
from flownb.notebook.picture.text import brief
from flownb.widgets import sending
from flownb.widgets.bundle import script, sheet
from flownb.widgets.echo import Echo
from flownb.widgets.snapshot import Still, whole_page

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from flownb.widgets.part import Command, Part

INTERVAL: Final = 0.1
_WHOLE: Final = 5.0  # seconds after which all of the state is sent once more
_PATIENCE: Final = 1.0  # seconds until a part that raised is asked again
_SHARE: Final = 0.05  # of the event loop's time, that a view may take
_LONGEST: Final = 0.5  # seconds between two looks, whatever a look costs
_AFTER_CLICK: Final = 3.0  # seconds for which a view looks as often as it may: an answer comes
_ECHO: Final = 10.0  # seconds for which a thread tells of what a click did, if a cell holds us
_AWAY: Final = 45.0  # seconds without a word, after which a page is taken for gone
_DOZE: Final = 10.0  # seconds between two looks when nobody is there
_NOWHERE: Final = object()


class Live(anywidget.AnyWidget):
    """Parts in a browser, fed from *home*, the event loop on which they are asked.

    *over* tells when there will be nothing new any more; *verbs* are commands that may
    be called in any thread, *chores* those that must be called at *home*. Without *home* it
    changes only when it is asked to.
    """

    scene = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    selection = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        home: asyncio.AbstractEventLoop | None = None,
        over: Callable[[], bool] = lambda: False,
        verbs: Mapping[str, Callable[[Command], Any]] = MappingProxyType({}),
        chores: Mapping[str, Callable[[Command], Any]] = MappingProxyType({}),
        title: str = "",
    ) -> None:
        names = tuple(part.name for part in parts)
        self._esm, self._css = script(names), sheet()
        self._parts, self._home, self._over = {part.name: part for part in parts}, home, over
        self._verbs, self._chores, self._title = verbs, chores, title
        self._versions: dict[str, Hashable] = {}
        self._pages: dict[str, float] = {}  # when each last sent something; "" is yet to come
        self._timer: asyncio.Handle | None = None
        self._looking: Iterator[None] = iter(())
        self._took = 0.0  # seconds of processor time, by the present look
        self._whole_at, self._error, self._ticking = 0.0, "", False
        self._eager_until = 0.0
        self._still = Still(self._stills, self.data)
        self._echo = Echo(self._states, self.send, _ECHO)
        super().__init__(scene=self._scenes(), state=self._found())
        self.on_msg(self._on_command)
        self.observe(self._chosen, "selection")

    # -- what is to be seen ----------------------------------------------------

    def _scenes(self) -> dict[str, Any]:
        self._versions = {name: part.version() for name, part in self._parts.items()}
        scenes: dict[str, Any] = {name: part.scene() for name, part in self._parts.items()}
        return scenes | {"still": self._still.id}

    def _found(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in self._find(found):
            pass
        return found

    def _find(self, found: dict[str, Any]) -> Iterator[None]:
        """Fill in the state of each part; between two of them others may have the event loop."""
        for part in self._parts.values():
            part.look()
        for name, part in self._parts.items():
            yield
            found |= {f"{name}/{key}": value for key, value in part.state().items()}
        yield
        found |= {"error": self._error} if self._error else {}
        found |= {"follows": True} if self._ticking else {}

    def _states(self) -> dict[str, Any]:
        """Say in any thread how the loops stand."""
        every = self._parts.items()
        return {f"{name}/{k}": value for name, part in every for k, value in part.states().items()}

    def refresh(self) -> None:
        """Send what has changed since it was last sent."""
        self._looking = iter(())  # what a look in turns has found so far is older
        for _ in self._look():
            pass

    def _look(self) -> Iterator[None]:
        """Do the same part by part."""
        if any(part.version() != self._versions[name] for name, part in self._parts.items()):
            self.scene = self._scenes()
            self._still.hasten()
            sending.shared.spend(_size(self.scene))
            yield
        found: dict[str, Any] = {}
        yield from self._find(found)
        patch = {k: v for k, v in found.items() if self.state.get(k, _NOWHERE) != v}
        patch |= dict.fromkeys(self.state.keys() - found.keys())
        self.state.clear()
        self.state.update(found)
        if self._echo.looked() or time.monotonic() >= self._whole_at:
            self._whole_at = time.monotonic() + _WHOLE
            self._send_page({"state": dict(self.state)})
        elif patch:
            self._send_page({"patch": patch})

    def _send_page(self, message: dict[str, Any]) -> None:
        sending.shared.spend(_size(message))
        self.send(message)

    def still(self) -> str:
        """Give the present picture of every part as HTML that needs no kernel."""
        return "".join(self._stills())

    def _stills(self) -> Iterator[str]:
        for part in self._parts.values():
            part.look()
        for part in self._parts.values():
            yield part.still()

    def data(self) -> dict[str, Any]:
        """Give what else stays in the notebook, by mime type."""
        return {kind: one for part in self._parts.values() for kind, one in part.data().items()}

    # -- ticking ---------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow what runs; any thread may ask."""
        if self._home is not None and not self._ticking:
            self._ticking = True
            if not self._pages:
                self._pages[""] = time.monotonic()
            self._post(self._tick)

    def follow(self, home: asyncio.AbstractEventLoop) -> None:
        """What had ended runs once more, on that event loop."""
        self._home = home
        if self.comm is not None:
            self.start()

    def ended(self) -> None:
        """What it follows is over: look once more, while there is an event loop to do it."""
        if self._ticking:
            self._post(self._tick)

    def _post(self, step: Callable[..., Any], *args: Any) -> None:
        if self._home is None or self._home.is_closed():
            step(*args)
        else:
            self._home.call_soon_threadsafe(step, *args)

    def _tick(self) -> None:
        """Begin a look."""
        if self._timer is not None:
            self._timer.cancel()
        if self._ticking:
            self._looking, self._took = self._steps(), 0.0
            self._step()

    def _step(self) -> None:
        """Do the next part of a look; the one after it has a turn of its own."""
        begin, more, pause = time.thread_time(), False, _PATIENCE
        try:
            more = next(self._looking, _NOWHERE) is not _NOWHERE
            while more and self._over():  # at once: there may be no other turn
                more = next(self._looking, _NOWHERE) is not _NOWHERE
            self._took += time.thread_time() - begin
            pause = self._pause_after(self._took)
        except Exception as error:  # noqa: BLE001 - a view must not hurt what it shows
            self._complain(error)
            self._ticking = not self._over()
        if self._ticking and self._home is not None:
            later = self._home.call_soon if more else partial(self._home.call_later, pause)
            self._timer = later(self._step if more else self._tick)

    def _steps(self) -> Iterator[None]:
        over = self._over()
        if over or self._is_watched():
            yield from self._look()
            yield
        if over and all(part.is_final() for part in self._parts.values()):
            self._ticking = False
            yield from self._look()  # no more news will come
        yield from self._still.refresh(repr(self), last=not self._ticking)

    def _pause_after(self, took: float) -> float:
        """Give the seconds until the next look; this one *took* so much processor time.

        Not wall time: a look that other threads interrupt would silence the view for seconds.
        """
        if not self._is_watched():
            return _DOZE
        if time.monotonic() < self._eager_until:
            return INTERVAL
        return min(_LONGEST, max(INTERVAL, sending.shared.wait(), took / _SHARE))

    def _is_watched(self) -> bool:
        return any(time.monotonic() - last < _AWAY for last in self._pages.values())

    def pause(self) -> None:
        """Follow no more: nobody looks."""
        self._ticking, self._looking = False, iter(())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """End it here and in every page; nothing of it is left."""
        self._ticking = False
        self._post(self.pause)
        super().close()

    # -- what is asked ---------------------------------------------------------

    def _on_command(self, _: Any, command: Command, __: Any) -> None:
        """Take a command in whatever thread it comes: post it, and wait for nothing."""
        verb = str(command.get("do"))
        own: dict[str, Callable[[Command], None]] = {
            "show": self._show,
            "here": self._here,
            "hide": self._hide,
            "dismiss": self._dismiss,
            "share": self._share,
        }
        if verb in own:
            self._post(self._guarded, own[verb], command)
        elif verb in self._verbs:
            self._guarded(self._verbs[verb], command)
            self._post(self._look_now)
            if self._home is not None and running_loop() is not self._home:
                self._echo.begin()
        else:
            self._post(self._asked, command)

    def _asked(self, command: Command) -> None:
        every = dict(self._chores)
        for part in self._parts.values():
            every |= part.commands()
        self._guarded(every.get(str(command.get("do")), self._unknown), command)
        self._look_now()

    def _guarded(self, handler: Callable[[Any], Any], given: Any) -> None:
        try:
            handler(given)
        except Exception as error:  # noqa: BLE001 - shown under the widget
            self._post(self._complain, error)

    def _look_now(self) -> None:
        """Show at once what a click has changed, and soon what it will change."""
        self._eager_until = time.monotonic() + _AFTER_CLICK
        if self._ticking:
            self._tick()
        elif self.comm is not None:
            self.refresh()

    def _complain(self, error: Exception) -> None:
        self._error = brief(told(error), 500)
        self.state["error"] = self._error
        self.send({"patch": {"error": self._error}})

    def _dismiss(self, _: Command) -> None:
        self._error = ""

    def _share(self, command: Command) -> None:
        """Send the graph as JSON, or a page of its own, as a file to keep."""
        kind = str(command.get("how"))
        for part in self._parts.values():
            if (found := part.file(kind)) is not None:
                self._send_page({"file": [f"{self._title}.{kind}", *found]})
                return
        if kind == "html":
            self._send_page(
                {"file": [f"{self._title}.html", whole_page(self.still()), "text/html"]}
            )

    def _unknown(self, command: Command) -> None:
        msg = f"this view knows no command {command.get('do')!r}"
        raise ValueError(msg)

    def _show(self, command: Command) -> None:
        self._pages.pop("", None)
        self._pages[str(command.get("view"))] = time.monotonic()
        self._whole_at = 0.0
        if self._home is None or self._ticking:
            self.refresh()
        self.start()

    def _here(self, command: Command) -> None:
        """A page is there: it was all the time, or a cell has kept its words back."""
        if self._is_watched():
            self._pages[str(command.get("view"))] = time.monotonic()
            return
        self.pause()
        self._show(command)

    def _hide(self, command: Command) -> None:
        self._pages.pop(str(command.get("view")), None)
        if not self._is_watched():
            self._pages.clear()
            self.pause()

    def _chosen(self, change: Any) -> None:
        self._post(self._guarded, self._choose, change["new"])

    def _choose(self, chosen: dict[str, Any]) -> None:
        found: dict[str, Any] = {}
        for name, part in self._parts.items():
            if name in chosen:
                part.select(chosen[name])
            found |= part.chosen()
        kept = {name: value for name, value in chosen.items() if name in self._parts}
        if chosen != kept | found:
            self.selection = kept | found  # with the names that a cell can use
            return
        self.refresh()

    # -- being shown -----------------------------------------------------------

    def __repr__(self) -> str:
        of = f" of {brief(self._title)}" if self._title else ""
        return f"Live({', '.join(self._parts)}{of})"

    def _ipython_display_(self) -> None:
        """Show the present picture, which stays, and over it what lives."""
        self._still.show(super()._repr_mimebundle_(), repr(self))
        self.start()


def _size(message: dict[str, Any]) -> int:
    return len(json.dumps(message, default=str))
