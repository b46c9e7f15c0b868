"""`stock.changed`. Who changes stock by hand tells it at once; a few seconds' sales of a SKU are told as one by the
worker, and the sale itself pays nothing for it.

What a merchant was last told stands beside the event, written in one transaction: each change is told, and none twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, exists, insert, or_, select, update

from live.store.tables import look_products, looks, products, stock_told, variants, webhook_endpoints
from live.store.telling import tell

AT_ONCE = 500  # SKUs a round


def tell_stock(sql: Connection, show_ids: Sequence[str], now: int) -> int:
    """Tell the SKUs of these shows whose stock moved since it was told last, where an endpoint listens. Answers how
    many. In a write."""
    of_shows = select(look_products.c.product_id).join(looks).where(looks.c.show_id.in_(show_ids))
    listening = exists().where(
        webhook_endpoints.c.brand_id == products.c.brand_id, webhook_endpoints.c.disabled_ms.is_(None)
    )
    moved = (
        select(variants.c.sku, variants.c.on_hand, variants.c.sold, products.c.brand_id)
        .join(products, products.c.id == variants.c.product_id)
        .outerjoin(stock_told, stock_told.c.sku == variants.c.sku)
        .where(
            variants.c.product_id.in_(of_shows),
            listening,
            or_(
                stock_told.c.sku.is_(None),
                stock_told.c.on_hand != variants.c.on_hand,
                stock_told.c.sold != variants.c.sold,
            ),
        )
        .order_by(variants.c.sku)
        .limit(AT_ONCE)
        .with_for_update(of=variants, skip_locked=True)  # two workers don't tell the same
    )
    found = sql.execute(moved).all()
    # Asked once the rows are ours: what the question above saw of it another worker may have told since, on PostgreSQL.
    of_these = select(stock_told).where(stock_told.c.sku.in_([row.sku for row in found]))
    told = {one.sku: (one.on_hand, one.sold) for one in sql.execute(of_these)}
    count = 0
    for row in found:
        if told.get(row.sku) == (row.on_hand, row.sold):
            continue
        # One that was never told and never sold stands where the merchant put it.
        if row.sku in told or row.sold:
            tell_change(sql, row.brand_id, row.sku, row.on_hand, row.sold, now)
            count += 1
        else:
            _note_told(sql, row.sku, row.on_hand, row.sold)
    return count


def tell_change(
    sql: Connection, brand: str, sku: str, on_hand: int, sold: int, now: int, *, event_id: str = "", **by_hand: object
) -> None:
    """So it stands by now. `by_hand`: `change` of what is on hand, and `by` whom. In a write that has the SKU's row."""
    body = {"brand": brand, "sku": sku, "on_hand": on_hand, "sold": sold, **by_hand}
    tell(sql, "stock.changed", body, now, event_id=event_id)
    _note_told(sql, sku, on_hand, sold)


def _note_told(sql: Connection, sku: str, on_hand: int, sold: int) -> None:
    values = {"on_hand": on_hand, "sold": sold}
    if not sql.execute(update(stock_told).where(stock_told.c.sku == sku).values(values)).rowcount:
        sql.execute(insert(stock_told).values(sku=sku, **values))
