"""Keeps the run of show: each change of a look is one transaction with its entry in the timeline."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, insert, select, update

from live.clock import Clock
from live.errors import NotFound, WrongState
from live.ids import new_id
from live.stage import runsheet, timeline
from live.stage.runsheet import AT_ONCE, Look, Runsheet, Times
from live.store.sql import Database
from live.store.tables import look_products, shows
from live.store.tables import looks as look_rows
from live.store.telling import tell


class Runsheets:
    """Runs of show in SQL. Two hosts who press Drop at once get one drop and one WrongState."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def of(self, show_id: str) -> Runsheet:
        """Raises: NotFound when there is no such show."""
        return await self._db.read(lambda sql: load(sql, show_id))

    async def add_look(self, show_id: str, number: int, title: str, products: Sequence[str]) -> str:
        """A further look with its pieces in order; answers its id."""
        look_id = new_id("lok")

        def write(sql: Connection) -> str:
            sql.execute(insert(look_rows).values(id=look_id, show_id=show_id, number=number, title=title))
            rows = [{"look_id": look_id, "product_id": piece, "position": i} for i, piece in enumerate(products)]
            if rows:
                sql.execute(insert(look_products), rows)
            return look_id

        return await self._db.write(write)

    async def drop(self, show_id: str, look_id: str, *, at_ms: int, actor: str, times: Times = AT_ONCE) -> Look:
        """Put the look's card out; answers the look.

        Raises: NotFound, NotLive, Invalid, WrongState when it is out already."""
        now_ms = self._clock.now_ms()
        seed = secrets.token_hex(32)

        def write(sql: Connection) -> Look:
            before = load(sql, show_id, lock=True)
            _, look = runsheet.drop(before, look_id, at_ms=at_ms, now_ms=now_ms, times=times, seed=seed)
            body = {"look": look.id, "number": look.number, "dropped_ms": look.dropped_ms}
            body |= {"opens_ms": look.opens_ms, "closes_ms": look.closes_ms, "commitment": look.commitment}
            drop_id = timeline.write(sql, show_id, "card.dropped", at_ms=at_ms, wall_ms=now_ms, actor=actor, body=body)
            look = msgspec.structs.replace(look, drop_id=drop_id)
            _keep(sql, look, was=before.look(look_id).state)
            tell(sql, "drop.opened", _told(show_id, look, at_ms), now_ms)
            return look

        return await self._db.write(write)

    async def withdraw(self, show_id: str, look_id: str, *, at_ms: int, actor: str) -> tuple[Runsheet, Look]:
        """Take the look's card back. Raises: NotFound, NotLive, WrongState when it isn't out."""
        now_ms = self._clock.now_ms()

        def write(sql: Connection) -> tuple[Runsheet, Look]:
            before = load(sql, show_id, lock=True)
            after, look = runsheet.withdraw(before, look_id)
            _keep(sql, look, was=before.look(look_id).state)
            body = {"look": look.id, "number": look.number}
            timeline.write(sql, show_id, "card.withdrawn", at_ms=at_ms, wall_ms=now_ms, actor=actor, body=body)
            tell(sql, "drop.withdrawn", _told(show_id, look, at_ms), now_ms)
            return after, look

        return await self._db.write(write)

    async def close(self, show_id: str, look_id: str, *, at_ms: int, actor: str) -> tuple[Runsheet, Look]:
        """End the look's drop now. Raises: NotFound, NotLive, WrongState when it isn't open or armed."""
        now_ms = self._clock.now_ms()

        def write(sql: Connection) -> tuple[Runsheet, Look]:
            before = load(sql, show_id, lock=True)
            after, look = runsheet.close(before, look_id, now_ms=now_ms)
            _keep(sql, look, was="dropped")
            body = {"look": look.id, "number": look.number, "closes_ms": look.closes_ms}
            timeline.write(sql, show_id, "drop.closed", at_ms=at_ms, wall_ms=now_ms, actor=actor, body=body)
            tell(sql, "drop.closed", _told(show_id, look, at_ms), now_ms)
            return after, look

        return await self._db.write(write)

    async def rule(
        self, show_id: str, look_id: str, *, limit: int | None, hot: bool, work_bits: int
    ) -> tuple[Runsheet, Look]:
        """Other terms for a look. Raises: NotFound, Invalid, WrongState."""
        now_ms = self._clock.now_ms()

        def write(sql: Connection) -> tuple[Runsheet, Look]:
            before = load(sql, show_id, lock=True)
            after, look = runsheet.rule(before, look_id, now_ms=now_ms, limit=limit, hot=hot, work_bits=work_bits)
            _keep(sql, look, was=look.state)
            return after, look

        return await self._db.write(write)


def load(sql: Connection, show_id: str, *, lock: bool = False) -> Runsheet:
    """The run of show, in the caller's transaction; `lock` keeps the show from changing. Raises: NotFound."""
    # PostgreSQL locks the show's row, so a drop and the show's end happen one after the other; on SQLite every
    # writing transaction is alone anyway, and SQLAlchemy leaves FOR UPDATE out.
    query = select(shows.c.status).where(shows.c.id == show_id)
    status = sql.execute(query.with_for_update() if lock else query).scalar()
    if status is None:
        raise NotFound("show", show_id)
    rows = sql.execute(select(look_rows).where(look_rows.c.show_id == show_id).order_by(look_rows.c.number))
    return Runsheet(
        show_id,
        status,
        tuple(
            Look(
                row.id,
                row.number,
                row.title,
                row.state,
                row.at_ms,
                row.dropped_ms,
                opens_ms=row.opens_ms,
                closes_ms=row.closes_ms,
                limit=row.max_per_buyer,
                hot=bool(row.hot),
                work_bits=row.work_bits,
                seed=row.seed,
                drop_id=row.drop_id,
            )
            for row in rows
        ),
    )


def _told(show_id: str, look: Look, at_ms: int) -> dict[str, object]:
    """A drop, as merchants' systems hear of it (shop/webhooks/kinds.py)."""
    return {
        "show": show_id,
        "look": look.id,
        "number": look.number,
        "title": look.title,
        "drop": look.drop_id,
        "at_ms": at_ms,
        "opens_ms": look.opens_ms,
        "closes_ms": look.closes_ms,
    }


def _keep(sql: Connection, look: Look, *, was: str) -> None:
    done = sql.execute(
        update(look_rows)
        .where(look_rows.c.id == look.id, look_rows.c.state == was)
        .values(
            state=look.state,
            at_ms=look.at_ms,
            dropped_ms=look.dropped_ms,
            opens_ms=look.opens_ms,
            closes_ms=look.closes_ms,
            max_per_buyer=look.limit,
            hot=int(look.hot),
            work_bits=look.work_bits,
            seed=look.seed,
            drop_id=look.drop_id,
        )
    )
    if done.rowcount != 1:
        raise WrongState("changed", was)
