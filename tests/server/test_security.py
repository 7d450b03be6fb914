"""Who is refused? Everybody without a token who changes something or comes from elsewhere."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import textwrap
import time
import urllib.parse

import httpx
import pytest
import websockets.sync.client
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus

from flownb import Graph
from flownb.errors import ArgumentError, RunError
from flownb.server import Server, create_app
from flownb.server.security import Caps, RateLimit, is_local
from tests.support.machine import ROOT
from tests.support.served import TOKEN, document, serving

pytestmark = pytest.mark.wallclock
READS = ["health", "graphs", "runs", "loops", "queues", "tools", "openapi.json", "stream?limit=0"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(store=str(tmp_path_factory.mktemp("store") / "runs.sqlite")) as client:
        name = client.post("graphs", json={"document": document()}).json()["name"]
        # Its thread for stores and runs is there before the first test counts threads.
        client.post("runs?wait=20", json={"graph": name, "state": {"value": 1}})
        yield client


def ask(client, path, **headers):
    """Ask without the client's own token."""
    return httpx.get(f"{client.server.address}{path}", headers=headers)


@pytest.mark.parametrize("path", READS)
def test_a_program_on_this_machine_reads_without_a_token(served, path):
    assert ask(served, path).status_code == 200


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer x y"},
        {"X-Forwarded-For": "10.0.0.1"},
        {"Forwarded": "for=10.0.0.1"},
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_what_is_not_plainly_from_this_machine_needs_the_token(served, path, headers):
    refused = ask(served, path, **headers)
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["www-authenticate"] == "Bearer"
    if "Authorization" not in headers:
        given = {**headers, "Authorization": f"Bearer {TOKEN}"}
        assert ask(served, path, **given).status_code == 200


@pytest.mark.parametrize("path", ["graphs", "runs", "graph/run", "loops/x/stop", "nowhere"])
def test_every_change_needs_the_token_on_this_machine_too(served, path):
    assert httpx.post(f"{served.server.address}{path}", json={}).status_code == 401
    assert served.post(path, json={}).status_code in {404, 422}


