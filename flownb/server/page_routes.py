"""What does one see at the address itself? The notebook's live view, as a page of its own.

The page is one answer, scripts and styles in it: nothing is loaded from elsewhere, and a
phone on the other side of a proxy needs no second token. Each page has a view of its own on
the server's event loop; what is new for a slow one is merged, so it costs one state at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query, Request, WebSocket
from starlette.responses import HTMLResponse
from starlette.websockets import WebSocketDisconnect

from flownb.errors import FlowError
from flownb.server.schemas import dumps
from flownb.server.services import Shared  # noqa: TC001 - FastAPI reads it
from flownb.server.stream_routes import AGAIN_LATER, NOT_FOUND, carry, refuse
from flownb.widgets.base import Live
from flownb.widgets.bundle import linked, sheet
from flownb.widgets.views import VIEW, chores, parts_of, verbs

if TYPE_CHECKING:
    from flownb.engine.orchestrator.orchestrator import Orchestrator
    from flownb.server.services import Services

router = APIRouter(tags=["page"])
_HERE: Final = Path(__file__).parent
_TOO_LARGE: Final = 100_000  # characters of a command
_LOOK_ONLY: Final = "to look at only: the address with the token, which the server printed, steers"
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>flownb</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header><h1>flownb</h1><nav id="graphs" aria-label="graphs" hidden></nav>
<span id="words" role="status"></span></header>
<main id="view"></main>
<section id="runs" aria-label="runs" hidden></section>
<noscript>This page is drawn by a script; /loops says the same as JSON.</noscript>
<script type="module" nonce="{nonce}">{script}</script>
</body>
</html>
"""


@cache
def _script() -> str:
    own = (_HERE / "page.js").read_text(encoding="utf-8")
    return f"{linked(VIEW)}{own}\nfollow(view);\n".replace("</script", "<\\/script")


@cache
def _style() -> str:
    return f"{(_HERE / 'page.css').read_text(encoding='utf-8')}\n{sheet()}".replace("</", "<\\/")


@router.get("/", include_in_schema=False)
def read_page(request: Request) -> HTMLResponse:
    """Give the page; who comes with the token gets a cookie, so that a reload works, too."""
    nonce = secrets.token_urlsafe(16)
    page = _PAGE.format(style=_style(), nonce=nonce, script=_script())
    answer = HTMLResponse(page)
    answer.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; "
        "connect-src 'self' ws: wss:; img-src data: 'self'; base-uri 'none'; form-action 'none'"
    )
    if request.scope.get("flownb.who") == "token":
        state = request.app.state
        answer.set_cookie(
            state.cookie, state.token, httponly=True, samesite="lax", path=_path(request)
        )
    return answer


def _path(request: Request) -> str | None:
    """Give the path that the browser sees. None where nobody said it: the browser knows its own.

    "/" would send the token to all that lives beside us on a JupyterHub.
    """
    root = str(request.scope.get("root_path") or "")
    return f"{root}/" if root else None


class PageView(Live):
    """A live view of a run without a notebook: what is new waits in an outbox for one page."""

    def __init__(self, orch: Orchestrator) -> None:
        self._outbox: dict[str, Any] = {}
        self._news = asyncio.Event()
        super().__init__(
            parts_of(orch, "view"), home=asyncio.get_running_loop(), over=orch.is_over,
            verbs=verbs(orch), chores=chores(orch), title=orch.name,
        )  # fmt: skip
        self.observe(self._rescene, "scene")
        self._outbox = {"scene": self.scene, "state": dict(self.state)}
        self._news.set()

    def open(self) -> None:
        """Tell no kernel of it."""

    def send(self, content: dict[str, Any], buffers: Any = None) -> None:  # noqa: ARG002
        """Put what is new into the outbox: a later value takes the place of an earlier one."""
        if "state" in content:
            self._outbox.pop("patch", None)
            self._outbox["state"] = dict(content["state"])
        elif "state" in self._outbox:
            whole = self._outbox["state"] | content["patch"]
            self._outbox["state"] = {k: v for k, v in whole.items() if v is not None}
        else:
            self._outbox.setdefault("patch", {}).update(content["patch"])
        self._news.set()

    def _rescene(self, change: Any) -> None:
        self._outbox["scene"] = change["new"]
        self._news.set()

    async def news(self) -> dict[str, Any]:
        """Wait for what is new, and give it."""
        await self._news.wait()
        self._news.clear()
        news, self._outbox = self._outbox, {}
        return news

    def take(self, message: dict[str, Any], *, may_change: bool) -> None:
        """Take a command or a selection of the page."""
        if isinstance(chosen := message.get("selection"), dict):
            self.selection = chosen
        elif str(message.get("do")) in {*self._verbs, *self._chores} and not may_change:
            self._complain(PermissionError(_LOOK_ONLY))
        elif "do" in message:
            self._on_command(self, message, [])

    def follow(self, home: asyncio.AbstractEventLoop) -> None:  # noqa: ARG002
        """What had ended runs once more: go on looking from here."""
        self.start()

    def _is_watched(self) -> bool:
        return True  # as long as its socket is open


@router.websocket("/view")
async def socket_of_view(
    socket: WebSocket, services: Shared, graph: Annotated[str, Query(max_length=200)]
) -> None:
    """Carry one page's view: scenes and states down, commands and selections up."""
    if services.streams >= services.caps.max_streams:
        await refuse(socket, AGAIN_LATER)
        return
    try:
        orch = services.orchestrator(graph)
    except FlowError:
        await refuse(socket, NOT_FOUND)
        return
    await socket.accept()
    may_change = socket.scope.get("flownb.who") in {"token", "cookie"}
    view = PageView(orch)
    orch._live.followers.add(view)
    view.start()
    try:
        await carry(
            socket, services, _down(socket, services, view, may_change=may_change),
            _up(socket, view, may_change=may_change), services.closing.wait(),
        )  # fmt: skip
    finally:
        view.close()


async def _down(socket: WebSocket, services: Services, view: PageView, *, may_change: bool) -> None:
    note = {} if may_change else {"note": _LOOK_ONLY}
    while True:
        text = dumps({**await view.news(), **note})
        await asyncio.wait_for(socket.send_text(text), services.caps.stall)


async def _up(socket: WebSocket, view: PageView, *, may_change: bool) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while (received := await socket.receive())["type"] != "websocket.disconnect":
            text = received.get("text") or ""
            try:
                message = json.loads(text) if len(text) <= _TOO_LARGE else None
            except (ValueError, RecursionError):
                continue
            if isinstance(message, dict):
                view.take(message, may_change=may_change)
