"""What a SKU costs at a moment, as SQL: the one expression behind every card, bag, order and feed.

A sale's window is in the variant's row, and no process turns it on: whoever reads the price asks for a moment. Its
beginning and end are in the price history as soon as it is planned, so that the 30-day low is right also where nothing
ran when the window opened.
Source: docs/decisions/0100-a-sale-is-a-window-not-a-switch.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, and_, bindparam, case, delete, insert, select

from live.shop.pricing import PriceSince, Sale, schedule
from live.store.statements import Statement, insert_into
from live.store.tables import prices, variants

Moment = int | BindParameter[int]


def charged_at(now_ms: Moment) -> ColumnElement[Any]:
    """Minor units."""
    return case((_sale_is_on(now_ms), variants.c.sale_minor), else_=variants.c.price_minor)


def struck_at(now_ms: Moment) -> ColumnElement[Any]:
    """What is shown struck through beside it, or null."""
    return case((_sale_is_on(now_ms), variants.c.sale_was_minor), else_=variants.c.was_minor)


def sale_of(row: Any) -> Sale | None:
    """A variant's sale, whenever it is."""
    return None if row.sale_minor is None else Sale(row.sale_minor, row.sale_from_ms, row.sale_until_ms)


def history(connection: Connection, skus: Sequence[str], now_ms: int) -> dict[str, list[PriceSince]]:
    """What was charged for each until now, oldest first."""
    found: dict[str, list[PriceSince]] = {}
    if skus:
        query = select(prices.c.sku, prices.c.from_ms, prices.c.price_minor)
        query = query.where(prices.c.sku.in_(skus), prices.c.from_ms <= now_ms)
        for sku, from_ms, minor in connection.execute(query.order_by(prices.c.from_ms, prices.c.id)):
            found.setdefault(sku, []).append((from_ms, minor))
    return found


def write_schedule(
    connection: Connection, sku: str, price_minor: int, sale: Sale | None, now_ms: int, charged: Sequence[PriceSince]
) -> None:
    """The history from now on; what was planned before is planned no more."""
    connection.execute(delete(prices).where(prices.c.sku == sku, prices.c.from_ms > now_ms))
    turns = schedule(price_minor, sale, now_ms)
    if charged and charged[-1][1] == turns[0][1]:
        turns = turns[1:]  # as before: a reduction that goes on began when it began
    if turns:
        connection.execute(insert(prices), [{"sku": sku, "price_minor": minor, "from_ms": at} for at, minor in turns])


def _sale_is_on(now_ms: Moment) -> ColumnElement[bool]:
    return and_(
        variants.c.sale_minor.is_not(None), variants.c.sale_from_ms <= now_ms, variants.c.sale_until_ms > now_ms
    )


_sale_bound: BindParameter[int] = bindparam("now")
CHARGED = Statement(select(charged_at(_sale_bound)).where(variants.c.sku == bindparam("of")))
ADD_PRICE = Statement(insert_into(prices, without=["id"]))
FORGET_PLANNED = Statement(delete(prices).where(prices.c.sku == bindparam("of"), prices.c.from_ms > bindparam("now")))
