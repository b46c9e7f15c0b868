"""Lines of talk in SQL, as statements over a connection."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from chat.message import Line, Mention, Reply
from chat.moderation.kinds import FoundLine
from chat.ports import LineRecord
from live.store.tables import chat_lines, room_pins


def keep(sql: Connection, room: str, lines: list[LineRecord]) -> None:
    """One that is known already stays as it is (it may have been removed since)."""
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
            "badge": record.line.badge,
            **named(record.line),
        }
        for record in lines
    ]
    _insert_missing(sql, rows)


def remove(sql: Connection, room: str, lines: list[str], by: str, wall_ms: int) -> None:
    """Mark lines as removed by the person `by`. One that is still on its way here (lines are written in batches, by
    another process perhaps) leaves a row without its text, so that it is known, and removed, when it comes."""
    gone = {"room": room, "person": "", "name": "", "text": "", "wall_ms": wall_ms}
    gone |= {"removed_ms": wall_ms, "removed_by": by, "at_ms": None, "shadow": False}
    rows = [
        {"id": line, "epoch": epoch, "seq": int(seq), **gone}
        for line in lines
        for epoch, _, seq in [line.rpartition(".")]
        if seq.isdecimal()
    ]
    if rows:  # first: it waits for who is just writing them, and then they are there to be marked
        _insert_missing(sql, rows)
    sql.execute(
        update(chat_lines)
        .where(chat_lines.c.room == room, chat_lines.c.id.in_(lines), chat_lines.c.removed_ms.is_(None))
        .values(removed_ms=wall_ms, removed_by=by)
    )


def found(sql: Connection, room: str, person: str, words: str, most: int) -> list[FoundLine]:
    # What was removed before it arrived here has left a row without a person.
    query = select(chat_lines).where(chat_lines.c.room == room, chat_lines.c.person != "")
    if person:
        query = query.where(chat_lines.c.person == person)
    if words:
        query = query.where(func.lower(chat_lines.c.text).contains(words.lower(), autoescape=True))
    query = query.order_by(chat_lines.c.wall_ms.desc(), chat_lines.c.seq.desc()).limit(most)
    return [FoundLine(line_of(row), row.removed_ms is not None, row.shadow) for row in sql.execute(query)]


def pin(sql: Connection, room: str, line: str, epoch: str, seq: int, wall_ms: int) -> None:
    """`line` is pinned by the act of that number, or with "" nothing; of two acts the later one stands."""
    dialect = postgresql if sql.dialect.name == "postgresql" else sqlite
    row = {"line": line, "epoch": epoch, "seq": seq, "wall_ms": wall_ms}
    is_later = or_(room_pins.c.epoch != epoch, room_pins.c.seq <= seq)
    query = dialect.insert(room_pins).values(room=room, **row)
    sql.execute(query.on_conflict_do_update(index_elements=["room"], set_=row, where=is_later))


def pinned(sql: Connection, room: str) -> Line | None:
    """The line that was pinned last, unless it was removed since."""
    query = select(chat_lines).join(room_pins, room_pins.c.line == chat_lines.c.id)
    query = query.where(room_pins.c.room == room, chat_lines.c.room == room, chat_lines.c.removed_ms.is_(None))
    row = sql.execute(query).first()
    return None if row is None else line_of(row)


def line_of(row: Row[Any]) -> Line:
    """The line of a row of `chat_lines`, as everyone saw it."""
    return Line(
        row.id,
        row.person,
        row.name,
        row.text,
        row.wall_ms,
        row.badge,
        row.at_ms,
        None if row.reply is None else msgspec.json.decode(row.reply, type=Reply),
        msgspec.json.decode(row.mentions, type=list[Mention]),
    )


def named(line: Line) -> dict[str, object]:
    """The columns that name others: whom the line answers, and whom it mentions."""
    reply = None if line.reply is None else msgspec.json.encode(line.reply).decode()
    return {"reply": reply, "mentions": msgspec.json.encode(line.mentions).decode()}


def _insert_missing(sql: Connection, rows: list[dict[str, object]]) -> None:
    dialect = postgresql if sql.dialect.name == "postgresql" else sqlite
    sql.execute(dialect.insert(chat_lines).on_conflict_do_nothing(index_elements=["id"]), rows)
