"""The room's lasting part in SQL: lines, silences, terms, questions, notes; acts go to the audit log (`audit_log`), and
what other systems may hear of to the outbox, in the same transaction. Implements chat.ports.Archive."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import Connection, Row, Table, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from chat.message import Question
from chat.moderation.kinds import Case, FoundLine, Mode, Note, PastAct, PersonFacts, TermKind
from chat.moderation.review import MAX_APPEALS, MAX_CASES, MAX_REPORTS
from chat.moderation.store import DECIDED_KEPT_S
from chat.ports import Act, Decision, LineRecord, Member, Notice, RoomRecord, SilenceRecord, Taken
from live.accounts.sessions import Sessions
from live.desk import audit_log, line_rows
from live.desk.audit_log import Broken
from live.ids import new_id
from live.store.sql import Database
from live.store.tables import (
    audit,
    blocked_terms,
    cases,
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
CASES_LOADED = MAX_CASES + MAX_REPORTS + MAX_APPEALS


class SqlArchive:
    """Rooms are shows: their ids are the same."""

    def __init__(self, db: Database, sessions: Sessions) -> None:
        self._db = db
        self._sessions = sessions

    async def lines_posted(self, room: str, lines: list[LineRecord]) -> None:
        """Keep lines; one that is known already stays as it is (it may have been removed since)."""
        if lines:
            await self._db.write(lambda sql: line_rows.keep(sql, room, lines))

    async def lines_removed(self, room: str, lines: list[str], by: str, wall_ms: int) -> None:
        await self._db.write(lambda sql: line_rows.remove(sql, room, lines, by, wall_ms))

    async def taken_out(self, room: str, taken: Taken) -> None:
        """In one transaction. Its notice goes by its id, so that the second time finds all of it done."""

        def write(sql: Connection) -> None:
            if taken.notice is None or _insert_new(sql, outbox, _outbox_row(taken.notice, f"evt_{taken.id}")):
                line_rows.remove(sql, room, taken.lines, taken.by, taken.wall_ms)
                if taken.act is not None:
                    audit_log.append(sql, taken.act)

        await self._db.write(write)

    async def pinned(self, room: str, line: str, epoch: str, seq: int, wall_ms: int) -> None:
        """Of two acts the one of the higher number stands."""
        await self._db.write(lambda sql: line_rows.pin(sql, room, line, epoch, seq, wall_ms))

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

    async def case(self, room: str, case: Case) -> None:
        """It waits, as it stands now."""
        row = _case_row(room, case)

        def write(sql: Connection) -> None:
            if not _insert_new(sql, cases, row):
                this = (cases.c.room == room, cases.c.id == case.id, cases.c.verdict == "")
                sql.execute(update(cases).where(*this).values(body=row["body"]))

        await self._db.write(write)

    async def case_decided(self, room: str, case: Case, decision: Decision, wall_ms: int) -> Decision:
        """The first to ask decides; one that never arrived here is written as decided. A line that was reported is
        marked as removed in the same transaction."""
        made = {
            "verdict": decision.verdict,
            "by": decision.by,
            "by_name": decision.by_name,
            "reason": decision.reason,
            "decided_ms": wall_ms,
        }
        this = (cases.c.room == room, cases.c.id == case.id)

        def write(sql: Connection) -> Decision:
            done = sql.execute(update(cases).where(*this, cases.c.verdict == "").values(**made))
            if done.rowcount or _insert_new(sql, cases, _case_row(room, case) | made):
                if case.kind == "report" and decision.verdict == "refuse" and case.line is not None:
                    line_rows.remove(sql, room, [case.line.id], decision.by, wall_ms)
                return decision
            return _decision(sql.execute(select(cases).where(*this)).one())

        return await self._db.write(write)

    async def cases_decided(self, room: str, cases_: list[str], before_ms: int) -> list[Decision]:
        """Those that were decided in the day before `before_ms`."""
        since_ms = before_ms - DECIDED_KEPT_S * 1000
        query = select(cases).where(
            cases.c.room == room, cases.c.id.in_(cases_), cases.c.decided_ms.between(since_ms, before_ms)
        )
        return await self._db.read(lambda sql: [_decision(row) for row in sql.execute(query)])

    async def case_made(self, room: str, case: str, made: str) -> None:
        query = update(cases).where(cases.c.room == room, cases.c.id == case).values(made=made)
        await self._db.write(lambda sql: sql.execute(query) and None)

    async def note(self, room: str, note: Note) -> None:
        row = {"room": room, **msgspec.structs.asdict(note)}
        await self._db.write(lambda sql: sql.execute(insert(person_notes).values(row)) and None)

    async def notice(self, notice: Notice) -> None:
        """Into the outbox, for the brand's webhooks."""
        row = _outbox_row(notice, new_id("evt"))
        await self._db.write(lambda sql: sql.execute(insert(outbox).values(row)) and None)

    async def person(self, room: str, person: str, lines: int) -> PersonFacts:
        """Her names, counts, newest lines, notes and the acts on her."""

        def read(sql: Connection) -> PersonFacts:
            hers = (chat_lines.c.room == room, chat_lines.c.person == person)
            removed = func.count(sqlalchemy.case((chat_lines.c.removed_ms.is_not(None), 1)))
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
                lines=line_rows.found(sql, room, person, "", lines),
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
        return await self._db.read(lambda sql: line_rows.found(sql, room, person, words, most))

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
        """Silences in force, terms, mode, the questions that wait, and the pin."""

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
            open_cases = select(cases.c.body).where(cases.c.room == room, cases.c.verdict == "")
            since_ms = now_ms - DECIDED_KEPT_S * 1000
            decided = select(cases).where(cases.c.room == room, cases.c.decided_ms > since_ms)
            newest = sql.execute(decided.order_by(cases.c.decided_ms.desc()).limit(CASES_LOADED))
            return RoomRecord(
                silences=[_silence(row, names.get(row.person, "")) for row in rows],
                terms={row.term: row.kind for row in sql.execute(terms)},
                mode=None if mode is None else msgspec.json.decode(mode, type=Mode),
                questions=[_question(row) for row in reversed(asked)],
                cases=[
                    msgspec.json.decode(body, type=Case)
                    for body in sql.execute(open_cases.order_by(cases.c.wall_ms).limit(CASES_LOADED)).scalars()
                ],
                decided=[_decision(row) for row in newest],
                pinned=line_rows.pinned(sql, room),
            )

        return await self._db.read(read)

    async def verify(self, room: str) -> Broken | None:
        """The first row of the room's audit log that doesn't follow from the one before, or None: it is whole."""
        return await self._db.read(lambda sql: audit_log.verify(sql, room))

    async def rooms_audited(self) -> list[str]:
        """Rooms in which a moderator has acted, and the house where somebody was dismissed."""
        query = select(audit.c.room).distinct().order_by(audit.c.room)
        return await self._db.read(lambda sql: list(sql.execute(query).scalars()))

    async def acts(self, room: str) -> tuple[int, int]:
        """How many acts the room's audit log holds, and of how many the words were erased."""
        return await self._db.read(lambda sql: audit_log.counts(sql, room))


def _outbox_row(notice: Notice, event_id: str) -> dict[str, object]:
    return {
        "event_id": event_id,
        "kind": notice.kind,
        "body": msgspec.json.encode({"show": notice.room, **notice.facts}).decode(),
        "created_ms": notice.wall_ms,
        "due_ms": notice.wall_ms,
        "attempts": 0,
    }


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


def _case_row(room: str, case: Case) -> dict[str, object]:
    body = msgspec.json.encode(case).decode()
    return {"room": room, "id": case.id, "person": case.person, "body": body, "wall_ms": case.wall_ms, "verdict": ""}


def _decision(row: Row[Any]) -> Decision:
    return Decision(row.id, row.verdict, row.by, row.by_name, row.made, row.reason)


def _insert_new(sql: Connection, table: Table, row: dict[str, object]) -> bool:
    """Whether it was new."""
    dialect = postgresql if sql.dialect.name == "postgresql" else sqlite
    query = dialect.insert(table).values(**row).on_conflict_do_nothing().returning(*table.primary_key)
    return sql.execute(query).first() is not None


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
