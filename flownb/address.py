"""Where is a server or a file, and what of its address may be shown?

An address is a URL, or the path of a SQLite file. One parser reads it, for queues and for
stores. What is shown of it is never a password, and what a server or a driver says is shown
without any password that was ever given here (`redacted`): a notebook keeps its outputs and
is passed on.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from flownb.redaction import HIDDEN, hide, is_secret, redacted

_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(\d*))?")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

_WORDS: Final = re.compile(
    r"""(\b(?:\w*passw(?:or)?d|pwd)\s*=\s*|(?:^|\s)(?:-a|--pass)[\s=])('[^']*'|"[^"]*"|\S+)""",
    re.IGNORECASE,
)
"""A password among words, as libpq (password=...) and redis-cli (-a ...) take it."""

_ODD: Final = "it cannot be read: write / ? # @ in a password as %2F %3F %23 %40"


@dataclass(frozen=True, slots=True)
class Address:
    """An address, taken apart; its repr is what may be shown.

    >>> Address.of("postgresql+psycopg://ada:secret@db.example.org:5432/runs?sslmode=require")
    'postgresql+psycopg://ada@db.example.org:5432/runs?sslmode=require'
    """

    scheme: str
    """In small letters, without the driver; "" if there is none."""
    driver: str
    user: str
    password: str
    host: str
    """With the port, if there is one."""
    path: str
    options: tuple[tuple[str, str], ...]
    is_odd: bool
    """Whether its parts were found by guessing."""

    @property
    def holds_secret(self) -> bool:
        """Whether there is a password in it, or what may be one."""
        alone = self.user and self.scheme in REDIS_SCHEMES
        return bool(self.password or alone or any(is_secret(name) for name, _ in self.options))

    @classmethod
    def of(cls, text: str) -> Address:
        """Take an address apart, whatever it is; its password is known to `redacted` then."""
        text = text.strip()
        match = _SCHEME.match(text)
        scheme, _, driver = (match[1].lower() if match else "").partition("+")
        rest, _, _fragment = (text[match.end() :] if match else text).partition("#")
        who, host, behind, odd = _parts(text[match.end() :] if match else text, rest)
        path, _, query = behind.partition("?")
        user, _, password = who.partition(":")
        options = tuple(parse_qsl(query, keep_blank_values=True))
        hide(password, *(value for name, value in options if is_secret(name)))
        words = [] if match else [found[2].strip("'\"") for found in _WORDS.finditer(text)]
        hide(*words)
        if password or words or (odd and "@" in text):
            hide(text)
        return cls(scheme, driver, unquote(user), unquote(password), host, path, options, odd)

    def __repr__(self) -> str:
        return repr(str(self))

    def __str__(self) -> str:
        scheme = "+".join(filter(None, (self.scheme, self.driver)))
        # What stands alone before the @ of a URL of Redis is more often a password.
        has_user = self.user and self.scheme not in {"", *REDIS_SCHEMES}
        user = f"{quote(self.user, safe='')}@" if has_user else ""
        is_plain = not (scheme or self.user or self.password)
        hosts = self.host if is_plain else ",".join(map(_shown_host, self.host.split(",")))
        shown = [f"{n}={quote_plus(v)}" for n, v in self.options if not is_secret(n)]
        query = f"?{'&'.join(shown)}" if shown else ""
        whole = f"{scheme}{'://' if scheme else ''}{user}{hosts}{self.path}{query}"
        return whole if scheme else _WORDS.sub(rf"\1{HIDDEN}", whole)


def _parts(whole: str, rest: str) -> tuple[str, str, str, bool]:
    """Give who, host, and what is behind; also of a URL whose password is not encoded."""
    place = re.search(r"[/?]", rest)
    net, behind = (rest[: place.start()], rest[place.start() :]) if place else (rest, "")
    who, _, host = net.rpartition("@")
    path, _, query = behind.partition("?")
    stray = any("@" in part.partition("=")[0] for part in query.split("&"))
    if ("@" in path and net) or stray or ("@" in whole.partition("#")[2] and net):
        who, _, place_ = whole.rpartition("@")  # a password with / ? or # in it
        host, slash, path = place_.partition("/")
        return who, host, f"{slash}{path}", True
    return who, host, behind, False


def _shown_host(host: str) -> str:
    return host if _HOST.fullmatch(host) else f"{host.partition(':')[0]}:{HIDDEN}"


def host_and_port(host: str) -> tuple[str, int | None]:
    """Take a host apart; raises ValueError, whose text has nothing of it.

    >>> host_and_port("[::1]:6379"), host_and_port("db")
    (('::1', 6379), ('db', None))
    """
    match = _HOST.fullmatch(host)
    if match is None:
        msg = "its host cannot be read: a port is a number, an IPv6 address stands in [ ]"
        raise ValueError(msg)
    port = int(match[2]) if match[2] else None
    if port is not None and not 0 < port < 65536:  # noqa: PLR2004 - what TCP has
        msg = f"its port is {port}: 1 to 65535"
        raise ValueError(msg)
    return unquote(match[1].strip("[]")), port


