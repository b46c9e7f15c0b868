"""The room's lasting part in SQL: lines, silences, terms, questions, notes; acts go to the audit log (`audit_log`), and
what other systems may hear of to the outbox, in the same transaction. Implements chat.ports.Archive."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, case, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from chat.message import Line, Question
from chat.moderation.kinds import FoundLine, Mode, Note, PastAct, PersonFacts, TermKind
from chat.ports import Act, LineRecord, Member, Notice, RoomRecord, SilenceRecord
from live.accounts.sessions import Sessions
from live.desk import audit_log
from live.desk.audit_log import Broken
from live.ids import new_id
from live.store.sql import Database
from live.store.tables import (
    audit,
    blocked_terms,
    chat_lines,
    grants,
    outbox,
    person_notes,
    questions,
    room_modes,
    shows,
    silences,
    staff,
)

NAMES_SHOWN, ACTS_SHOWN = 10, 30


class SqlArchive:
    """Rooms are shows: their ids are the same."""

    def __init__(self, db: Database, sessions: Sessions) -> None:
        self._db = db
        self._sessions = sessions

    async def lines_posted(self, room: str, lines: list[LineRecord]) -> None:
        """Keep lines; one that is known already stays as it is (it may have been removed since)."""
        rows: list[dict[str, object]] = [
            {
                "id": record.line.id,
                "room": room,
                "seq": record.seq,
                "epoch": record.epoch,
                "person": record.line.person,
                "name": record.line.name,
                "text": record.line.text,
                "wall_ms": record.line.wall_ms,
                "at_ms": record.line.at,
                "shadow": record.shadow,
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
        gone |= {"removed_ms": wall_ms, "removed_by": by, "at_ms": None, "shadow": False}
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
                    network=silence.network,
                    network_until_ms=silence.network_until_ms,
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

    async def term(self, room: str, term: str, kind: TermKind | None, *, actor: str, wall_ms: int) -> None:
        """Of that kind, or of none; doing it twice is doing it once."""

        def write(sql: Connection) -> None:
            sql.execute(delete(blocked_terms).where(blocked_terms.c.room == room, blocked_terms.c.term == term))
            if kind is not None:
                row = {"room": room, "term": term, "kind": kind, "actor": actor, "wall_ms": wall_ms}
                sql.execute(insert(blocked_terms).values(row))

        await self._db.write(write)

    async def mode(self, room: str, mode: Mode) -> None:
        row = {"room": room, "mode": msgspec.json.encode(mode).decode()}

        def write(sql: Connection) -> None:
            sql.execute(delete(room_modes).where(room_modes.c.room == room))
            sql.execute(insert(room_modes).values(row))

        await self._db.write(write)

    async def question(self, room: str, question: Question) -> None:
        row = {
            "id": question.id,
            "room": room,
            "person": question.person,
            "name": question.name,
            "text": question.text,
            "badge": question.badge,
            "state": question.state,
            "by": question.by,
            "wall_ms": question.wall_ms,
            "at_ms": question.at,
            "answered_at_ms": question.answered_at,
        }

        def write(sql: Connection) -> None:
            sql.execute(delete(questions).where(questions.c.id == question.id))
            sql.execute(insert(questions).values(row))

        await self._db.write(write)

    async def note(self, room: str, note: Note) -> None:
        row = {"room": room, **msgspec.structs.asdict(note)}
        await self._db.write(lambda sql: sql.execute(insert(person_notes).values(row)) and None)

    async def notice(self, notice: Notice) -> None:
        """Into the outbox, for the brand's webhooks."""
        row = {
            "event_id": new_id("evt"),
            "kind": notice.kind,
            "body": msgspec.json.encode({"show": notice.room, **notice.facts}).decode(),
            "created_ms": notice.wall_ms,
            "due_ms": notice.wall_ms,
            "attempts": 0,
        }
        await self._db.write(lambda sql: sql.execute(insert(outbox).values(row)) and None)

    async def person(self, room: str, person: str, lines: int) -> PersonFacts:
        """Her names, counts, newest lines, notes and the acts on her."""

        def read(sql: Connection) -> PersonFacts:
            hers = (chat_lines.c.room == room, chat_lines.c.person == person)
            removed = func.count(case((chat_lines.c.removed_ms.is_not(None), 1)))
            said, gone = sql.execute(select(func.count(), removed).where(*hers)).one()
            last = func.max(chat_lines.c.wall_ms)
            names = select(chat_lines.c.name).where(*hers).group_by(chat_lines.c.name).order_by(last.desc())
            notes = select(person_notes).where(person_notes.c.room == room, person_notes.c.person == person)
            acts = select(audit).where(audit.c.room == room, audit.c.target == person).order_by(audit.c.id.desc())
            known = list(sql.execute(names.limit(NAMES_SHOWN)).scalars())
            return PersonFacts(
                person=person,
                name=known[0] if known else "",
                names=known,
                badge="",
                since_ms=0,
                said=int(said),
                removed=int(gone),
                silence=None,
                lines=_found(sql, room, person, "", lines),
                notes=[_note(row) for row in sql.execute(notes.order_by(person_notes.c.wall_ms.desc()))],
                acts=[
                    PastAct(row.act, row.actor, row.reason, row.wall_ms)
                    for row in sql.execute(acts.limit(ACTS_SHOWN))
                    if row.act != "person.note"
                ],
            )

        return await self._db.read(read)

    async def find(self, room: str, *, person: str = "", words: str = "", most: int = 100) -> list[FoundLine]:
        """Newest first."""
        return await self._db.read(lambda sql: _found(sql, room, person, words, most))

    async def crew(self, room: str) -> list[str]:
        """Names of those who were granted a role in the show, or over its brand."""
        brand = select(shows.c.brand_id).where(shows.c.id == room).scalar_subquery()
        query = (
            select(staff.c.name)
            .join(grants, grants.c.staff_id == staff.c.id)
            .where(or_(grants.c.show_id == room, grants.c.brand_id == brand), staff.c.disabled.is_(False))
            .distinct()
        )
        return await self._db.read(lambda sql: list(sql.execute(query).scalars()))

    async def named(self, room: str, member: Member, name: str) -> None:
        """The nickname goes with the session, so a reload and every other show have it too."""
        await self._sessions.rename(member.session, name)

    async def act(self, act: Act) -> None:
        """Append to the room's audit log."""
        await self._db.write(lambda sql: audit_log.append(sql, act))

    async def load(self, room: str, now_ms: int) -> RoomRecord:
        """Silences in force, terms, mode, and the questions that wait."""

        def read(sql: Connection) -> RoomRecord:
            in_force = select(silences).where(
                silences.c.room == room, silences.c.until_ms > now_ms, silences.c.lifted_ms.is_(None)
            )
            terms = select(blocked_terms).where(blocked_terms.c.room == room).order_by(blocked_terms.c.term)
            waiting = select(questions).where(
                questions.c.room == room, questions.c.state.in_(["open", "claimed", "answered"])
            )
            rows = sql.execute(in_force.order_by(silences.c.wall_ms)).all()
            names = _names(sql, room, [row.person for row in rows])
            mode = sql.execute(select(room_modes.c.mode).where(room_modes.c.room == room)).scalar()
            asked = sql.execute(waiting.order_by(questions.c.wall_ms.desc()).limit(200)).all()
            return RoomRecord(
                silences=[_silence(row, names.get(row.person, "")) for row in rows],
                terms={row.term: row.kind for row in sql.execute(terms)},
                mode=None if mode is None else msgspec.json.decode(mode, type=Mode),
                questions=[_question(row) for row in reversed(asked)],
            )

        return await self._db.read(read)

    async def verify(self, room: str) -> Broken | None:
        """The first row of the room's audit log that doesn't follow from the one before, or None: it is whole."""
        return await self._db.read(lambda sql: audit_log.verify(sql, room))

    async def rooms_audited(self) -> list[str]:
        """Rooms in which a moderator has acted."""
        query = select(audit.c.room).distinct().order_by(audit.c.room)
        return await self._db.read(lambda sql: list(sql.execute(query).scalars()))

    async def acts(self, room: str) -> tuple[int, int]:
        """How many acts the room's audit log holds, and of how many the words were erased."""
        return await self._db.read(lambda sql: audit_log.counts(sql, room))


