"""`Database` on both stores, and what SQLite's group commit promises."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from live.errors import NotFound, Overloaded, StoreDown
from live.settings import Settings
from live.store import sql
from live.store.sql import Database, database_url, normalised


@pytest.fixture
async def db(tmp_path: Path, database_url: str | None) -> AsyncIterator[Database]:
    database = await Database.open(Settings(data_dir=tmp_path, database_url=database_url))
    yield database
    await database.close()


def _brand(connection: Connection, brand: str) -> str:
    connection.execute(
        text("insert into brands (id, slug, name, currency, country, created_ms) values (:b, :b, :b, 'EUR', 'DE', 1)"),
        {"b": brand},
    )
    return brand


def _count(connection: Connection) -> int:
    return int(connection.execute(text("select count(*) from brands")).scalar_one())


def _open_to_others(path: Path) -> int:
    return path.stat().st_mode & 0o077


async def test_what_was_written_is_read(db: Database) -> None:
    assert await db.write(lambda c: _brand(c, "one")) == "one"
    assert await db.read(_count) == 1


async def test_a_failing_job_hurts_none_of_its_neighbours(db: Database) -> None:
    def half_done(connection: Connection) -> None:
        _brand(connection, "ghost")
        raise NotFound("brand", "x")

    jobs = [db.write(half_done) if n % 3 == 0 else db.write(lambda c, n=n: _brand(c, f"b{n}")) for n in range(60)]
    jobs.append(db.write(lambda c: _brand(c, "b1")))
    answers = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(answer) for answer in answers[:60:3]] == [NotFound] * 20
    assert isinstance(answers[-1], IntegrityError)
    assert [answer for answer in answers if isinstance(answer, str)] == [f"b{n}" for n in range(60) if n % 3]
    assert await db.read(_count) == 40


async def test_a_reader_may_not_write(db: Database) -> None:
    with pytest.raises((DBAPIError, StoreDown)):
        await db.read(lambda c: _brand(c, "one"))
    assert await db.read(_count) == 0


async def test_a_read_has_one_view_whatever_is_committed_meanwhile(db: Database) -> None:
    def twice(connection: Connection) -> tuple[int, int]:
        before = _count(connection)
        with db._write_engine.begin() as other:
            _brand(other, "meanwhile")
        return before, _count(connection)

    assert await db.read(twice) == (0, 0)
    assert await db.read(_count) == 1
    await db.write(lambda c: _brand(c, "after"))  # by a connection that may have been a reader's


async def test_a_writer_that_was_cancelled_still_writes_or_does_not_but_the_next_one_works(db: Database) -> None:
    task = asyncio.ensure_future(db.write(lambda c: _brand(c, "one")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await db.write(lambda c: _brand(c, "two"))
    assert await db.read(_count) in (1, 2)


async def test_what_waits_together_is_committed_together(tmp_path: Path) -> None:
    db = await Database.open(Settings(data_dir=tmp_path))
    go, commits = threading.Event(), []
    try:
        blocker = asyncio.ensure_future(db.write(lambda c: go.wait(10)))
        jobs = [asyncio.ensure_future(db.write(lambda c, n=n: _brand(c, f"b{n}"))) for n in range(50)]
        await asyncio.sleep(0)
        sql.event.listen(db._write_engine, "commit", lambda c: commits.append(c))
        go.set()
        await asyncio.gather(blocker, *jobs)
        assert len(commits) <= 3, "the blocker's, and one or two for all the others"
        assert await db.read(_count) == 50
    finally:
        await db.close()


async def test_nothing_is_answered_before_it_is_on_disk(tmp_path: Path) -> None:
    db = await Database.open(Settings(data_dir=tmp_path))
    try:
        await db.write(lambda c: _brand(c, "one"))
        other = sqlite3.connect(tmp_path / "frontrow.sqlite3")
        assert other.execute("select count(*) from brands").fetchone() == (1,)
        assert other.execute("pragma journal_mode").fetchone() == ("wal",)
        other.close()
        modes = await db.write(
            lambda c: [c.exec_driver_sql(f"pragma {p}").scalar() for p in ("synchronous", "foreign_keys")]
        )
        assert modes == [2, 1]
    finally:
        await db.close()


async def test_two_processes_writers_wait_for_each_other(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    first, second = await Database.open(settings), await Database.open(settings)
    try:
        jobs = [
            db.write(lambda c, n=n, w=w: _brand(c, f"{w}{n}"))
            for n in range(30)
            for w, db in enumerate((first, second))
        ]
        await asyncio.gather(*jobs)
        assert await first.read(_count) == 60
    finally:
        await first.close()
        await second.close()


async def test_nobody_else_on_the_machine_reads_orders_and_addresses(tmp_path: Path) -> None:
    database = await Database.open(Settings(data_dir=tmp_path))
    await database.write(lambda c: _brand(c, "bra_1"))
    for name in ("frontrow.sqlite3", "frontrow.sqlite3-wal", "frontrow.sqlite3-shm"):
        assert _open_to_others(tmp_path / name) == 0, name
    await database.close()


async def test_a_queue_that_is_full_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "WAITING_LIMIT", 5)
    db = await Database.open(Settings(data_dir=tmp_path))
    go = threading.Event()
    try:
        jobs = [asyncio.ensure_future(db.write(lambda c: go.wait(10))) for _ in range(20)]
        await asyncio.sleep(0)
        go.set()
        answers = await asyncio.gather(*jobs, return_exceptions=True)
        assert any(isinstance(answer, Overloaded) for answer in answers)
        assert True in answers
    finally:
        await db.close()


async def test_a_store_that_is_closed_or_gone_is_down(tmp_path: Path) -> None:
    db = await Database.open(Settings(data_dir=tmp_path))
    await db.write(lambda c: _brand(c, "one"))
    await db.close()
    with pytest.raises(StoreDown):
        await db.write(_count)
    with pytest.raises(StoreDown):
        await Database.open(Settings(data_dir=tmp_path, database_url="postgresql://nobody@127.0.0.1:1/none"))


async def test_a_full_disk_undoes_the_group_and_is_told_to_all_of_it(tmp_path: Path) -> None:
    db = await Database.open(Settings(data_dir=tmp_path))
    try:
        await db.write(lambda c: _brand(c, "before"))

        def limit(connection: Connection) -> None:
            pages = connection.exec_driver_sql("pragma page_count").scalar()
            connection.exec_driver_sql(f"pragma max_page_count = {pages}")

        await db.write(limit)
        big = "x" * 1_000_000
        with pytest.raises(StoreDown):
            await db.write(lambda c: _brand(c, big))
        await db.write(lambda c: c.exec_driver_sql("pragma max_page_count = 1073741823").scalar())
        await db.write(lambda c: _brand(c, "after"))
        assert await db.read(_count) == 2
    finally:
        await db.close()


def test_platforms_addresses_mean_psycopg() -> None:
    for url in ("postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"):
        assert normalised(url) == "postgresql+psycopg://u:p@h/d"
    assert database_url(Settings(data_dir=Path("/srv/x"))) == "sqlite:////srv/x/frontrow.sqlite3"