# -- Redis ---------------------------------------------------------------------

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")
_SECONDS: Final = frozenset({"socket_timeout", "socket_connect_timeout"})
_OF_PLACE: Final = frozenset(
    {"host", "port", "path", "db", "username", "password", "credential_provider", "client_name"}
    | {"socket_keepalive", *_SECONDS}
)
_IN_URL: Final = ("db", "username", "password", "client_name", "protocol", "socket_keepalive")
_SEVERAL: Final = frozenset({"sentinel", "cluster"})


def redis_options(text: str) -> dict[str, Any]:
    """The options of redis-py that a URL stands for; raises ValueError, never with a password.

    >>> redis_options("redis://:hunter22@example.org/2")
    {'password': 'hunter22', 'host': 'example.org', 'db': 2}
    """
    address = Address.of(text)
    _check_redis(address, text)
    options: dict[str, Any] = {"username": address.user, "password": address.password}
    path = address.path.strip("/")
    if address.scheme == "unix":
        options["path"] = unquote(address.path)
    else:
        options["host"], options["port"] = host_and_port(address.host)
        options["db"] = _number("db", unquote(path)) if path else None
    given = dict(_option(name, value, address) for name, value in address.options)
    options = {name: value for name, value in options.items() if value not in {None, ""}} | given
    _check_seconds(options)
    return options | ({"ssl": True} if address.scheme == "rediss" else {})


def _check_redis(address: Address, text: str) -> None:
    several = _SEVERAL & {*re.split(r"[-_]", address.scheme), *re.split(r"[-_]", address.driver)}
    if not text.strip():
        problem = "it is empty: give redis://host:port/db"
    elif several or "," in address.host:
        problem = "Sentinel and lists of nodes are not followed: give the URL of one server"
    elif not address.scheme and _WORDS.search(text):
        problem = "it is no URL: write 'redis://:password@host:port/db'"
    elif not address.scheme:
        problem = f"it is no URL: write {f'redis://{address}'!r}"
    elif address.scheme not in REDIS_SCHEMES or address.driver:
        problem = "a URL of Redis begins with redis://, rediss:// or unix://"
    elif address.scheme == "unix" and (address.host or not address.path.strip("/")):
        problem = "it names no socket: write unix:///path/of/redis.sock"
    elif address.is_odd:
        problem = _ODD
    elif address.scheme != "unix" and not address.host:
        problem = "it names no host: write redis://host:port/db"
    else:
        return
    raise ValueError(problem)


def _option(name: str, value: str, address: Address) -> tuple[str, Any]:
    if name.startswith("ssl_"):
        return name, _ssl_option(name, value, address)
    if name not in {*_IN_URL, *_SECONDS}:
        msg = (
            f"option {name!r}: a URL says where the server is, and flownb how it is read; there "
            f"are {', '.join((*_IN_URL, *sorted(_SECONDS)))}, and ssl_... with rediss://"
        )
        raise ValueError(msg)
    if name == "protocol" and value not in {"2", "3"}:
        msg = f"protocol={value!r}: 2 or 3"
        raise ValueError(msg)
    if name in {"db", "protocol", *_SECONDS}:
        return name, _number(name, value)
    return name, _truth(name, value) if name == "socket_keepalive" else value


def _ssl_option(name: str, value: str, address: Address) -> Any:
    import inspect

    from redis.asyncio.connection import SSLConnection

    known = [n for n in inspect.signature(SSLConnection.__init__).parameters if n[:4] == "ssl_"]
    if address.scheme != "rediss":
        msg = f"option {name!r} needs a URL that begins with rediss://"
        raise ValueError(msg)
    if name not in known:
        msg = f"there is no option {name!r}: there are {', '.join(known)}"
        raise ValueError(msg)
    if name == "ssl_cert_reqs" and value not in {"none", "optional", "required"}:
        msg = f"{name}={value!r}: none, optional or required"
        raise ValueError(msg)
    return _truth(name, value) if name == "ssl_check_hostname" else value


def _number(name: str, value: str) -> float | int:
    try:
        return float(value) if name in _SECONDS else int(value)
    except ValueError:
        msg = f"{name}={redacted(value)!r} is no number"
        raise ValueError(msg) from None


