"""Is a server reached by TLS with a CA that was given, as a user of the server's ACL?"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess

import pytest

from flownb.errors import QueueError
from flownb.queues import open_server
from tests.support.machine import missing
from tests.support.queues import drain, manager
from tests.support.servers import _binary

pytestmark = [pytest.mark.redis, pytest.mark.wallclock]


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.fixture
def secure(tmp_path):
    """The address of a server that speaks TLS only, without its options, and the folder."""
    binary = _binary("redis-server")
    if binary is None or shutil.which("openssl") is None:
        missing("server", "there is no redis-server with TLS, or no openssl")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    made = ("-keyout", key, "-out", cert, "-days", "2")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *made, *name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binary, "--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
    command += ["--tls-cert-file", str(cert), "--tls-key-file", str(key), "--save", ""]
    command += ["--tls-ca-cert-file", str(cert), "--dir", str(tmp_path)]
    command += ["--user", "ada", "on", ">secret", "~flownb:*", "+@all"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    yield f"127.0.0.1:{port}", cert
    process.kill()
    process.wait(10)


def test_queues_cross_tls_as_a_user_of_the_acl(secure):
    place, cert = secure

    async def scenario():
        url = f"rediss://ada:secret@{place}?ssl_ca_certs={cert}"
        async with manager(open_server(url), patient=True) as queues:
            await asyncio.wait_for(queues.push("q", 1), 30)
            assert await drain(queues, "q", "a") == [1]

    asyncio.run(scenario())


def test_a_server_whose_ca_is_not_known_is_refused_in_words(secure):
    place, cert = secure

    async def scenario():
        good = open_server(f"rediss://ada:secret@{place}?ssl_ca_certs={cert}")
        async with manager(good, patient=True) as queues:
            await asyncio.wait_for(queues.push("q", 1), 30)  # it is up
        async with manager(open_server(f"rediss://ada:secret@{place}")) as queues:
            with pytest.raises(QueueError, match="certificate verify failed") as refused:
                await queues.push("q", 1)
            assert "secret" not in str(refused.value)

    asyncio.run(scenario())
