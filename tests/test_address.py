"""Is an address understood, and is its password never shown?"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import socketserver
import threading
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis import asyncio as redis_asyncio
from redis.sentinel import Sentinel

from flownb import Graph
from flownb.address import Address, options_of_client, redis_options, sqlite_path, store_address
from flownb.errors import FlowError, QueueError, StoreError
from flownb.queues import QueueManager, QueueSpec, open_server
from flownb.redaction import hide, redacted, scrub
from flownb.stores import open_store

SECRET = "hunter2"


# -- Redis ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://h", {"host": "h"}),
        (" redis://h:7/3\n", {"host": "h", "port": 7, "db": 3}),
        ("redis://h/0", {"host": "h", "db": 0}),
        ("redis://[::1]:7", {"host": "::1", "port": 7}),
        ("rediss://h", {"host": "h", "ssl": True}),
        ("redis://ada:p%40%2F%3A@h", {"host": "h", "username": "ada", "password": "p@/:"}),
        ("redis://:a@b:c@h", {"host": "h", "password": "a@b:c"}),
        ("unix:///run/a@b.sock?db=2", {"path": "/run/a@b.sock", "db": 2}),
        ("unix://:s3cret@/run/r.sock", {"path": "/run/r.sock", "password": "s3cret"}),
        ("redis://h?socket_timeout=3", {"host": "h", "socket_timeout": 3.0}),
        ("redis://h?password=x", {"host": "h", "password": "x"}),
        ("redis://h?protocol=3&client_name=me", {"host": "h", "protocol": 3, "client_name": "me"}),
        (
            "rediss://h?ssl_check_hostname=False&ssl_cert_reqs=none",
            {"host": "h", "ssl": True, "ssl_check_hostname": False, "ssl_cert_reqs": "none"},
        ),
    ],
)  # fmt: skip
def test_a_url_of_redis_gives_the_options_of_its_client(url, options):
    assert redis_options(url) == options


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("localhost:6379", "redis='localhost:6379': it is no URL: write 'redis://localhost:6379'"),
        ("h:6379", "write 'redis://h:6379'"),
        ("", "redis='': it is empty"),
        (f"ada:{SECRET}@127.0.0.1:6379", "write 'redis://127.0.0.1:6379'"),
        (f"{SECRET}@127.0.0.1:6379", "write 'redis://127.0.0.1:6379'"),
        (f"redis://:{SECRET}/x@h", r"write / \? # @ in a password as %2F"),
        (f"redis://ada:12/{SECRET}@h/3", r"write / \? # @"),
        (f"redis://ada:{SECRET}?a@h", r"write / \? # @"),
        (f"redis://ada:{SECRET}#a@h", r"write / \? # @"),
        (f"redis://ada:{SECRET}", "its host cannot be read"),
        ("redis://::1:7", "stands in"),
        ("redis://h:99999", "1 to 65535"),
        ("redis://h/abc", "db='abc' is no number"),
        ("redis://h?db=-1", "0 or above"),
        ("redis://", "names no host"),
        ("unix://", "names no socket"),
        ("http://h", "begins with redis://, rediss:// or unix://"),
        ("redis+sentinel://h:26379/mymaster", "give the URL of one server"),
        ("redis-cluster://h", "give the URL of one server"),
        (f"redis://:{SECRET}@a:1,b:2", "give the URL of one server"),
        ("redis://h/0?decode_responses=True", "option 'decode_responses': a URL says where"),
        ("redis://h?encoding=latin-1", "option 'encoding'"),
        ("redis://h?legacy_responses=false", "option 'legacy_responses'"),
        ("redis://h?sockettimeout=1", "there are db, username"),
        ("redis://h?protocol=4", "2 or 3"),
        ("redis://h?socket_timeout=0", "seconds above 0"),
        ("redis://h?socket_timeout=nan", "seconds above 0"),
        ("redis://h?socket_connect_timeout=soon", "is no number"),
        ("redis://h?socket_keepalive=perhaps", "true or false"),
        ("redis://h?ssl_cert_reqs=none", "begins with rediss://"),
        ("rediss://h?ssl_cert_reqs=perhaps", "none, optional or required"),
        ("rediss://h?ssl_password_=1", "there is no option 'ssl_password_'"),
        (Path("/tmp/r.sock"), "redis= is a PosixPath: write 'unix:///tmp/r.sock'"),
        ({"password": SECRET}, "redis= is a dict: give a URL"),
        (b"redis://h", "redis= is a bytes"),
        (redis.Redis, "give a URL, a redis-py client"),
        (redis.ConnectionPool(), "redis= is a ConnectionPool"),
        (Sentinel([("h", 1)]), "redis= is a Sentinel"),
        (Sentinel([("h", 1)]).master_for("m"), "a redis-py client of one server"),
        (redis.Redis(socket_timeout=0), "socket_timeout=0: seconds above 0"),
    ],
    ids=lambda given: str(given) if isinstance(given, str) else type(given).__name__,
)
def test_what_is_no_address_of_a_redis_is_refused_where_it_is_given(given, said):
    with pytest.raises(QueueError, match=said) as refused:
        Graph("g").add_producer("p", [1]).start(redis=given)
    assert SECRET not in everything(refused.value)


@pytest.mark.parametrize("kind", [redis.Redis, redis_asyncio.Redis])
def test_a_client_says_where_its_server_is_and_not_how_it_is_read(kind):
    client = kind(
        host="h", password="s3cret", decode_responses=True, encoding="latin-1", protocol=3
    )
    options = options_of_client(client)
    assert {"host", "port", "password"} <= set(options)
    assert not {"decode_responses", "encoding", "protocol"} & set(options)


# -- stores -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://ada:{SECRET}@db/runs",
        f"postgresql+psycopg://ada:{SECRET}@[::1]:5432/runs?sslmode=require",
        f"postgresql://ada@db/runs?password={SECRET}",
        f"redis://:{SECRET}@db:6379/2",
        f"rediss://ada:{SECRET}@db",
        f"postgresql://ada:{SECRET}[@db/runs",
        f"mysql://ada:{SECRET}@db/runs",
        f"postgresql://ada:{SECRET}@db:port/runs",
        f"postgresql://ada:{SECRET}",
        f"ada:{SECRET}@h/db",
        f"postgresql:ada:{SECRET}@h/db",
        Path(f"postgresql://ada:{SECRET}@h/db"),
        f"postgresql+asyncpg://ada:{SECRET}@h/db",
        f"redis://h?decode_responses=1&password={SECRET}",
    ],
)
def test_a_password_is_never_shown(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert SECRET not in str(Address.of(str(address)))
    with pytest.raises(StoreError) as told:
        used(address)
    assert SECRET not in everything(told.value)
    assert list(tmp_path.iterdir()) == []


def used(address):
    store = open_store(address)
    assert SECRET not in repr(store) + str(store)
    assert SECRET not in repr(vars(store.runs))
    store.runs.list()


def test_a_driver_that_repeats_the_address_is_not_quoted():
    address = f"postgresql://ada:{SECRET}%21@db/runs"
    Address.of(address)
    said = redacted(f"cannot reach {address} with {SECRET}!")
    assert said == "cannot reach *** with ***"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://db/runs", "sqlite, postgresql, redis, rediss, unix or memory"),
        ("h:5432/db", "write 'postgresql://h:5432/db'"),
        ("postgresql+asyncpg://h/db", "asyncpg is for async code"),
        ("sqlite:runs.sqlite", "behind sqlite comes ://"),
        ("sqlite:///runs.sqlite?mode=ro", "has no options"),
        ("redis://h?socket_timeout=0", "seconds above 0"),
        ("sqlite://", "names no file"),
        (":memory:", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("", "names no file"),
    ],
)
def test_what_is_no_address_of_a_store_is_refused_with_what_to_write(address, said):
    with pytest.raises(StoreError, match=said):
        open_store(address)


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("runs.sqlite", "runs.sqlite"),
        ("me@home.sqlite", "me@home.sqlite"),
        ("/a/me@b:c/x.sqlite", "/a/me@b:c/x.sqlite"),
        ("C:/x.sqlite", "C:/x.sqlite"),
        ("sqlite+pysqlite:///runs.sqlite", "runs.sqlite"),
        ("sqlite:////var/runs.sqlite", "/var/runs.sqlite"),
        ("postgres://ada:x@h/db", "postgresql://ada@h/db"),
        ("postgresql://a:1,b:2/db", "postgresql://a:1,b:2/db"),
        ("redis://:x@h/2", "redis://h/2"),
        ("memory://", "memory://"),
    ],
)
def test_a_store_says_where_it_is(address, where):
    assert open_store(address).where == where
    assert store_address(address).scheme in {"sqlite", "postgresql", "redis", "memory"}


def test_the_default_is_a_file_here_or_what_the_environment_says(monkeypatch):
    monkeypatch.delenv("FLOWNB_STORE", raising=False)
    assert open_store().where == "flownb-runs.sqlite"
    monkeypatch.setenv("FLOWNB_STORE", "redis://cache:6379")
    assert open_store().where == "redis://cache:6379"
    monkeypatch.setenv("FLOWNB_STORE", "mysql://h")
    with pytest.raises(StoreError, match="FLOWNB_STORE: store 'mysql://h'"):
        open_store()


def test_nothing_is_made_before_the_first_use(tmp_path):
    open_store(tmp_path / "deep" / "runs.sqlite")
    assert list(tmp_path.iterdir()) == []


# -- the store of the environment -------------------------------------------------------


def test_a_run_without_a_store_is_kept_in_that_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph = Graph("es").add_node("a", lambda state: {"n": 1})
    graph.run({})
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("FLOWNB_STORE", "runs.sqlite")
    first, second = graph.run({}), asyncio.run(graph.arun({}))
    graph.run({}, store="memory://")
    store = open_store()
    assert {r.run_id for r in store.runs.list(graph="es")} == {first.run_id, second.run_id}
    store.close()
    assert graph.resume(first.run_id, store="runs.sqlite").state == {"n": 1}


@pytest.mark.parametrize("name", ["mysql://h", "/proc/nowhere/runs.sqlite", "redis://127.0.0.1:1"])
def test_a_store_of_the_environment_that_cannot_be_used_is_told_with_its_variable(
    name, monkeypatch
):
    monkeypatch.setenv("FLOWNB_STORE", name)
    graph = Graph("es").add_node("a")
    with pytest.raises(StoreError, match="FLOWNB_STORE: store '"):
        graph.run({})
    with pytest.raises(StoreError, match="FLOWNB_STORE: store '"):
        asyncio.run(graph.arun({}))
    with pytest.raises(StoreError) as told:
        graph.run({}, store=name)
    assert "FLOWNB_STORE" not in str(told.value)


def test_a_state_that_the_store_of_the_environment_cannot_keep_is_told_with_its_variable(
    monkeypatch,
):
    monkeypatch.setenv("FLOWNB_STORE", "memory://")
    with pytest.raises(StoreError, match=r"^FLOWNB_STORE: "):
        Graph("es").add_node("a").run({"x": object()})


# -- secrets ----------------------------------------------------------------------------


def everything(error):
    """All that an error shows, with those that it came from, shown or not."""
    seen, todo, texts = set(), [error], []
    while todo:
        one = todo.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            texts += [repr(one), str(one), repr(one.args), *getattr(one, "__notes__", ())]
            todo += [one.__cause__, one.__context__]
    lines = traceback.format_exception(error)
    texts += [line for line in lines if not line.startswith("  File")]
    return "\n".join(texts)


secrets = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=5
).filter(lambda text: len(set(text)) > 4)  # what cannot be a part of our own words by chance


@given(secrets, st.booleans(), st.sampled_from([
    "redis://ada:{}@h/0?decode_responses=True", "redis://:{}@h:port", "redis://h?password={}&x=1",
    "ada:{}@127.0.0.1:6379", "{}@127.0.0.1:6379", "rediss://:{}@a:1,b:2", "redis://ada:{}@/0",
    "postgresql://ada:{}@h:port/db", "postgresql+asyncpg://ada:{}@h/db", "ada:{}@h/db",
    "mysql://ada:{}@h/db", "postgresql:ada:{}@h/db", "postgresql://h/db?sslpassword={}&x=%zz",
]))  # fmt: skip
def test_no_error_and_no_repr_has_a_password(secret, encoded, form):
    secret = f"{secret}Zq7"
    written = quote(secret, safe="") if encoded else secret
    address, shown = form.format(written), []
    for use in (open_server, open_store):
        try:
            used = use(address)
            shown += [repr(used), str(used), repr(Address.of(address))]
        except FlowError as error:
            shown.append(everything(error))
    for text in shown:
        assert secret not in text
        assert written not in text


@given(secrets)
def test_what_a_server_says_is_told_without_the_password_in_any_spelling(secret):
    secret = f"{secret}Zq7"
    url = f"redis://ada:{quote(secret, safe='')}@h"
    assert redis_options(url)["password"] == secret
    spellings = [secret, quote(secret, safe=""), repr(secret), str(secret.encode()), url]
    for spelling in spellings:
        said = redacted(f"ERR unknown command 'AUTH', with args: 'ada' {spelling}!")
        assert said.startswith("ERR unknown command 'AUTH', with args: 'ada' ")
        assert secret not in said
        error = redis.ResponseError(f"no {spelling}")
        error.__context__ = RuntimeError(spelling)
        scrub(error)
        assert secret not in everything(error)


def test_a_secret_that_is_a_plain_word_does_not_blot_out_other_words():
    hide("postgres", "a")
    assert redacted("postgresql at a table: 'postgres'") == "postgresql at *** table: '***'"


class Telltale(socketserver.StreamRequestHandler):
    """A server that repeats what it does not understand, as old ones and proxies do."""

    def handle(self):
        with contextlib.suppress(OSError):
            while count := self.rfile.readline():
                words = [self.word() for _ in range(int(count[1:]))]
                args = " ".join(f"'{word}'" for word in words[1:])
                said = f"-ERR unknown command '{words[0]}', with args beginning with: {args}\r\n"
                self.wfile.write(said.encode())

    def word(self):
        size = int(self.rfile.readline()[1:])
        return self.rfile.read(size + 2)[:-2].decode()


@pytest.fixture
def telltale():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Telltale) as server:
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_server_that_repeats_the_password_is_told_without_it(telltale, caplog):
    caplog.set_level(logging.DEBUG)
    url = f"redis://ada:{SECRET}@{telltale}"
    graph = Graph("told").add_producer("p", [1]).add_queue("q").add_edge("p", "q")
    with pytest.raises(QueueError, match="unknown command") as told:
        graph.start(redis=url)
    with pytest.raises(StoreError, match="unknown command") as kept:
        open_store(url).runs.list()
    assert SECRET not in everything(told.value) + everything(kept.value) + caplog.text

    async def by_hand():
        manager = QueueManager(
            open_server(pickle.loads(pickle.dumps(url))), graph="g", specs=[QueueSpec("q")],
            consumer="me", patient=True,
        )  # fmt: skip
        with pytest.raises(QueueError, match="unknown command") as pushed:
            await manager.push("q", 1)
        await manager.aclose()
        return everything(pushed.value) + repr(manager)

    assert SECRET not in asyncio.run(by_hand())


def test_a_file_of_sqlite_is_written_as_everywhere():
    assert sqlite_path("sqlite:///a.sqlite") == sqlite_path("sqlite://a.sqlite") == "a.sqlite"


@pytest.mark.parametrize(
    "text",
    [
        f"host=h password={SECRET} dbname=d",
        f"host=h password = '{SECRET} and more'",
        f"redis-cli -h h -a {SECRET}",
        f"redis-cli --pass {SECRET}",
        f"HOST=h PWD={SECRET}",
        f"sqlite://ada:{SECRET}@h/x",
    ],
)
def test_a_password_among_words_is_neither_shown_nor_a_file(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for ask in (open_store, lambda text: Graph("g").add_producer("p", [1]).start(redis=text)):
        with pytest.raises(FlowError) as raised:
            ask(text)
        assert SECRET not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_path_may_have_words_and_a_store_has_an_address():
    for path in ("my runs.sqlite", "passwords.sqlite", "a-a b.sqlite"):
        assert str(open_store(path)) == f"Store({path!r})"
    for wrong in (3, b"x", object()):
        with pytest.raises(StoreError, match=r"address=.*: give a path, a URL, or None"):
            open_store(wrong)
