"""The SQL store: synchronous SQLAlchemy Core on threads, one code path for SQLite and PostgreSQL.

SQLite has one writer thread a process. It takes every job that is waiting, commits them together and answers only
then: one fsync serves the whole group. Should one of them fail, the group runs again with each in its own SAVEPOINT, so
that it hurts no neighbour.
A few reader threads take what waits in small groups too, each group with one view of the store.
PostgreSQL runs one transaction a job on a small pool; the server groups commits by itself.

Fails closed: a store that does not answer raises StoreDown, nothing is guessed.
Source: docs/decisions/0002-sql-on-threads.md
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from live.errors import Overloaded, StoreDown
from live.settings import Settings

T = TypeVar("T")
Job = Callable[[Connection], Any]

READERS = 4
PG_WORKERS = 12
GROUP_LIMIT = 256  # jobs one commit carries: bounds how long the first of them waits
READ_GROUP_LIMIT = 8  # fewer: a long read holds its group up, and there is no commit to share
WAITING_LIMIT = 10_000  # jobs that may wait; beyond, callers are told Overloaded
BUSY_TIMEOUT_S = 10.0
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    # An order touches a page of each of a dozen indexes: they stay in memory, and go from the log to their places once
    # for many orders.
    "cache_size=-32768",  # KiB a connection, taken as it fills
    "wal_autocheckpoint=4000",  # pages: a log of 16 MiB
)
# IMMEDIATE: a writer that began as a reader can't be upgraded while another process writes.
BEGIN = {False: "BEGIN IMMEDIATE", True: "BEGIN"}  # by whether only reads follow
BY_HAND = "begun_by_hand"  # a connection whose transactions are ours: through SQLAlchemy each costs as much as a read
# By itself PostgreSQL would look anew with each statement, and a claim could be read as sold beside stock of before.
PG_READ = {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
PG_TRIES = 5  # a deadlock or a serialisation failure is run again, jobs being pure SQL
_PG_TRY_AGAIN = ("40001", "40P01")


def database_url(settings: Settings) -> str:
    """`DATABASE_URL` as SQLAlchemy spells it, or SQLite's file in the data folder."""
    if settings.database_url:
        return normalised(settings.database_url)
    return f"sqlite:///{Path(settings.data_dir).absolute() / 'frontrow.sqlite3'}"


def normalised(url: str) -> str:
    """Hosting platforms write `postgres://` or `postgresql://`; both mean psycopg 3 here."""
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgres", "postgresql"):
        return f"postgresql+psycopg{separator}{rest}"
    return url


def new_engine(url: str, *, readers: bool = False) -> Engine:
    """An engine with this project's pragmas. `readers`: its connections refuse to write."""
    if url.startswith("sqlite"):
        engine = create_engine(url, pool_size=READERS + 1, connect_args={"timeout": BUSY_TIMEOUT_S})

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves: the driver's own comes too late
            cursor = connection.cursor()
            for pragma in PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
            if readers:
                cursor.execute("PRAGMA query_only=ON")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            if not connection.get_execution_options().get(BY_HAND):
                connection.exec_driver_sql(BEGIN[readers])

        return engine
    engine = create_engine(url, pool_size=PG_WORKERS, max_overflow=0, pool_pre_ping=True, pool_timeout=BUSY_TIMEOUT_S)
    return engine.execution_options(**PG_READ) if readers else engine


class Database:
    """Runs pure SQL functions on threads: `await db.read(fn)`, `await db.write(fn)`, `fn(connection) -> result`.

    `fn` may raise a `live.errors.Error` to undo itself. It may run more than once (PostgreSQL deadlocks), so it
    touches nothing but its connection. What `write` returned is durable.
    """

    def __init__(self, url: str) -> None:
        self.url = normalised(url)
        self.dialect = "sqlite" if self.url.startswith("sqlite") else "postgresql"
        self._write_engine = new_engine(self.url)
        self._read_engine: Engine
        self._writer: _Groups | None = None
        self._readers: _Groups | None = None
        self._pool: ThreadPoolExecutor | None = None
        if self.dialect == "sqlite":
            self._read_engine = new_engine(self.url, readers=True)
            self._writer = _Groups(self._write_engine, "sql-writer", threads=1, limit=GROUP_LIMIT, run=_commit_group)
            self._readers = _Groups(
                self._read_engine, "sql-reader", threads=READERS, limit=READ_GROUP_LIMIT, run=_read_group
            )
        else:
            self._read_engine = self._write_engine.execution_options(**PG_READ)
            self._pool = ThreadPoolExecutor(PG_WORKERS, thread_name_prefix="sql")
        self._waiting = 0

    @classmethod
    async def open(cls, settings: Settings, *, migrate: bool = True) -> Database:
        """Open the store the settings name; brings its schema up to date first (one process at a time)."""
        url = database_url(settings)
        if migrate:
            from live.store.migrate import upgrade

            await asyncio.to_thread(upgrade, url, settings.data_dir)
        return cls(url)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` in a read-only transaction with one view of the store. Raises StoreDown, Overloaded."""
        if self._readers is None:
            return await self._on_pool(self._read_now, fn)
        return await self._readers.run(fn)  # type: ignore[no-any-return]

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` in a transaction; what it returned is on disk. Raises StoreDown, Overloaded, what `fn` raises."""
        if self._writer is None:
            return await self._on_pool(self._write_now, fn)
        return await self._writer.run(fn)  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Finish what is waiting, then let go of the files and sockets."""
        for part in (self._writer, self._readers):
            if part is not None:
                await asyncio.to_thread(part.close)
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown)
        self._read_engine.dispose()
        self._write_engine.dispose()

    async def _on_pool(self, run: Callable[[Callable[[Connection], T]], T], fn: Callable[[Connection], T]) -> T:
        if self._waiting >= WAITING_LIMIT:
            raise Overloaded()
        assert self._pool is not None
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, run, fn)
        finally:
            self._waiting -= 1

    def _read_now(self, fn: Callable[[Connection], T]) -> T:
        try:
            with self._read_engine.begin() as connection:
                return fn(connection)
        except (OperationalError, InterfaceError) as why:
            raise StoreDown("sql") from why

    def _write_now(self, fn: Callable[[Connection], T]) -> T:
        for attempt in range(1, PG_TRIES + 1):
            try:
                with self._write_engine.begin() as connection:
                    return fn(connection)
            except DBAPIError as why:
                if getattr(why.orig, "sqlstate", None) in _PG_TRY_AGAIN and attempt < PG_TRIES:
                    continue
                if isinstance(why, OperationalError | InterfaceError):
                    raise StoreDown("sql") from why
                raise
        raise AssertionError("the last attempt returns or raises")


