"""How is a SQLite file reached? By Python's own module: nothing to install, 20 us a write.

The write-ahead log with `synchronous=NORMAL` is written at every commit and outlives a
killed process; only the loss of power may take the last moments, never the file.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from flownb.errors import StoreError
from flownb.stores.sql import SCHEMA, Params, Taken

_PATIENCE: Final = 30.0  # seconds to wait for another process that is writing
_FEW: Final = 8  # rows; for each number of them Python keeps a statement ready


class SqliteFile:
    """One connection to a SQLite file, opened at its first use, shared by all threads."""

    def __init__(self, path: str) -> None:
        self.where = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def write(self, *statements: tuple[str, Params | list[Params]]) -> int:
        """Carry out statements in one transaction."""
        with self._lock:
            try:
                return self._write(self._connection or self._open(), statements)
            except (sqlite3.Error, OSError) as error:
                raise self._error(error) from None

    def _write(self, connection: sqlite3.Connection, statements: Any) -> int:
        connection.execute("BEGIN IMMEDIATE")
        try:
            changed = 0
            for sql, params in statements:
                many = params if isinstance(params, list) else [params]
                changed = connection.executemany(sql, many).rowcount
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return changed

    def insert(self, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows to a table: a few in one statement, which is a transaction by itself."""
        if len(rows) <= _FEW:
            with self._lock:
                try:
                    connection = self._connection or self._open()
                    connection.execute(_inserting(into, len(rows[0]), len(rows)), sum(rows, ()))
                except (sqlite3.Error, OSError) as error:
                    raise self._error(error) from None
        else:
            self.write((_inserting(into, len(rows[0]), 1), list[Any](rows)))

    def rows(self, sql: str, params: Params) -> list[Any]:
        """Give the rows of a query; looking for something makes no file."""
        with self._lock:
            try:
                if self._connection is None:
                    Path(self.where).stat()  # unlike Path.exists: a path that cannot be is an error
                return (self._connection or self._open()).execute(sql, params).fetchall()
            except FileNotFoundError:
                return []
            except (sqlite3.Error, OSError) as error:
                raise self._error(error) from None

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        _make_private(Path(self.where))
        connection = sqlite3.connect(
            self.where, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            for statement in SCHEMA:
                connection.execute(statement.format(slim="WITHOUT ROWID"))
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _error(self, error: Exception) -> Exception:
        if isinstance(error, sqlite3.IntegrityError):
            return Taken(str(error))
        return StoreError(f"store {self.where!r}: {error}")


@functools.cache
def _inserting(into: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * rows)}"  # noqa: S608 - our own names


def _make_private(path: Path) -> None:
    """Make the file, and folders above it, for this user only: states may hold secrets."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