def _truth(name: str, value: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if value.lower() not in words:
        msg = f"{name}={value!r}: true or false"
        raise ValueError(msg)
    return words[value.lower()]


def _check_seconds(options: dict[str, Any]) -> None:
    for name in sorted(_SECONDS & options.keys()):
        seconds = options[name]
        usable = isinstance(seconds, (int, float)) and seconds > 0 and math.isfinite(seconds)
        if not usable or isinstance(seconds, bool):
            msg = f"{name}={seconds!r}: seconds above 0, or leave it out"
            raise ValueError(msg)
    if not isinstance(options.get("db", 0), int) or options.get("db", 0) < 0:
        msg = f"db={options['db']!r}: the number of a database, 0 or above"
        raise ValueError(msg)


def options_of_client(client: Any) -> dict[str, Any]:
    """The options of the server of a client, sync or async; of a fakeredis it is `server`.

    What else a client does (it may decode replies) is its own affair: flownb makes its own.
    Raises ValueError for what is no client of one server.
    """
    if isinstance(client, Path):
        msg = f"write {f'unix://{client.absolute()}'!r} for a socket"
        raise ValueError(msg)  # noqa: TRY004 - as for any other address
    pool: Any = None if isinstance(client, type) else getattr(client, "connection_pool", None)
    given = getattr(pool, "connection_kwargs", None)
    if given is None or hasattr(pool, "sentinel_manager"):
        msg = "give a URL, a redis-py client of one server, or None for the one inside this kernel"
        raise ValueError(msg)
    if "server" in given:
        return {"server": _fake_server(pool)}
    options = {
        name: value
        for name, value in given.items()
        if value is not None and (name in _OF_PLACE or name.startswith("ssl_"))
    }
    _check_seconds(options)
    return options | ({"ssl": True} if "SSL" in pool.connection_class.__name__ else {})


def client_options(options: dict[str, Any]) -> dict[str, Any]:
    """The same options as redis-py's clients name them."""
    hide(*(v for n, v in options.items() if is_secret(n) and isinstance(v, str)))
    options = dict(options)
    if "path" in options:
        options["unix_socket_path"] = options.pop("path")
    return options


def _fake_server(pool: Any) -> Any:
    fake = pool.connection_kwargs["server"]
    if fake is None:
        # A FakeRedis made without server= chooses one when it makes a connection.
        fake = pool.make_connection()._server  # noqa: SLF001  nothing public tells
    return fake


# -- stores --------------------------------------------------------------------

STORE_SCHEMES: Final = ("sqlite", "postgresql", "postgres", *REDIS_SCHEMES, "memory")
_LIKE_A_HOST: Final = re.compile(r"[^/\\]*:[^/\\]*@|[^/\\]*@[^/\\]*:\d|[\w.-]+:\d+(/|$)|@")
_ONE_SLASH: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_ASYNC: Final = frozenset({"asyncpg", "psycopg_async", "aiopg"})


def store_address(text: str) -> Address:
    """Take the address of a store apart; raises ValueError for what is none.

    >>> store_address("kept/runs.sqlite").scheme, store_address("postgres://db/runs").scheme
    ('sqlite', 'postgresql')
    """
    address = Address.of(text)
    if not address.scheme:
        if problem := _no_path(text.strip(), address):
            raise ValueError(problem)
        return replace(address, scheme="sqlite")
    if address.scheme not in STORE_SCHEMES:
        msg = (
            "runs are kept in the file of a path, or behind a URL of "
            "sqlite, postgresql, redis, rediss, unix or memory"
        )
    elif address.driver in _ASYNC:
        msg = f"{address.driver} is for async code and not used here: write postgresql://"
    elif address.is_odd:
        msg = _ODD
    elif address.scheme == "sqlite" and address.password:
        msg = "a file has no user and no password: write sqlite:///runs.sqlite"
    else:
        if address.scheme.startswith("postgres"):
            for host in address.host.split(","):
                host_and_port(host)
            return replace(address, scheme="postgresql")
        return address
    raise ValueError(msg)


def _no_path(text: str, address: Address) -> str:
    """Say why what is no URL is no path of a file either; else ""."""
    one_slash = _ONE_SLASH.match(text)
    if one_slash and one_slash[1].lower() in STORE_SCHEMES:
        hide(text)
        return f"it is no URL: behind {one_slash[1]} comes ://"
    if _WORDS.search(text):
        return "it is neither a path nor a URL: write 'postgresql://user:password@host/database'"
    if _LIKE_A_HOST.match(text):
        return f"it is neither a path nor a URL: write {f'postgresql://{address}'!r}, for example"
    return ""


def sqlite_path(text: str) -> str:
    """Give the file of a SQLite address; raises ValueError.

    >>> sqlite_path("sqlite:///runs.sqlite"), sqlite_path("sqlite:////var/runs.sqlite")
    ('runs.sqlite', '/var/runs.sqlite')
    """
    match = _SCHEME.match(text)
    path = text[match.end() :].removeprefix("/") if match else text
    if match and "?" in path:
        msg = "the URL of a file has no options: leave out what stands behind the ?"
        raise ValueError(msg)
    if path.strip() in {"", ":memory:"}:
        msg = "it names no file: 'runs.sqlite', or 'memory://' for none"
        raise ValueError(msg)
    return str(Path(path).expanduser())


def with_driver(text: str) -> str:
    """Give the URL of a PostgreSQL server as SQLAlchemy reads it."""
    scheme, _, rest = text.strip().partition("://")
    return f"postgresql+{scheme.partition('+')[2] or 'psycopg'}://{rest}"
