"""What happened in a show, by media time: written in the transaction of what it tells, never changed after."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, insert, select

from live.store.sql import Database
from live.store.tables import timeline


class Moment(msgspec.Struct, frozen=True):
    """One entry. `id` grows; `at_ms` is media time, `wall_ms` server time, `actor` a person or staff id, `body`
    JSON."""

    id: int
    kind: str
    at_ms: int
    wall_ms: int
    actor: str
    body: str


def write(sql: Connection, show_id: str, kind: str, *, at_ms: int, wall_ms: int, actor: str, body: object) -> int:
    """Append an entry, inside the caller's transaction; answers its id."""
    written = sql.execute(
        insert(timeline).values(
            show_id=show_id,
            kind=kind,
            at_ms=at_ms,
            wall_ms=wall_ms,
            actor=actor,
            body=msgspec.json.encode(body).decode(),
        )
    )
    assert written.inserted_primary_key is not None
    return int(written.inserted_primary_key[0])


class Timeline:
    """Reads what was written."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, show_id: str) -> list[Moment]:
        """The show's moments in the order they happened."""

        def read(sql: Connection) -> list[Moment]:
            rows = sql.execute(select(timeline).where(timeline.c.show_id == show_id).order_by(timeline.c.id))
            return [Moment(row.id, row.kind, row.at_ms, row.wall_ms, row.actor, row.body) for row in rows]

        return await self._db.read(read)
