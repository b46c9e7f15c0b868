"""How many units of a product, all its variants together, one buyer may hold or own in a show."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from live.edition import same
from live.errors import Invalid, NotFound
from live.store.sql import Database
from live.store.tables import look_products, looks, products

UNITS = range(1, 101)


class Caps:
    """Products' caps, in SQL. The show's own, of one SKU, is `shows.max_per_buyer`; a drop's is its look's."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of_show(self, show_id: str) -> dict[str, int]:
        """Product id -> units, of the show's products that have a cap."""
        query = (
            select(products.c.id, products.c.max_per_buyer)
            .distinct()
            .join(look_products, look_products.c.product_id == products.c.id)
            .join(looks, looks.c.id == look_products.c.look_id)
            .where(looks.c.show_id == show_id, products.c.max_per_buyer.is_not(None))
        )
        return await self._db.read(lambda sql: {row.id: row.max_per_buyer for row in sql.execute(query)})

    async def set(self, product_id: str, units: int | None, *, edition: str = "") -> list[str]:
        """Cap a product, or lift its cap (None); the shows that have it. `edition` is of the cap that the change was
        made from. Raises: Invalid, NotFound, Edited."""
        if units is not None and units not in UNITS:
            raise Invalid("limit", f"{UNITS.start} to {UNITS.stop - 1}, or null")
        of = products.c.id == product_id

        def write(sql: Connection) -> None:
            now = sql.execute(select(products.c.max_per_buyer).where(of).with_for_update()).first()
            if now is None:
                raise NotFound("product", product_id)
            same(edition, now.max_per_buyer)
            sql.execute(update(products).where(of).values(max_per_buyer=units))

        await self._db.write(write)
        query = select(looks.c.show_id).distinct().join(look_products).where(look_products.c.product_id == product_id)
        return await self._db.read(lambda sql: list(sql.execute(query).scalars()))
