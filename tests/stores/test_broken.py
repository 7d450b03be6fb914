"""What when a store breaks, is damaged, or its writer is killed? It says so, and loses nothing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys

import pytest

from flownb.errors import StoreError
from flownb.stores import RunRecord, Step, open_store
from tests.support.machine import ROOT

WRITER = """
import sys
from flownb.stores import RunRecord, Step, open_store
store = open_store(sys.argv[1])
store.runs.save(RunRecord("r", "g", "running", 1.0, 1.0))
for i in range(10**9):
    store.runs.append("r", [Step(i, "n", i, "done", 1.0, 2.0, output="1")])
    print(i, flush=True)
"""


def test_a_file_is_for_its_user_only(tmp_path):
    path = tmp_path / "kept" / "runs.sqlite"
    store = open_store(path)
    store.runs.save(RunRecord("r", "g", "running", 1.0, 1.0))
    for kept in path.parent.iterdir():
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600, kept
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    store.close()


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path):
    path = tmp_path / "runs.sqlite"
    path.write_text("not a database, but a text of some length\n" * 100)
    store = open_store(path)
    with pytest.raises(StoreError, match="file is not a database"):
        store.runs.list()
    store.close()


def test_a_folder_that_cannot_be_made_is_an_error_of_the_store(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"runs\.sqlite"):
        open_store(tmp_path / "file" / "runs.sqlite").runs.list()


@pytest.mark.parametrize("address", ["postgresql://u@127.0.0.1:1/x", "redis://127.0.0.1:1"])
def test_a_server_that_is_not_there_is_an_error_that_names_it(address):
    store = open_store(address)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1"):
        store.runs.list()
    store.close()


def test_a_connection_that_was_cut_is_opened_again_and_nothing_is_kept_twice(postgres_url):
    from sqlalchemy import create_engine, text

    store = open_store(postgres_url)
    store.runs.save(RunRecord("cut", "g", "running", 1.0, 1.0))
    engine = create_engine(postgres_url.replace("://", "+psycopg://"))
    cut = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    for i in range(3):
        with engine.connect() as connection:
            connection.execute(cut)
        store.runs.append("cut", [Step(i, "n", i, "done", 1.0, 2.0)])
    assert [s.seq for s in store.runs.load("cut").steps] == [0, 1, 2]
    engine.dispose()
    store.close()


@pytest.mark.wallclock
def test_a_killed_writer_loses_nothing_that_it_was_told_is_kept(tmp_path):
    path = str(tmp_path / "runs.sqlite")
    for count in (1, 50, 200):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path],
            stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        told = [writer.stdout.readline() for _ in range(count)]
        writer.send_signal(signal.SIGKILL)
        told += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        store = open_store(path)
        kept = [s.seq for s in store.runs.load("r").steps]
        assert kept == list(range(len(kept)))
        last = int([line for line in told if line.endswith(b"\n")][-1])
        assert len(kept) > last
        store.runs.delete("r")
        store.close()