def test_the_token_goes_in_an_address_too_and_in_a_cookie_for_our_own_pages(served):
    address = served.server.address
    given = {"document": document("by-cookie")}
    by_query = httpx.post(f"{address}graphs?token={TOKEN}", json=given)
    assert by_query.status_code == 201
    cookie = served.server._app.state.cookie
    own = {"Cookie": f"{cookie}={TOKEN}", "Origin": address.rstrip("/")}
    assert httpx.post(f"{address}graphs", json=given, headers=own).status_code == 201
    for other in ({}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
        headers = {"Cookie": f"{cookie}={TOKEN}", **other}
        assert httpx.post(f"{address}graphs", json=given, headers=headers).status_code == 403


def test_no_answer_lets_another_site_read_it(served):
    answer = served.get("runs", headers={"Origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["x-content-type-options"] == "nosniff"
    asked = served.options("runs", headers={"Origin": "http://evil.example"})
    assert not [name for name in asked.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"X-Forwarded-For": "10.0.0.1"}]
)
def test_a_socket_from_another_site_or_machine_is_refused(headers):
    with serving() as client:
        url = client.server.address.replace("http", "ws") + "ws"
        with pytest.raises(InvalidStatus, match="403"):
            websockets.sync.client.connect(url, additional_headers=headers)
        with websockets.sync.client.connect(f"{url}?token={TOKEN}", additional_headers=headers):
            pass


def test_bodies_that_are_too_large_are_refused_with_and_without_a_length():
    with serving(caps=Caps(max_body=1000)) as client:
        assert client.post("graphs", content=b"x" * 1001).status_code == 413
        assert client.post("graphs", content=iter([b"x" * 600] * 2)).status_code == 413
        assert client.post("graphs", content=b"x" * 900).status_code == 422


def test_a_body_that_never_comes_is_given_up():
    with serving(caps=Caps(timeout=0.3)) as client:
        port = client.server.port
        with socket.create_connection(("127.0.0.1", port)) as slow:
            head = f"POST /runs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9\r\n"
            slow.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
            slow.settimeout(10)
            assert b" 503 " in slow.recv(100)


def test_who_asks_too_often_is_told_when_to_ask_again():
    with serving(caps=Caps(rate=1.0, burst=5)) as client:
        codes = [client.get("health").status_code for _ in range(8)]
        assert codes[:5] == [200] * 5
        assert 429 in codes
        assert int(client.get("health").headers["Retry-After"]) >= 1


@given(st.lists(st.floats(0, 3), max_size=40))
def test_no_asker_gets_more_than_its_rate(pauses):
    now = [0.0]
    limit = RateLimit(2.0, 3, clock=lambda: now[0])
    taken = []
    for pause in pauses:
        now[0] += pause
        if not limit.wait("ada"):
            taken.append(now[0])
    for i, first in enumerate(taken):
        for j in range(i, len(taken)):
            assert j - i + 1 <= 3 + 2 * (taken[j] - first) + 1e-6


def test_a_token_that_could_be_guessed_is_refused():
    for token in ("", "short"):
        with pytest.raises(ArgumentError, match="token"):
            create_app(token=token)


def test_a_port_that_is_taken_is_told_in_a_sentence():
    with serving() as client, pytest.raises(RunError, match="port=0 takes a free one"):
        Server(create_app(), port=client.server.port)


def test_the_token_stands_in_no_text_and_no_log(served, caplog):
    httpx.get(f"{served.server.address}runs/nope?token={TOKEN}")
    shown = repr(served.server) + served.server._repr_mimebundle_()["text/plain"]
    assert TOKEN not in shown
    assert TOKEN not in caplog.text.replace(f"runs/nope?token={TOKEN}", "")  # httpx's own log


NASTY = st.text(max_size=60) | st.sampled_from(
    ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "\x00", "//", "[", "token", TOKEN[:-1]]
)


def test_a_name_of_blanks_alone_is_no_fault_of_the_server(served):
    for path in ("runs/%C2%85", "runs/%20", "graphs/%E3%80%80"):
        assert served.get(path).status_code == 422


@pytest.mark.parametrize("examples", [15, pytest.param(300, marks=pytest.mark.nightly)])
def test_fuzzed_tokens_paths_and_bodies_do_no_harm(served, examples):
    @settings(max_examples=examples, deadline=None)
    @given(NASTY, NASTY, st.binary(max_size=200), st.sampled_from(["GET", "POST", "PUT", "DELETE"]))
    def ask_anything(token, path, body, method):
        do_no_harm(served.server.address, token, path, body, method)

    ask_anything()


def do_no_harm(address, token, path, body, method):
    quoted = urllib.parse.quote(path.encode("utf-8", "replace"), safe="/%")
    query = urllib.parse.quote(token.encode("utf-8", "replace"))
    for where in (f"{quoted}?token={query}", f"runs/{quoted}", f"graphs/{quoted}?token={TOKEN}"):
        answer = httpx.request(method, f"{address}{where}", content=body)
        assert answer.status_code < 500, (where, answer.text)
        assert "root:x:" not in answer.text


FORGED = [
    b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
    b"GET //[ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nCookie: \xff;=;;\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"\x16\x03\x01\x00",
    b"GET / HTTP/9.9\r\n\r\n",
]


@pytest.mark.parametrize("raw", FORGED)
def test_forged_requests_do_no_harm(served, raw):
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=5) as made:
        made.sendall(raw)
        made.shutdown(socket.SHUT_WR)
        answer = made.recv(1000)
    assert not answer.startswith(b"HTTP/1.1 5")
    assert served.get("health").status_code == 200


