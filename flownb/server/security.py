"""Who may ask for what, and how much? A guard in front of every request.

As in Jupyter there is one token. Each change needs it, and so does each look from another
machine; a program on this machine may look without it. What came through a proxy, under
another host name, or from the page of another site is not from this machine.

The token is given as `Authorization: Bearer ...`, as `?token=...`, or by the cookie which the
page gets for it; a cookie counts for changes from our own pages only. No header lets other
sites read (CORS is off).
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import secrets
import time
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from flownb.redaction import hide
from flownb.server import problem_details
from flownb.server.path_names import quoted_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

Who = Literal["token", "cookie", "local"]
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_REMEMBERED: Final = 10_000  # askers whose rate is known
_REFUSED: Final = 4401  # the WebSocket close code for 401


@dataclass(frozen=True, slots=True)
class Caps:
    """How much a server takes. Sizes are bytes, times seconds, rates requests a second.

    `max_body` is the largest request, `max_open_runs` how many one-shot runs may wait or work,
    `max_running` how many of them work at a time, `max_streams` how many clients may listen;
    an answer has `timeout` to begin, a listener `stall` to take what was sent, and a stream ends
    after `lifetime` (who still wants it comes back, and misses nothing). Each token, and
    each address without one, may ask `rate` times a second, after a pause `burst` times at
    once; `rate=None` for no limit.
    """

    max_body: int = 2_000_000
    max_open_runs: int = 10_000
    max_running: int = 16
    max_streams: int = 512
    timeout: float = 60.0
    stall: float = 30.0
    lifetime: float = 3600.0
    rate: float | None = 100.0
    burst: int = 2_000


class RateLimit:
    """A token bucket for each asker.

    >>> now = [0.0]
    >>> limit = RateLimit(rate=2.0, burst=1, clock=lambda: now[0])
    >>> limit.wait("ada"), limit.wait("ada")
    (0.0, 0.5)
    >>> now[0] = 0.5
    >>> limit.wait("ada")
    0.0
    """

    def __init__(
        self, rate: float | None, burst: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._full_at: dict[str, float] = {}  # when the bucket of an asker is full again

    def wait(self, asker: str) -> float:
        """Take one; or give the seconds until there is one."""
        if self._rate is None:
            return 0.0
        now = self._clock()
        full_at = max(now, self._full_at.pop(asker, now)) + 1 / self._rate
        late = full_at - now - self._burst / self._rate
        if late > 1e-9:  # noqa: PLR2004 - of rounding
            self._full_at[asker] = full_at - 1 / self._rate
            return late
        self._full_at[asker] = full_at
        while len(self._full_at) > _REMEMBERED:
            del self._full_at[next(iter(self._full_at))]
        return 0.0


class Guard:
    """ASGI middleware: lets pass what may, and says in the scope who asks, as "flownb.who"."""

    def __init__(self, app: ASGIApp, *, token: str, caps: Caps, root_path: str = "") -> None:
        self._app, self._token, self._caps = app, token, caps
        self._limit = RateLimit(caps.rate, caps.burst)
        self.cookie, self._root_path = cookie_name(token), root_path.rstrip("/")
        hide(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if self._root_path and not scope.get("root_path"):
            scope["root_path"] = self._root_path
        if scope["type"] in {"http", "websocket"}:
            scope["path"] = quoted_path(scope)
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        who = scope["flownb.who"] = self._who(scope, headers)
        refusal = self._refusal(scope, headers, who)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await _Exchange(self._app, self._caps, scope, receive, send).run()

    def _refusal(self, scope: Scope, headers: dict[str, str], who: Who | None) -> ASGIApp | None:
        late = self._limit.wait(self._asker(scope, who))
        if late:
            said = f"too many requests: wait {late:.3g} s"
            retry = {"Retry-After": str(int(late) + 1)}
            return problem_details.response(429, said, headers=retry)
        changes = scope["method"] not in _READS
        if who is None or (changes and who == "local"):
            said = (
                "a token is needed: the server printed an address with it; give it as "
                "'Authorization: Bearer ...' or '?token=...'"
            )
            return problem_details.response(401, said, headers={"WWW-Authenticate": "Bearer"})
        if changes and who == "cookie" and not is_own_page(headers, must_be_told=True):
            return problem_details.response(403, "the page of another site may change nothing here")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > self._caps.max_body:
            return problem_details.response(413, f"at most {self._caps.max_body:,} bytes are taken")
        return None

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        who = scope["flownb.who"] = self._who(scope, headers)
        own = who == "token" or is_own_page(headers, must_be_told=False)
        if who is None or not own or self._limit.wait(self._asker(scope, who)):
            await receive()
            await send({"type": "websocket.close", "code": _REFUSED, "reason": ""})
            return
        await self._app(scope, receive, send)

    def _asker(self, scope: Scope, who: Who | None) -> str:
        if who in {"token", "cookie"}:
            return "token"
        return str((scope.get("client") or ("",))[0])

    def _who(self, scope: Scope, headers: dict[str, str]) -> Who | None:
        given = _given_token(scope, headers)
        if given is not None:  # a wrong one is no better than none, and never good for "local"
            return "token" if self._is_token(given) else None
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            morsel = None
        if morsel is not None and self._is_token(morsel.value):
            return "cookie"
        return "local" if is_local(scope, headers) else None

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(
            given.encode("utf-8", "replace"), self._token.encode("utf-8", "replace")
        )


class _Exchange:
    """One request on its way: its body is counted, its answer has to begin in time."""

    def __init__(
        self, app: ASGIApp, caps: Caps, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._app, self._caps, self._scope = app, caps, scope
        self._receive, self._send = receive, send
        self._size = 0
        self._began = False
        self._is_head = scope["method"] == "HEAD"
        if self._is_head:  # the server's own scope still says so
            self._scope = {**scope, "method": "GET"}
        self._timer: asyncio.Timeout

    async def run(self) -> None:
        try:
            async with asyncio.timeout(self._caps.timeout) as self._timer:
                await self._app(self._scope, self._take, self._give)
        except _TooLarge:
            said = f"at most {self._caps.max_body:,} bytes are taken"
            await self._refuse(413, said)
        except Stalled:
            pass  # the server closes what ends in the middle
        except TimeoutError:
            if self._began or not self._timer.expired():
                raise
            await self._refuse(503, f"no answer within {self._caps.timeout:g} s")

    async def _refuse(self, status: int, said: str) -> None:
        if not self._began:
            refusal = problem_details.response(status, said)
            await refusal(self._scope, self._receive, self._send)

    async def _take(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        self._check_size()
        return message

    def _check_size(self) -> None:
        if self._size > self._caps.max_body:
            raise _TooLarge

    async def _give(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._check_size()  # FastAPI takes any error of reading for one of its own
            self._began = True
            self._timer.reschedule(None)
            message = {**message, "headers": [*message.get("headers", ()), *_EVERY_ANSWER]}
        try:
            await asyncio.wait_for(self._send(message), self._caps.stall)
        except TimeoutError:
            raise Stalled from None
        if self._is_head:  # nothing more is wanted, of a stream neither
            await self._send({"type": "http.response.body", "body": b""})
            raise Stalled


class Stalled(OSError):
    """Nobody takes more of the answer; an OSError, as where a client is gone."""


class _TooLarge(Exception):
    """More came than its header said, or than is taken."""


_EVERY_ANSWER: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


def cookie_name(token: str) -> str:
    """Name the cookie so that two servers on one machine do not take away each other's."""
    return f"flownb-{hashlib.sha256(token.encode()).hexdigest()[:12]}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine.

    >>> is_loopback("localhost"), is_loopback("127.0.0.9"), is_loopback("::1")
    (True, True, True)
    >>> is_loopback("0.0.0.0"), is_loopback("example.org"), is_loopback("")
    (False, False, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_local(scope: dict[str, Any] | Any, headers: dict[str, str]) -> bool:
    """Whether a request comes from a program on this machine, and through nobody's hands."""
    client = scope.get("client")
    if client is None or not is_loopback(str(client[0])):
        return False
    if any(name in headers for name in _FORWARDED):
        return False
    return is_loopback(_host(headers)) and is_own_page(headers, must_be_told=False)


def is_own_page(headers: dict[str, str], *, must_be_told: bool) -> bool:
    """Whether a browser says that a page of ours asks; programs say nothing."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin" or (site == "none" and not must_be_told)
    origin = headers.get("origin")
    if origin is None:
        return not must_be_told
    try:
        place = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    hosts = {headers.get(name, "").lower() for name in ("host", "x-forwarded-host")}
    return bool(place) and place in hosts


def _host(headers: dict[str, str]) -> str:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in scope["headers"]}


def _given_token(scope: Scope, headers: dict[str, str]) -> str | None:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() in {"bearer", "token"}:
        return value.strip()
    query = scope.get("query_string", b"").decode("latin-1")
    try:
        return next((v for k, v in parse_qsl(query, keep_blank_values=True) if k == "token"), None)
    except ValueError:  # too many fields
        return ""
