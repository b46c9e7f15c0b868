"""The audit log: who did what to whom in a room, each row hashed over the one before, so that a row taken out or
rewritten later shows.

The words of an act (its reason, what was before and after) may be a person's own, and she may want them gone. They are
not in the chain: their seal is, a hash of them with a salt. Erasing drops words and salt; the seal stays, the chain
holds, and nobody can guess the words from it. How many rows were erased is counted aloud, since erasing hides.
Source: docs/decisions/0136-an-act-outlives-its-words.md
"""

from __future__ import annotations

import hashlib
import secrets

import msgspec
from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from chat.ports import Act
from live.store.tables import audit

GENESIS = "0" * 64  # what the first row of a room's log is hashed over


class Broken(msgspec.Struct, frozen=True):
    """Where a room's audit log stops being what was written: the row's id."""

    room: str
    row: int


def append(sql: Connection, act: Act) -> None:
    # Two moderators at once must not hash over the same row. SQLite has one writer anyway.
    if sql.dialect.name == "postgresql":
        sql.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"audit {act.room}"))))
    last = select(audit.c.hash).where(audit.c.room == act.room).order_by(audit.c.id.desc()).limit(1)
    previous = sql.execute(last).scalar() or GENESIS
    salt = secrets.token_hex(16)
    seal = sealed(salt, act)
    row = {"previous": previous, "hash": chained(previous, act, seal), "salt": salt, "seal": seal}
    sql.execute(insert(audit).values(**msgspec.structs.asdict(act), **row))


def verify(sql: Connection, room: str) -> Broken | None:
    """The first row that doesn't follow from the one before, or None: the log is whole."""
    previous = GENESIS
    for row in sql.execute(select(audit).where(audit.c.room == room).order_by(audit.c.id)):
        act = Act(**{field: getattr(row, field) for field in Act.__struct_fields__})
        # What says that it was erased has no words: else any could be put there.
        is_erased = row.erased_ms is not None and not (act.reason or act.before or act.after)
        is_sealed = is_erased or not row.seal or row.seal == sealed(row.salt, act)
        if row.previous != previous or row.hash != chained(previous, act, row.seal) or not is_sealed:
            return Broken(room, row.id)
        previous = row.hash
    return None


def erase(sql: Connection, which: ColumnElement[bool], now_ms: int) -> int:
    """Drop the words of sealed acts; those from before seals can't lose theirs. Answers how many."""
    gone = {"reason": "", "before": "", "after": "", "salt": "", "erased_ms": now_ms}
    has_words = or_(audit.c.reason != "", audit.c.before != "", audit.c.after != "")
    done = sql.execute(
        update(audit).where(which, audit.c.seal != "", audit.c.erased_ms.is_(None), has_words).values(**gone)
    )
    return int(done.rowcount)


def counts(sql: Connection, room: str) -> tuple[int, int]:
    """(acts, of which erased)."""
    query = select(func.count(), func.count(audit.c.erased_ms)).where(audit.c.room == room)
    acts, erased = sql.execute(query).one()
    return int(acts), int(erased)


def sealed(salt: str, act: Act) -> str:
    """SHA-256 of the words with the salt, in hex."""
    words = msgspec.json.encode([act.reason, act.before, act.after])
    return hashlib.sha256(salt.encode() + b"\0" + words).hexdigest()


def chained(previous: str, act: Act, seal: str) -> str:
    """The hash of an act that follows the one hashed `previous` (SHA-256, in hex): over its words' seal, or over the
    words themselves where there is none."""
    if seal:
        act = msgspec.structs.replace(act, reason="", before="", after="")
    return hashlib.sha256(previous.encode() + b"\0" + msgspec.json.encode(act) + seal.encode()).hexdigest()
