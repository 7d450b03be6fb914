"""How is a database server reached? By SQLAlchemy; PostgreSQL is the one that is tested.

Needs the extra `postgres`. One connection, reused; it is opened again when it broke.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flownb.address import with_driver
from flownb.errors import StoreError
from flownb.redaction import redacted, scrub
from flownb.stores.sql import SCHEMA, Lost, Params, Taken

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, TextClause

# Any number, the same for all of us: who makes the tables holds it.
_MAKING = 7_053_214_886


class DatabaseServer:
    """One connection to a database server, opened at its first use, shared by all threads."""

    def __init__(self, address: str, where: str) -> None:
        self._address, self.where = address, where
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._connection: Connection | None = None

    def __repr__(self) -> str:
        return f"DatabaseServer({self.where!r})"

    def write(self, *statements: tuple[str, Params | list[Params]]) -> int:
        """Carry out statements in one transaction."""
        with self._lock, self._transaction() as connection:
            changed = 0
            for sql, params in statements:
                changed = connection.execute(_text(sql), params).rowcount
            return changed

    def insert(self, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows to a table."""
        names = into.partition("(")[2].rstrip(")").split(", ")
        values = ", ".join(f":{name}" for name in names)
        sql = f"INSERT INTO {into} VALUES ({values})"  # noqa: S608 - our own names
        self.write((sql, [dict(zip(names, row, strict=True)) for row in rows]))

    def rows(self, sql: str, params: Params) -> list[Any]:
        """Give the rows of a query."""
        with self._lock, self._transaction() as connection:
            return [tuple(row) for row in connection.execute(_text(sql), params)]

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._drop()
            if self._engine is not None:
                self._engine.dispose()
            self._engine = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

        try:
            connection = self._open()
            with connection.begin():
                yield connection
        except IntegrityError as error:
            raise Taken(self._message(error)) from None
        except DBAPIError as error:
            broken = error.connection_invalidated
            self._drop()
            raise (Lost if broken else StoreError)(self._message(error)) from None
        except SQLAlchemyError as error:
            raise StoreError(self._message(error)) from None

    def _message(self, error: Any) -> str:
        return _message(getattr(error, "orig", None) or error, self.where)

    def _open(self) -> Connection:
        if self._connection is None:
            if self._engine is None:
                self._engine = _engine(self._address, self.where)
            made = self._engine.connect()
            try:
                _make_tables(made)
            except BaseException:
                made.close()
                raise
            self._connection = made
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
        self._connection = None


def _engine(address: str, where: str) -> Engine:
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.pool import NullPool
    except ImportError:
        raise StoreError(
            f"store {where!r} needs SQLAlchemy: pip install flownb[postgres]"
        ) from None
    try:
        return create_engine(with_driver(address), poolclass=NullPool, hide_parameters=True)
    except (SQLAlchemyError, ValueError) as error:
        raise StoreError(_message(error, where)) from None
    except ImportError as error:
        raise StoreError(f"{_message(error, where)}: pip install flownb[postgres]") from None


def _message(error: Exception, where: str) -> str:
    scrub(error)
    return f"store {where!r}: {redacted(error).strip()}"


def _make_tables(connection: Connection) -> None:
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(_text("SELECT pg_advisory_xact_lock(:n)"), {"n": _MAKING})
        for statement in SCHEMA:
            connection.execute(_text(statement.format(slim="")))


@functools.cache
def _text(sql: str) -> TextClause:
    from sqlalchemy import text

    return text(sql)
