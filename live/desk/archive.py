"""The room's lasting part in SQL: lines, silences, terms, and an audit log in which each row is hashed over the one
before, so that a row taken out or rewritten later shows. Implements chat.ports.Archive."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from chat.ports import Act, LineRecord, Member, RoomRecord, SilenceRecord
from live.accounts.sessions import Sessions
from live.ids import new_id
from live.store.sql import Database
from live.store.tables import audit, blocked_terms, chat_lines, silences

GENESIS = "0" * 64  # what the first row of a room's log is hashed over


class Broken(msgspec.Struct, frozen=True):
    """Where a room's audit log stops being what was written: the row's id."""

    room: str
    row: int


class SqlArchive:
    """Rooms are shows: their ids are the same."""

    def __init__(self, db: Database, sessions: Sessions) -> None:
        self._db = db
        self._sessions = sessions

    async def lines_posted(self, room: str, lines: list[LineRecord]) -> None:
        """Keep lines; one that is known already stays as it is (it may have been removed since)."""
        rows = [
            {
                "id": record.line.id,
                "room": room,
                "seq": record.seq,
                "epoch": record.epoch,
                "person": record.line.person,
                "name": record.line.name,
                "text": record.line.text,
                "wall_ms": record.line.wall_ms,
            }
            for record in lines
        ]
        if rows:
            await self._db.write(lambda sql: _keep_lines(sql, rows))

    async def lines_removed(self, room: str, lines: list[str], by: str, wall_ms: int) -> None:
        """Mark lines as removed by the person `by`. One that is still on its way here (lines are written in batches, by
        another process perhaps) leaves a row without its text, so that it is known, and removed, when it comes."""
        query = (
            update(chat_lines)
            .where(chat_lines.c.room == room, chat_lines.c.id.in_(lines), chat_lines.c.removed_ms.is_(None))
            .values(removed_ms=wall_ms, removed_by=by)
        )
        gone = {"room": room, "person": "", "name": "", "text": "", "wall_ms": wall_ms}
        gone |= {"removed_ms": wall_ms, "removed_by": by}
        rows = [
            {"id": line, "epoch": epoch, "seq": int(seq), **gone}
            for line in lines
            for epoch, _, seq in [line.rpartition(".")]
            if seq.isdecimal()
        ]

        def write(sql: Connection) -> None:
            sql.execute(query)
            if rows:
                _keep_lines(sql, rows)

        await self._db.write(write)

    async def silenced(self, room: str, silence: SilenceRecord) -> None:
        """A later silence of the same person lifts the earlier one and takes its place."""

        def write(sql: Connection) -> None:
            _lift(sql, room, silence.person, silence.wall_ms)
            sql.execute(
                insert(silences).values(
                    id=silence.id or new_id("sil"),
                    room=room,
                    person=silence.person,
                    device=silence.device,
                    kind=silence.kind,
                    until_ms=silence.until_ms,
                    reason=silence.reason,
                    actor=silence.actor,
                    wall_ms=silence.wall_ms,
                )
            )

        await self._db.write(write)

    async def lifted(self, room: str, person: str, wall_ms: int) -> None:
        await self._db.write(lambda sql: _lift(sql, room, person, wall_ms))

    async def term(self, room: str, term: str, *, blocked: bool, actor: str, wall_ms: int) -> None:
        """A term was blocked or freed; doing it twice is doing it once."""

        def write(sql: Connection) -> None:
            sql.execute(delete(blocked_terms).where(blocked_terms.c.room == room, blocked_terms.c.term == term))
            if blocked:
                sql.execute(insert(blocked_terms).values(room=room, term=term, actor=actor, wall_ms=wall_ms))

        await self._db.write(write)

    async def named(self, room: str, member: Member, name: str) -> None:
        """The nickname goes with the session, so a reload and every other show have it too."""
        await self._sessions.rename(member.session, name)

    async def act(self, act: Act) -> None:
        """Append to the room's audit log."""

        def write(sql: Connection) -> None:
            # Two moderators at once must not hash over the same row. SQLite has one writer anyway.
            if sql.dialect.name == "postgresql":
                sql.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"audit {act.room}"))))
            last = select(audit.c.hash).where(audit.c.room == act.room).order_by(audit.c.id.desc()).limit(1)
            previous = sql.execute(last).scalar() or GENESIS
            sql.execute(
                insert(audit).values(**msgspec.structs.asdict(act), previous=previous, hash=chained(previous, act))
            )

        await self._db.write(write)

    async def load(self, room: str, now_ms: int) -> RoomRecord:
        """Silences in force and the blocked terms."""

        def read(sql: Connection) -> RoomRecord:
            in_force = select(silences).where(
                silences.c.room == room, silences.c.until_ms > now_ms, silences.c.lifted_ms.is_(None)
            )
            terms = select(blocked_terms.c.term).where(blocked_terms.c.room == room).order_by(blocked_terms.c.term)
            rows = sql.execute(in_force.order_by(silences.c.wall_ms)).all()
            names = _names(sql, room, [row.person for row in rows])
            return RoomRecord(
                silences=[_silence(row, names.get(row.person, "")) for row in rows],
                terms=[row.term for row in sql.execute(terms)],
            )

        return await self._db.read(read)

    async def verify(self, room: str) -> Broken | None:
        """The first row of the room's audit log that doesn't follow from the one before, or None: it is whole."""

        def read(sql: Connection) -> Broken | None:
            previous = GENESIS
            for row in sql.execute(select(audit).where(audit.c.room == room).order_by(audit.c.id)):
                act = Act(**{field: getattr(row, field) for field in Act.__struct_fields__})
                if row.previous != previous or row.hash != chained(previous, act):
                    return Broken(room, row.id)
                previous = row.hash
            return None

        return await self._db.read(read)

    async def rooms_audited(self) -> list[str]:
        """Rooms in which a moderator has acted."""
        query = select(audit.c.room).distinct().order_by(audit.c.room)
        return await self._db.read(lambda sql: list(sql.execute(query).scalars()))

    async def acts(self, room: str) -> int:
        """How many acts the room's audit log holds."""
        query = select(func.count()).select_from(audit).where(audit.c.room == room)
        return await self._db.read(lambda sql: int(sql.execute(query).scalar_one()))


