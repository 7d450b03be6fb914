"""Which texts must never be shown? The passwords of all addresses that were given here.

Who takes an address apart hands them over (`hide`); whatever a server, a driver or an error says
goes through `redacted` before it is shown, logged or raised.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator

HIDDEN: Final = "***"
_MOST: Final = 10_000  # spellings that are remembered, the newest
_WORD: Final = re.compile(r".{1,3}|[a-z]+")  # such a secret may be a part of other words
_SECRET_WORDS: Final = ("pass", "pwd", "secret", "token", "key", "auth", "credential")

_secrets: dict[str, None] = {}
_lock = threading.Lock()


def is_secret(name: str) -> bool:
    """Whether an option of this name holds what nobody is to see."""
    is_file = name.lower().endswith(("file", "path", "certs"))
    return not is_file and any(word in name.lower() for word in _SECRET_WORDS)


def hide(*secrets: str) -> None:
    """Have `redacted` know these, in every spelling in which they may come back."""
    with _lock:
        for secret in secrets:
            _secrets.update(dict.fromkeys(filter(str.strip, _spellings(secret))))
        while len(_secrets) > _MOST:
            del _secrets[next(iter(_secrets))]


def _spellings(secret: str) -> Iterator[str]:
    import json

    for plain in (secret, unquote(secret), unquote_plus(secret)):
        yield plain
        yield quote(plain, safe="")
        yield quote(plain)
        yield quote_plus(plain)
        yield repr(plain)[1:-1]
        yield ascii(plain)[1:-1]
        yield repr(plain.encode("utf-8", "surrogatepass"))[2:-1]
        yield json.dumps(plain)[1:-1]


def redacted(text: object) -> str:
    """Give what a server, a driver or an error says, without any password given here.

    >>> hide("hunter22")
    >>> redacted("-ERR unknown command AUTH, with args: 'hunter22'")
    "-ERR unknown command AUTH, with args: '***'"
    """
    said = str(text)
    with _lock:
        known = [secret for secret in _secrets if secret in said]
    for secret in sorted(known, key=len, reverse=True):
        if _WORD.fullmatch(secret):
            said = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, said)
        else:
            said = said.replace(secret, HIDDEN)
    return said


def scrub(error: BaseException) -> None:
    """Take passwords out of an error, and out of those that it came from."""
    seen: list[BaseException | None] = [None]
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        clean = tuple(redacted(arg) if isinstance(arg, str) else arg for arg in one.args)
        if clean != one.args:
            one.args = clean
        todo += [one.__cause__, one.__context__]