ELSEWHERE = """
    import subprocess, sys, httpx, websockets.sync.client, websockets.exceptions
    from flownb.server import Server, create_app
    from tests.support.served import TOKEN, live_graph
    run = lambda *words: subprocess.run(words, check=True)
    run("ip", "link", "set", "lo", "up")
    run("ip", "addr", "add", "192.0.2.7/32", "dev", "lo")
    orch = live_graph().start(control="thread")
    server = Server(create_app(orch, token=TOKEN), host="0.0.0.0").start()
    there = f"http://192.0.2.7:{server.port}/"
    # a connection to an address of our own comes from that address: not from loopback
    told = []
    paths = server._app.openapi()["paths"]
    asked = [(m, p) for p, ways in paths.items() for m in ways] + [("get", "/openapi.json")]
    for method, path in asked:
        path = path.strip("/").replace("{", "").replace("}", "")
        told.append((method, path, httpx.request(method, there + path).status_code))
    assert len(told) > 20, told
    assert {code for _, _, code in told} == {401}, told
    for path in ("ws", "runs/x/ws"):
        try:
            websockets.sync.client.connect(there.replace("http", "ws") + path)
        except websockets.exceptions.InvalidStatus as error:
            assert error.response.status_code == 403
        else:
            raise AssertionError(path)
    given = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.get(there + "health", headers=given).status_code == 200
    server.stop().wait()
    orch.stop().wait(20)
    print("all refused")
"""


def test_another_address_is_refused_everything_without_the_token():
    """In a network namespace of its own, so that the address is really another one."""
    ran = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", textwrap.dedent(ELSEWHERE)],
        capture_output=True, text=True, cwd=ROOT, env=None, timeout=100, check=False,
    )  # fmt: skip
    assert ran.stdout == "all refused\n", ran.stderr


@pytest.mark.parametrize(
    ("client", "host", "local"),
    [
        (("127.0.0.1", 1), "127.0.0.1:80", True),
        (("127.0.0.1", 1), "localhost", True),
        (("::1", 1), "[::1]:80", True),
        (("127.0.0.1", 1), "localhost.evil.example", False),
        (("127.0.0.1", 1), "", False),
        (("10.0.0.1", 1), "localhost", False),
        (None, "localhost", False),
    ],
)
def test_who_counts_as_this_machine(client, host, local):
    assert is_local({"client": client}, {"host": host}) is local


def test_a_document_brings_no_code_and_reads_no_file(served, tmp_path):
    (tmp_path / "secret").write_text("hunter22")
    for fn in ("os.system", "builtins.eval", "__import__", str(tmp_path / "secret")):
        answer = served.post("graphs", json={"document": document("x") | {
            "nodes": [{"name": "a", "kind": "blocking", "fn": fn}]}})  # fmt: skip
        assert answer.status_code == 409
        assert "there is no tool" in json.loads(answer.text)["detail"]


# -- hostile clients ------------------------------------------------------------


def test_who_never_ends_what_it_asks_is_let_go_and_who_asks_on_is_not():
    with serving(caps=Caps(timeout=0.5)) as client:
        port = client.server.port
        made = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(20)]
        for number, slow in enumerate(made):
            if number % 2:  # in the second request, too
                slow.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"200 OK" in slow.recv(4000)
            slow.sendall(b"GET /health HTTP/1.1\r\nHost: lo")
        url = client.server.address.replace("http", "ws") + "ws?kinds=metrics"
        with (
            websockets.sync.client.connect(url) as listener,
            client.stream("GET", "stream") as stream,
        ):
            for slow in made:
                while slow.recv(4000):
                    pass  # until it is closed
                slow.close()
            listener.ping().wait(10)
            assert next(stream.iter_raw())


