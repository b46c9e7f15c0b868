"""What a merchant's own system reads: products and stock, page by page, whatever their cards show or hide."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, select

from live.clock import Clock
from live.money import Money
from live.shop.charged import charged_at
from live.store.sql import Database
from live.store.tables import brands, products, variants


class Sold(msgspec.Struct, frozen=True):
    """Units of a SKU: on hand (sold ones included), sold, and left in SQL. Holds are not counted: they come and go."""

    sku: str
    on_hand: int
    sold: int
    left: int


class SoldVariant(msgspec.Struct, frozen=True):
    """A SKU as it is sold."""

    sku: str
    size: str
    colour: str
    gtin: str
    price: Money


class SoldProduct(msgspec.Struct, frozen=True):
    """A product with its SKUs. `brand` is the brand's slug, `picture` a path of this server."""

    id: str
    brand: str
    slug: str
    title: str
    blurb: str
    picture: str
    variants: list[SoldVariant]


class MerchantReads:
    """Pages of a brand's own facts, sorted by what names them: the last of a page begins the next."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def brands(self, ids: Collection[str]) -> list[tuple[str, str]]:
        """Id and name of these brands, by name."""
        query = select(brands.c.id, brands.c.name).where(brands.c.id.in_(ids)).order_by(brands.c.name, brands.c.id)
        return await self._db.read(lambda sql: [(row.id, row.name) for row in sql.execute(query)])

    async def stock(self, of: Collection[str], *, skus: Collection[str], after: str, limit: int) -> list[Sold]:
        """Stock of brands `of`: of `skus`, or of all when none is named."""
        query = _STOCK.where(products.c.brand_id.in_(of), variants.c.sku > after)
        if skus:
            query = query.where(variants.c.sku.in_(skus))
        query = query.order_by(variants.c.sku).limit(limit)

        def read(sql: Connection) -> list[Sold]:
            return [Sold(row.sku, row.on_hand, row.sold, row.on_hand - row.sold) for row in sql.execute(query)]

        return await self._db.read(read)

    async def products(self, of: Collection[str], *, after: str, limit: int) -> list[SoldProduct]:
        """Products of brands `of`, by id; a price is what is charged now, in a sale its own."""
        now = self._clock.now_ms()
        query = _PRODUCTS.where(products.c.brand_id.in_(of), products.c.id > after)
        query = query.order_by(products.c.id).limit(limit)

        def read(sql: Connection) -> list[SoldProduct]:
            found = sql.execute(query).all()
            sizes: dict[str, list[Row[Any]]] = {}
            of_them = select(variants, charged_at(now).label("charged_minor"))
            of_them = of_them.where(variants.c.product_id.in_([row.id for row in found]))
            for row in sql.execute(of_them.order_by(variants.c.position, variants.c.sku)):
                sizes.setdefault(row.product_id, []).append(row)
            return [_product(row, sizes.get(row.id, [])) for row in found]

        return await self._db.read(read)


_STOCK: Select[Any] = select(variants.c.sku, variants.c.on_hand, variants.c.sold).join(
    products, products.c.id == variants.c.product_id
)
_PRODUCTS: Select[Any] = select(products, brands.c.slug.label("brand"), brands.c.currency).join(
    brands, brands.c.id == products.c.brand_id
)


def _product(row: Row[Any], sizes: list[Row[Any]]) -> SoldProduct:
    return SoldProduct(
        id=row.id,
        brand=row.brand,
        slug=row.slug,
        title=row.title,
        blurb=row.blurb,
        picture=row.picture,
        variants=[
            SoldVariant(one.sku, one.size, one.colour, one.gtin, Money(one.charged_minor, row.currency))
            for one in sizes
        ],
    )