def _found(sql: Connection, room: str, person: str, words: str, most: int) -> list[FoundLine]:
    # What was removed before it arrived here has left a row without a person.
    query = select(chat_lines).where(chat_lines.c.room == room, chat_lines.c.person != "")
    if person:
        query = query.where(chat_lines.c.person == person)
    if words:
        query = query.where(func.lower(chat_lines.c.text).contains(words.lower(), autoescape=True))
    query = query.order_by(chat_lines.c.wall_ms.desc(), chat_lines.c.seq.desc()).limit(most)
    return [
        FoundLine(
            Line(row.id, row.person, row.name, row.text, row.wall_ms, at=row.at_ms),
            removed=row.removed_ms is not None,
            shadow=row.shadow,
        )
        for row in sql.execute(query)
    ]


def _note(row: Row[Any]) -> Note:
    return Note(row.id, row.person, row.text, row.actor, row.actor_name, row.wall_ms)


def _question(row: Row[Any]) -> Question:
    return Question(
        id=row.id,
        person=row.person,
        name=row.name,
        text=row.text,
        wall_ms=row.wall_ms,
        badge=row.badge,
        at=row.at_ms,
        state=row.state,
        by=row.by,
        answered_at=row.answered_at_ms,
    )


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
        network=row.network,
        network_until_ms=row.network_until_ms,
        name=name,
        kind=row.kind,
        until_ms=row.until_ms,
        reason=row.reason,
        actor=row.actor,
        wall_ms=row.wall_ms,
    )
