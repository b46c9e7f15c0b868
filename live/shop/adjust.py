"""Changes of what is on hand that no sale made: a delivery, a piece sold at the till, one that was damaged."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import IntegrityError

from live.clock import Clock
from live.errors import Conflict, NotFound
from live.ids import digest
from live.shop.webhooks.stock import tell_change
from live.store.sql import Database
from live.store.tables import look_products, looks, outbox, products, variants


class Adjusted(msgspec.Struct, frozen=True):
    """Where a SKU stands: units on hand (sold ones included) and sold. `shows`: whose looks have it."""

    sku: str
    on_hand: int
    sold: int
    shows: list[str]


class Adjustments:
    """Staff's and tills' changes of stock."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def brand_of(self, sku: str) -> str:
        """Whose SKU it is. Raises NotFound."""
        query = select(products.c.brand_id).join(variants).where(variants.c.sku == sku)
        brand = await self._db.read(lambda c: c.execute(query).scalar())
        if brand is None:
            raise NotFound("sku", sku)
        return str(brand)

    async def adjust(self, sku: str, change: int, *, op: str, by: str) -> Adjusted:
        """Add `change` units (or take them away), once an `op` of the SKU; the merchant's system hears of it.

        The gate does not know yet: whoever calls reconciles the shows. Raises: NotFound, Conflict (fewer than sold).
        """
        # What makes it happen once is the event's own id, written in the same transaction.
        event_id = f"adj_{digest(f'{sku}|{op}')[:32]}"
        now = self._clock.now_ms()

        def write(connection: Connection) -> Adjusted:
            row = connection.execute(
                select(variants.c.on_hand, variants.c.sold, products.c.brand_id)
                .join(products, products.c.id == variants.c.product_id)
                .where(variants.c.sku == sku)
                .with_for_update(of=variants)
            ).first()
            if row is None:
                raise NotFound("sku", sku)
            on_hand = row.on_hand
            if connection.execute(select(outbox.c.id).where(outbox.c.event_id == event_id)).first() is None:
                on_hand += change
                if on_hand < row.sold:
                    raise Conflict("below_sold", sku=sku, on_hand=row.on_hand, sold=row.sold)
                connection.execute(update(variants).where(variants.c.sku == sku).values(on_hand=on_hand))
                told = (row.brand_id, sku, on_hand, row.sold, now)
                tell_change(connection, *told, event_id=event_id, change=change, by=by)
            return Adjusted(sku, on_hand, row.sold, _shows_of(connection, sku))

        try:
            return await self._db.write(write)
        except IntegrityError:  # the same op at the same moment: now it is known
            return await self._db.write(write)


def _shows_of(connection: Connection, sku: str) -> list[str]:
    query = (
        select(looks.c.show_id)
        .distinct()
        .join(look_products, look_products.c.look_id == looks.c.id)
        .join(variants, variants.c.product_id == look_products.c.product_id)
        .where(variants.c.sku == sku)
    )
    return list(connection.execute(query).scalars())