@pytest.mark.nightly
def test_who_takes_no_answer_is_let_go(tmp_path):
    graph = Graph("big").add_node("big", lambda _: {"big": "x" * 20_000_000})
    caps = Caps(timeout=1.0, rate=None)
    with serving(graphs=[graph], store=str(tmp_path / "s.sqlite"), caps=caps) as client:
        run_id = client.post("runs", json={"graph": "big"}).json()["run_id"]
        while client.get("health").json()["open_runs"]:
            time.sleep(0.05)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", client.server.port))
            slow.sendall(f"GET /runs/{run_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            slow.settimeout(20)
            assert slow.recv(10)
            time.sleep(15)  # longer than a server waits, on a busy machine too
            taken = 0
            with contextlib.suppress(ConnectionResetError):
                while more := slow.recv(1_000_000):
                    taken += len(more)
        assert taken < 20_000_000
        assert client.get("health").status_code == 200


GARBAGE = [
    "", "null", "[]", "[" * 90_000, "x" * 200_000, b"\x00\xff",
    '{"do": []}', '{"do": {"a": 1}}',
    '{"do": "__init__"}', '{"do": "pause", "loop": ["days"]}', '{"do": "pause", "loop": "\\ud800"}',
    '{"selection": 7}', '{"selection": {"dag": {"node": {}}, "timeline": "x", "logs": [1]}}',
    '{"do": "show", "view": {}}', '{"do": "start", "loop": 1e999}',
    '{"do": "recall_logs", "x": NaN}',
]  # fmt: skip


@pytest.mark.parametrize("token", ["", f"&token={TOKEN}"], ids=["looks", "steers"])
def test_garbage_on_a_socket_harms_neither_the_page_nor_the_loops(orch, token):
    with serving(orch) as client:
        url = client.server.address.replace("http", "ws")
        with websockets.sync.client.connect(f"{url}view?graph=live{token}") as page:
            for text in GARBAGE:
                page.send(text)
            page.send('{"do": "show", "view": "me"}')
            for _ in range(3):
                assert isinstance(json.loads(page.recv(20)), dict)
        with websockets.sync.client.connect(f"{url}ws?kinds=metrics") as listener:
            for sent in GARBAGE:
                listener.send(sent)
            assert "metrics" in listener.recv(20)
        for wrong in ("view?graph=nope", "ws?graph=nope", "runs/nope/ws", "runs/%2e%2e/ws"):
            with (
                websockets.sync.client.connect(url + wrong) as refused,
                pytest.raises(ConnectionClosed, match="4404"),
            ):
                refused.recv(20)
        for wrong in ("view", "runs/%00/ws", "nowhere"):
            with pytest.raises(InvalidStatus, match="403"):
                websockets.sync.client.connect(url + wrong)
        assert orch.status()["days"].state == "running"
        assert client.get("health").json()["status"] == "ok"


@pytest.mark.parametrize("name", ["a\nb", "..", ".", "x" * 201, "\x7f"])
def test_a_graph_that_no_path_can_name_is_not_kept(served, name):
    refused = served.post("graphs", json={"document": document(name)})
    assert (refused.status_code, "over HTTP a name is not" in refused.text) == (409, True)


@pytest.mark.parametrize(
    "name", ["wet days", "a/b", "\u202e\U0001f600", "a;b=c?#%", "été", "a\\b", "..."]
)
def test_a_graph_of_any_other_name_is_kept_read_run_and_listed(served, name):
    assert served.post("graphs", json={"document": document(name)}).status_code == 201
    path = urllib.parse.quote(name, safe="")
    assert served.get(f"graphs/{path}").json()["name"] == name
    ran = served.post("runs?wait=20", json={"graph": name, "state": {"value": 1}}).json()
    assert (ran["graph"], ran["state"]) == (name, {"value": 2})
    assert served.get("runs", params={"graph": name}).json()["runs"][0]["run_id"] == ran["run_id"]


def test_the_cookie_of_the_page_goes_to_this_server_only(served):
    """Beside it, on a JupyterHub, live the servers of others."""
    page = served.get("")
    assert "Path" not in page.headers["set-cookie"]
    assert served.get("graphs/", follow_redirects=False).status_code == 404
