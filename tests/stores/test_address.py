"""Is an address understood, and is its password never shown?"""

from __future__ import annotations

import traceback

import pytest

from flownb.errors import StoreError
from flownb.stores import open_store
from flownb.stores.address import shown, sqlite_path, without_secrets

SECRET = "hunter2"


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
    ],
)
def test_a_password_is_never_shown(address):
    assert SECRET not in shown(address)
    with pytest.raises(StoreError) as told:
        used(address)
    assert SECRET not in "".join(traceback.format_exception(told.value))


def used(address):
    store = open_store(address)
    assert SECRET not in repr(store) + str(store)
    assert SECRET not in repr(vars(store.runs))
    store.runs.list()


def test_a_driver_that_repeats_the_address_is_not_quoted():
    address = f"postgresql://ada:{SECRET}%21@db/runs"
    said = without_secrets(f"cannot reach {address} with {SECRET}!", address)
    assert SECRET not in said
    assert said == "cannot reach *** with ***"


def test_an_address_of_an_unknown_kind_lists_those_there_are():
    with pytest.raises(StoreError, match="sqlite, postgresql, redis, rediss, unix or memory"):
        open_store("mysql://db/runs")


def test_the_default_is_a_file_here_or_what_the_environment_says(monkeypatch):
    monkeypatch.delenv("FLOWNB_STORE", raising=False)
    assert open_store().where == "flownb-runs.sqlite"
    monkeypatch.setenv("FLOWNB_STORE", "redis://cache:6379")
    assert open_store().where == "redis://cache:6379"


def test_a_sqlite_address_without_a_file_says_what_to_write():
    for address in ("sqlite://", ":memory:", "sqlite:///:memory:"):
        with pytest.raises(StoreError, match="names no file"):
            sqlite_path(address)


def test_nothing_is_made_before_the_first_use(tmp_path):
    open_store(tmp_path / "deep" / "runs.sqlite")
    assert list(tmp_path.iterdir()) == []
