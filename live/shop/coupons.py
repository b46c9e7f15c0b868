"""Coupons that fell on people in a show's game: promotion codes that are one person's own, each for one order.

A coupon is a row of `promotions` with a `buyer`, so that all that holds for codes holds for it: its window, its one use
counted in the order's own transaction, the use given back when that order comes to nothing. To anybody else it is a
code that does not exist.
Source: docs/decisions/0149-a-coupon-is-its-winners-promotion-code.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from live.clock import Clock
from live.errors import NotFound
from live.ids import new_id, sign
from live.money import Money
from live.store.sql import Database
from live.store.tables import brands, promotions, shows

LIFE_MS = 86_400_000  # from the fall: the show's own pieces can be held no longer than that
AT_ONCE = 500  # rows a statement
LISTED = 20
NOBODY = "erased"  # whose one is once its person was erased: "" would make it everybody's


class Coupon(msgspec.Struct, frozen=True):
    """`amount` off the goods of one order, until `ends_ms` (server time)."""

    code: str
    amount: Money
    ends_ms: int


class Coupons:
    """Gives and lists them; `promotions` spends them."""

    def __init__(self, db: Database, clock: Clock, secret_key: str) -> None:
        self._db = db
        self._clock = clock
        self._key = secret_key

    async def currency_of(self, show_id: str) -> str:
        """In which a show's coupons can be spent. Raises: NotFound."""
        query = select(brands.c.currency).join(shows).where(shows.c.id == show_id)
        found = await self._db.read(lambda sql: sql.execute(query).scalar())
        if found is None:
            raise NotFound("show", show_id)
        return str(found)

    async def give(self, show_id: str, game_id: str, amounts: Mapping[str, int]) -> None:
        """To each person her part of the game, in minor units. Twice is once, also by two workers at one moment: a
        person's code of a game is always the same. Raises: NotFound, StoreDown."""
        brand = await self._db.read(lambda sql: sql.execute(_brand_of(show_id)).scalar())
        if brand is None:
            raise NotFound("show", show_id)
        now = self._clock.now_ms()
        rows = [
            {
                "id": new_id("pro"),
                "brand_id": brand,
                "code": f"YOURS-{sign(self._key, 'coupon', f'{game_id}:{person}')[:16].upper()}",
                "kind": "amount",
                "value": minor,
                "starts_ms": now,
                "ends_ms": now + LIFE_MS,
                "cap": 1,
                "stacks": True,
                "buyer": person,
                "used": 0,
                "created_ms": now,
            }
            for person, minor in amounts.items()
        ]
        for some in _chunks(rows):
            await self._db.write(lambda sql, some=some: _keep(sql, some))  # type: ignore[misc]

    async def of_person(self, show_id: str, person: str) -> list[Coupon]:
        """What she can spend in this show now, the one that ends first first."""
        p = promotions.c
        query = (
            select(p.code, p.value, brands.c.currency, p.ends_ms)
            .join(brands)
            .where(p.buyer == person, p.brand_id == _brand_of(show_id).scalar_subquery(), p.retired_ms.is_(None))
            .where(p.used < p.cap, or_(p.ends_ms.is_(None), p.ends_ms > self._clock.now_ms()))
            .order_by(p.ends_ms, p.code)
            .limit(LISTED)
        )
        rows = await self._db.read(lambda sql: sql.execute(query).all())
        return [Coupon(row.code, Money(row.value, row.currency), row.ends_ms) for row in rows]


def erase(sql: Connection, person: str, brand_ids: list[str] | None, now_ms: int) -> None:
    """A person's coupons are nobody's: one that an order used stays with the order, any other can't be spent. Their
    rows stay, without her: a worker that died while it gave them gives them again, and must find them given."""
    hers = [promotions.c.buyer == person]
    if brand_ids is not None:
        hers.append(promotions.c.brand_id.in_(brand_ids))
    sql.execute(update(promotions).where(*hers).values(buyer=NOBODY, retired_ms=now_ms))


def _brand_of(show_id: str) -> Any:
    return select(shows.c.brand_id).where(shows.c.id == show_id)


def _keep(sql: Connection, rows: list[dict[str, Any]]) -> None:
    dialect = postgresql if sql.dialect.name == "postgresql" else sqlite
    sql.execute(dialect.insert(promotions).on_conflict_do_nothing(index_elements=["brand_id", "code"]), rows)


def _chunks(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]