def chained(previous: str, act: Act) -> str:
    """The hash of an act that follows the one hashed `previous` (SHA-256 over both, in hex)."""
    return hashlib.sha256(previous.encode() + b"\0" + msgspec.json.encode(act)).hexdigest()


def _keep_lines(sql: Connection, rows: list[dict[str, object]]) -> None:
    dialect = postgresql if sql.dialect.name == "postgresql" else sqlite
    sql.execute(dialect.insert(chat_lines).on_conflict_do_nothing(index_elements=["id"]), rows)


def _lift(sql: Connection, room: str, person: str, wall_ms: int) -> None:
    sql.execute(
        update(silences)
        .where(
            silences.c.room == room,
            silences.c.person == person,
            silences.c.lifted_ms.is_(None),
            silences.c.until_ms > wall_ms,
        )
        .values(lifted_ms=wall_ms)
    )


def _names(sql: Connection, room: str, people: list[str]) -> dict[str, str]:
    """The name each last wrote under: a moderator who reads the list knows them by it."""
    query = (
        select(chat_lines.c.person, chat_lines.c.name)
        .where(chat_lines.c.room == room, chat_lines.c.person.in_(people))
        .order_by(chat_lines.c.wall_ms)
    )
    return {row.person: row.name for row in sql.execute(query)}


def _silence(row: Row[Any], name: str) -> SilenceRecord:
    return SilenceRecord(
        id=row.id,
        person=row.person,
        device=row.device,
        name=name,
        kind=row.kind,
        until_ms=row.until_ms,
        reason=row.reason,
        actor=row.actor,
        wall_ms=row.wall_ms,
    )