class _Waiting:
    """A job, and the loop that waits for its answer."""

    __slots__ = ("answer", "failure", "fn", "future", "loop")

    def __init__(self, fn: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.fn = fn
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.answer: Any = None
        self.failure: BaseException | None = None


class _Groups:
    """Threads that take waiting jobs in groups, each thread with a connection of its own (SQLite)."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        *,
        threads: int,
        limit: int,
        run: Callable[[Connection, list[_Waiting]], None],
    ) -> None:
        self._engine = engine
        self._name = name
        self._limit = limit
        self._run = run
        self._queue: deque[_Waiting] = deque()
        self._some = threading.Condition()
        self._closing = False
        self._wanted = threads
        self._idle = 0
        self._threads: list[threading.Thread] = []

    async def run(self, fn: Job) -> Any:
        job = _Waiting(fn, asyncio.get_running_loop())
        with self._some:
            if self._closing:
                raise StoreDown("sql")
            if len(self._queue) >= WAITING_LIMIT:
                raise Overloaded()
            self._queue.append(job)
            if self._idle:
                self._some.notify()
            elif len(self._threads) < self._wanted:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._threads.append(thread)
                thread.start()
        return await job.future

    def close(self) -> None:
        with self._some:
            self._closing = True
            self._some.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        connection: Connection | None = None
        while group := self._next_group():
            try:
                if connection is None:
                    connection = self._engine.connect().execution_options(**{BY_HAND: True})
                self._run(connection, group)
            except Exception as why:  # the commit, or the connection itself: nobody's work is on disk
                for job in group:
                    job.failure = _store_down(why)
                if connection is not None:
                    with contextlib.suppress(Exception):
                        connection.invalidate()
                        connection.close()
                    connection = None
            _answer(group)
        if connection is not None:
            connection.close()

    def _next_group(self) -> list[_Waiting]:
        """What waits, up to the limit; waits for some. Nothing when it is time to end."""
        with self._some:
            self._idle += 1
            while not self._queue and not self._closing:
                self._some.wait()
            self._idle -= 1
            return [self._queue.popleft() for _ in range(min(len(self._queue), self._limit))]


def _commit_group(connection: Connection, group: list[_Waiting]) -> None:
    """Together as they are; when one of them fails, again from the beginning with each in its own SAVEPOINT."""
    driver: Any = connection.connection.dbapi_connection
    driver.execute(BEGIN[False])
    try:
        for job in group:
            job.answer = job.fn(connection)
    except BaseException:
        if driver.in_transaction:
            driver.execute("ROLLBACK")
        # A group that failed whole (a full disk) fails here once more, and then its jobs are told.
        driver.execute(BEGIN[False])
        for job in group:
            _run_alone(driver, connection, job)
    driver.execute("COMMIT")


def _run_alone(driver: Any, connection: Connection, job: _Waiting) -> None:
    driver.execute("SAVEPOINT job")
    try:
        job.answer = job.fn(connection)
    except BaseException as why:
        if not driver.in_transaction:
            raise  # a full disk made SQLite undo the whole group, not just this job
        driver.execute("ROLLBACK TO job")
        job.failure = _store_down(why) if isinstance(why, OperationalError) else why
    driver.execute("RELEASE job")


def _read_group(connection: Connection, group: list[_Waiting]) -> None:
    driver: Any = connection.connection.dbapi_connection
    driver.execute(BEGIN[True])
    for job in group:
        try:
            job.answer = job.fn(connection)
        except BaseException as why:
            job.failure = _store_down(why) if isinstance(why, OperationalError) else why
    driver.execute("COMMIT")


def _answer(group: list[_Waiting]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for job in group:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever asked
            loop.call_soon_threadsafe(_resolve, jobs)


def _resolve(jobs: list[_Waiting]) -> None:
    for job in jobs:
        if job.future.done():  # the caller was cancelled; its write stands
            continue
        if job.failure is not None:
            job.future.set_exception(job.failure)
        else:
            job.future.set_result(job.answer)


def _store_down(why: BaseException) -> StoreDown:
    down = StoreDown("sql")
    down.__cause__ = why
    return down
