"""live's archive on SQLite and PostgreSQL does what every archive does, and what only SQL can."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest
from contract.chat.archive_contract import NOW_MS, ROOM, ArchiveContract, line, silence
from processes import until
from sqlalchemy import Connection, delete, insert, select, text, update

from chat.ports import Act, Member
from live.accounts.sessions import Sessions
from live.desk import audit_log
from live.desk.archive import SqlArchive
from live.store.sql import Database
from live.store.tables import audit, chat_lines, silences


class TestSqlArchive(ArchiveContract):
    @pytest.fixture
    def archive(self, sql_archive: SqlArchive) -> SqlArchive:
        return sql_archive


def act(target: str = "per_1") -> Act:
    return Act(ROOM, "per_mod", "person.ban", target, "spam", "", "{}", NOW_MS)


async def test_a_removed_line_stays_removed_when_it_is_posted_late(sql_archive: SqlArchive, db: Database) -> None:
    await sql_archive.lines_posted(ROOM, [line(1), line(2)])
    await sql_archive.lines_removed(ROOM, ["e1.1"], "per_mod", NOW_MS + 5)
    await sql_archive.lines_posted(ROOM, [line(1, "again")])
    await sql_archive.lines_removed(ROOM, ["e1.1"], "per_other", NOW_MS + 9)
    query = select(chat_lines).order_by(chat_lines.c.seq)
    rows = await db.read(lambda sql: sql.execute(query).all())
    assert [(row.text, row.removed_ms, row.removed_by) for row in rows] == [
        ("hello", NOW_MS + 5, "per_mod"),
        ("hello", None, None),
    ]


async def test_a_line_removed_before_it_was_written_never_gets_its_text(sql_archive: SqlArchive, db: Database) -> None:
    await sql_archive.lines_removed(ROOM, ["e1.1"], "per_mod", NOW_MS + 5)
    await sql_archive.lines_posted(ROOM, [line(1), line(2)])
    query = select(chat_lines).order_by(chat_lines.c.seq)
    rows = await db.read(lambda sql: sql.execute(query).all())
    assert [(row.id, row.text, row.removed_ms, row.removed_by) for row in rows] == [
        ("e1.1", "", NOW_MS + 5, "per_mod"),
        ("e1.2", "hello", None, None),
    ]


async def test_a_line_that_is_removed_while_it_is_being_written_is_removed(
    sql_archive: SqlArchive, db: Database
) -> None:
    written, may_commit = threading.Event(), threading.Event()
    row = {"id": "e1.1", "room": ROOM, "epoch": "e1", "seq": 1, "person": "per_1", "name": "", "text": "hello"}

    def write(sql: Connection) -> None:
        sql.execute(insert(chat_lines).values(row | {"wall_ms": NOW_MS, "shadow": False}))
        written.set()
        assert may_commit.wait(30)

    def somebody_waits(sql: Connection) -> bool:
        if sql.dialect.name != "postgresql":
            return True  # one writer: the removal is behind it
        return bool(sql.execute(text("select count(*) from pg_locks where not granted")).scalar())

    async def removal_waits() -> bool:
        return await db.read(somebody_waits)

    writing = asyncio.create_task(db.write(write))
    assert await asyncio.to_thread(written.wait, 30)
    removing = asyncio.create_task(sql_archive.lines_removed(ROOM, ["e1.1"], "per_mod", NOW_MS + 5))
    try:
        await until(removal_waits)
    finally:
        may_commit.set()
        await asyncio.gather(writing, removing)
    removed = await db.read(lambda sql: sql.execute(select(chat_lines.c.removed_ms)).scalar())
    assert removed == NOW_MS + 5


async def test_lines_of_another_room_are_not_removed(sql_archive: SqlArchive, db: Database) -> None:
    await sql_archive.lines_posted(ROOM, [line(1)])
    await sql_archive.lines_removed("shw_other", ["e1.1"], "per_mod", NOW_MS)
    removed = await db.read(lambda sql: sql.execute(select(chat_lines.c.removed_ms)).scalar())
    assert removed is None


async def test_a_silence_that_was_replaced_is_kept_as_lifted(sql_archive: SqlArchive, db: Database) -> None:
    await sql_archive.silenced(ROOM, silence(id="sil_a", kind="timeout", until_ms=NOW_MS + 10_000))
    await sql_archive.silenced(ROOM, silence(id="sil_b", wall_ms=NOW_MS + 1))
    query = select(silences.c.id, silences.c.lifted_ms).order_by(silences.c.id)
    assert [tuple(row) for row in await db.read(lambda sql: sql.execute(query).all())] == [
        ("sil_a", NOW_MS + 1),
        ("sil_b", None),
    ]


async def test_a_silence_is_loaded_with_the_name_that_a_moderator_knows(sql_archive: SqlArchive) -> None:
    await sql_archive.lines_posted(ROOM, [line(1)])
    await sql_archive.silenced(ROOM, silence())
    assert [record.name for record in (await sql_archive.load(ROOM, NOW_MS)).silences] == ["Ann"]


async def test_a_name_goes_with_the_session(sql_archive: SqlArchive, sessions: Sessions) -> None:
    token, session = await sessions.open(name="Ann")
    member = Member(session.person, "Ann", frozenset(), session.device, session.id)
    await sql_archive.named(ROOM, member, "Anna")
    found = await sessions.get(token)
    assert found is not None
    assert found.name == "Anna"


async def test_the_audit_log_is_whole_though_many_write_at_once(sql_archive: SqlArchive) -> None:
    await asyncio.gather(*(sql_archive.act(act(f"per_{n}")) for n in range(20)))
    assert await sql_archive.verify(ROOM) is None


async def test_a_row_rewritten_in_the_audit_log_is_found(sql_archive: SqlArchive, db: Database) -> None:
    for n in range(3):
        await sql_archive.act(act(f"per_{n}"))
    ids = await db.read(lambda sql: list(sql.execute(select(audit.c.id).order_by(audit.c.id)).scalars()))
    assert await sql_archive.verify(ROOM) is None
    query = update(audit).where(audit.c.id == ids[1]).values(reason="nothing at all")
    await db.write(lambda sql: sql.execute(query) and None)
    broken = await sql_archive.verify(ROOM)
    assert broken is not None
    assert msgspec.structs.astuple(broken) == (ROOM, ids[1])


async def test_words_put_into_a_row_that_says_it_was_erased_are_found(sql_archive: SqlArchive, db: Database) -> None:
    for n in range(3):
        await sql_archive.act(act(f"per_{n}"))
    erased = await db.write(lambda sql: audit_log.erase(sql, audit.c.target == "per_1", 5))
    assert erased == 1
    assert await sql_archive.verify(ROOM) is None, "the premise: erasing keeps the chain"
    await db.write(
        lambda sql: sql.execute(update(audit).where(audit.c.target == "per_1").values(reason="forged")) and None
    )
    assert await sql_archive.verify(ROOM) is not None


async def test_a_row_taken_out_of_the_audit_log_is_found(sql_archive: SqlArchive, db: Database) -> None:
    for n in range(3):
        await sql_archive.act(act(f"per_{n}"))
    ids = await db.read(lambda sql: list(sql.execute(select(audit.c.id).order_by(audit.c.id)).scalars()))
    await db.write(lambda sql: sql.execute(delete(audit).where(audit.c.id == ids[1])) and None)
    broken = await sql_archive.verify(ROOM)
    assert broken is not None
    assert broken.row == ids[2]
