"""Where is a store, and what of its address may be shown?

An address is a URL or the path of a SQLite file. What is shown of it, in errors too, is
never its password: a notebook keeps its outputs and is passed on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from flownb.errors import StoreError

DEFAULT_FILE: Final = "flownb-runs.sqlite"
_WORDS: Final = ("pass", "secret", "token", "key")


def default_address() -> str:
    """The address used when none is given: `$FLOWNB_STORE`, else a file in this folder."""
    return os.environ.get("FLOWNB_STORE") or DEFAULT_FILE


def scheme_of(address: str) -> str:
    """Give the scheme of a URL in small letters; "sqlite" for the path of a file.

    >>> scheme_of("postgresql+psycopg://localhost/runs"), scheme_of("kept/runs.sqlite")
    ('postgresql', 'sqlite')
    """
    scheme, found, _ = address.partition("://")
    return scheme.lower().partition("+")[0] if found else "sqlite"


def sqlite_path(address: str) -> str:
    """Give the file of a SQLite address, whose URL is written as everywhere.

    >>> sqlite_path("sqlite:///runs.sqlite"), sqlite_path("sqlite:////var/runs.sqlite")
    ('runs.sqlite', '/var/runs.sqlite')
    """
    _, found, rest = address.partition("://")
    path = rest.removeprefix("/") if found else address
    if path in {"", ":memory:"}:
        raise StoreError(f"{address!r} names no file: 'runs.sqlite', or 'memory://' for none")
    return str(Path(path).expanduser())


def shown(address: str) -> str:
    """Give an address without its password.

    >>> shown("postgresql://ada:secret@db.example.org:5432/runs?sslmode=require&password=x")
    'postgresql://ada@db.example.org:5432/runs?sslmode=require'
    """
    if "://" not in address:
        return address
    try:
        parts = urlsplit(address)
    except ValueError:  # a password with strange characters, as likely as not
        return f"{scheme_of(address)}://..."
    user, _, host = parts.netloc.rpartition("@")
    user = user.partition(":")[0]
    query = [(k, v) for k, v in parse_qsl(parts.query) if not any(w in k.lower() for w in _WORDS)]
    cut = parts._replace(netloc=f"{user}@{host}" if user else host, query=urlencode(query))
    return cut._replace(fragment="").geturl()


def without_secrets(text: object, address: str) -> str:
    """Give what a driver says, without the password of *address* should it repeat it."""
    said = str(text).strip()
    for secret in _secrets(address):
        said = said.replace(secret, "***")
    return said


def _secrets(address: str) -> list[str]:
    try:
        parts = urlsplit(address)
    except ValueError:
        return [address]
    found = [parts.password or "", unquote(parts.password or ""), *_in_query(parts)]
    return sorted({address, *found} - {""}, key=len, reverse=True)


def _in_query(parts: SplitResult) -> list[str]:
    return [v for k, v in parse_qsl(parts.query) if any(w in k.lower() for w in _WORDS)]
