"""Statements of the hot path: written in SQLAlchemy Core, compiled once a dialect, then run by the driver itself.

SQLAlchemy's `execute` costs 20 to 40 µs of Python a statement, the driver's own 1 to 3 µs. An order is two dozen
statements, so that is what decides how many a second one process can sell. Everything that is not counted in
thousands a second goes on through `Connection.execute`.
Source: docs/decisions/0033-hot-statements-skip-sqlalchemys-execute.md
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Table, bindparam, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler

Values = Mapping[str, Any]


class Statement:
    """One statement with named values. Its errors are SQLAlchemy's (IntegrityError, OperationalError, …).

    No IN of values: its text would change with their number.
    """

    def __init__(self, clause: Executable) -> None:
        self._clause = clause
        self._texts: dict[str, _Text] = {}

    def run(self, connection: Connection, values: Values) -> int:
        """The rows it changed."""
        return int(self._execute(connection, values).rowcount)

    def run_each(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Once for each of `rows`, prepared once: several times as many a second as `run` in a loop."""
        if rows:
            self._execute_each(connection, rows)

    def all(self, connection: Connection, values: Values) -> list[tuple[Any, ...]]:
        """The rows it found, as the driver has them: no types are converted."""
        return list(self._execute(connection, values).fetchall())

    def first(self, connection: Connection, values: Values) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._execute(connection, values).fetchone()
        return row

    def _execute(self, connection: Connection, values: Values) -> Any:
        text = self._text(connection.dialect)
        driver: Any = connection.connection.dbapi_connection
        try:
            return driver.execute(text.text, text.bound(values))
        except connection.dialect.loaded_dbapi.Error as why:
            raise _as_sqlalchemys(why, connection.dialect, text.text) from why

    def _execute_each(self, connection: Connection, rows: Sequence[Values]) -> None:
        text = self._text(connection.dialect)
        driver: Any = connection.connection.dbapi_connection
        try:
            with contextlib.closing(driver.cursor()) as cursor:
                cursor.executemany(text.text, [text.bound(values) for values in rows])
        except connection.dialect.loaded_dbapi.Error as why:
            raise _as_sqlalchemys(why, connection.dialect, text.text) from why

    def _text(self, dialect: Dialect) -> _Text:
        return self._texts.get(dialect.name) or self._texts.setdefault(dialect.name, _Text(self._clause, dialect))


def _as_sqlalchemys(why: Exception, dialect: Dialect, text: str) -> Exception:
    # The values are people's: they stay out of the message.
    error: Any = dialect.loaded_dbapi.Error
    return DBAPIError.instance(text, None, why, error, hide_parameters=True, dialect=dialect)


class _Text:
    """A statement as one dialect writes it, and how its values go in."""

    def __init__(self, clause: Executable, dialect: Dialect) -> None:
        compiled = clause.compile(dialect=dialect)  # type: ignore[attr-defined]
        assert isinstance(compiled, SQLCompiler)
        self.text = str(compiled)
        names: Sequence[str] | None = compiled.positiontup
        # By position several values are picked in C, which gives a tuple; one alone would come without it.
        self._pick = None if names is None else itemgetter(*names) if len(names) > 1 else _one(names)
        # Those that the statement itself names ('pending', 0); the others come with each call.
        self._constants = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}

    def bound(self, values: Values) -> Any:
        every = {**self._constants, **values} if self._constants else values
        return every if self._pick is None else self._pick(every)


def _one(names: Sequence[str]) -> Callable[[Values], Sequence[Any]]:
    return lambda values: [values[name] for name in names]


def insert_into(table: Table, *, without: Sequence[str] = ()) -> Insert:
    """INSERT of every column but those `without`, each value named as its column."""
    names = [column.key for column in table.c if column.key not in without]
    return insert(table).inline().values({name: bindparam(name) for name in names})
