"""The catalogue as its brand's staff see it: found by words, a page at a time, and one product with all that it has."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, func, or_, select, update

from live.clock import Clock
from live.edition import edition_of, same
from live.errors import Invalid, NotFound
from live.money import Money
from live.shop.charged import charged_at, sale_of, struck_at
from live.shop.pricing import Sale
from live.store.sql import Database
from live.store.tables import brands, look_products, looks, products, shows, variants

A_PAGE = 40
TITLE_MAX, BLURB_MAX = 150, 5000


class Row(msgspec.Struct, frozen=True):
    """A product in the list. Prices are of now, from the lowest to the highest of its variants."""

    id: str
    title: str
    picture: str
    skus: int
    lowest: Money
    highest: Money
    left: int


class Found(msgspec.Struct, frozen=True):
    rows: list[Row]
    total: int


class Unit(msgspec.Struct, frozen=True):
    """A variant. `price` is charged while no sale is on, `charged` now; `sale` is planned, on, or over."""

    sku: str
    size: str
    colour: str
    options: dict[str, str]
    gtin: str
    price: Money
    charged: Money
    was: Money | None
    sale: Sale | None
    on_hand: int
    sold: int

    @property
    def edition(self) -> str:
        """Of its price and sale."""
        return edition_of(self.price.minor, self.sale)


class Sheet(msgspec.Struct, frozen=True):
    """A product. `cap`: units of all its variants that one buyer may hold or own in a show; None: no cap of its own.
    `looks`: (show's slug and title, look's number and state)."""

    id: str
    brand_id: str
    title: str
    blurb: str
    cap: int | None
    units: list[Unit]
    looks: list[tuple[str, str, int, str]]

    @property
    def edition(self) -> str:
        """Of its words."""
        return edition_of(self.title, self.blurb)

    @property
    def cap_edition(self) -> str:
        return edition_of(self.cap)


class House(msgspec.Struct, frozen=True):
    """A brand."""

    id: str
    slug: str
    name: str
    currency: str


class Assortment:
    """Reads for the studio."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def brands(self, ids: list[str]) -> list[House]:
        """By name."""
        query = select(brands.c.id, brands.c.slug, brands.c.name, brands.c.currency).where(brands.c.id.in_(ids))
        rows = await self._db.read(lambda c: c.execute(query.order_by(brands.c.name)).all())
        return [House(*row) for row in rows]

    async def find(self, house: House, words: str, page: int) -> Found:
        """Products whose title or one of whose SKUs has `words`, by title; `page` counts from 1."""
        where = [products.c.brand_id == house.id]
        if words:
            has_sku = select(variants.c.product_id).where(variants.c.sku.icontains(words, autoescape=True))
            where.append(or_(products.c.title.icontains(words, autoescape=True), products.c.id.in_(has_sku)))
        some = (
            select(products.c.id)
            .where(*where)
            .order_by(products.c.title, products.c.id)
            .limit(A_PAGE)
            .offset((page - 1) * A_PAGE)
        )
        price = charged_at(self._clock.now_ms())
        query = (
            select(
                products.c.id,
                products.c.title,
                products.c.picture,
                func.count(variants.c.sku),
                func.coalesce(func.min(price), 0),
                func.coalesce(func.max(price), 0),
                func.coalesce(func.sum(variants.c.on_hand - variants.c.sold), 0),
            )
            .outerjoin(variants, variants.c.product_id == products.c.id)
            .where(products.c.id.in_(some))
            .group_by(products.c.id, products.c.title, products.c.picture)
            .order_by(products.c.title, products.c.id)
        )

        def read(connection: Connection) -> Found:
            total = connection.execute(select(func.count()).select_from(products).where(*where)).scalar_one()
            rows = [
                Row(id_, title, picture, skus, Money(int(low), house.currency), Money(int(high), house.currency), left)
                for id_, title, picture, skus, low, high, left in connection.execute(query)
            ]
            return Found(rows, int(total))

        return await self._db.read(read)

    async def sheet(self, product_id: str) -> Sheet:
        """Raises NotFound."""
        now = self._clock.now_ms()

        def read(connection: Connection) -> Sheet:
            product = connection.execute(
                select(products, brands.c.currency).join(brands).where(products.c.id == product_id)
            ).first()
            if product is None:
                raise NotFound("product", product_id)
            query = select(variants, charged_at(now).label("charged_minor"), struck_at(now).label("struck_minor"))
            query = query.where(variants.c.product_id == product_id).order_by(variants.c.position, variants.c.sku)
            sold_in = (
                select(shows.c.slug, shows.c.title, looks.c.number, looks.c.state)
                .join(looks, looks.c.show_id == shows.c.id)
                .join(look_products, look_products.c.look_id == looks.c.id)
                .where(look_products.c.product_id == product_id)
                .order_by(shows.c.created_ms.desc(), looks.c.number)
                .limit(20)
            )
            return Sheet(
                product.id,
                product.brand_id,
                product.title,
                product.blurb,
                product.max_per_buyer,
                [_unit(row, product.currency) for row in connection.execute(query)],
                [tuple(row) for row in connection.execute(sold_in)],
            )

        return await self._db.read(read)

    async def unit(self, sku: str) -> Unit:
        """One variant. Raises NotFound."""
        query = select(variants.c.product_id).where(variants.c.sku == sku)
        product = await self._db.read(lambda c: c.execute(query).scalar())
        if product is None:
            raise NotFound("sku", sku)
        return next(unit for unit in (await self.sheet(product)).units if unit.sku == sku)

    async def brand_of(self, product_id: str) -> str:
        """Raises NotFound."""
        query = select(products.c.brand_id).where(products.c.id == product_id)
        found = await self._db.read(lambda c: c.execute(query).scalar())
        if found is None:
            raise NotFound("product", product_id)
        return str(found)

    async def skus(self, product_id: str) -> list[str]:
        query = select(variants.c.sku).where(variants.c.product_id == product_id)
        return await self._db.read(lambda c: list(c.execute(query).scalars()))

    async def describe(self, product_id: str, *, title: str, blurb: str, edition: str = "") -> None:
        """`edition` is of the words that the change was made from. Raises: NotFound, Invalid, Edited."""
        title, blurb = " ".join(title.split()), blurb.strip()
        if not 1 <= len(title) <= TITLE_MAX:
            raise Invalid("title", f"has 1 to {TITLE_MAX} characters")
        if len(blurb) > BLURB_MAX or "\0" in title + blurb:
            raise Invalid("blurb", f"has at most {BLURB_MAX} characters, and no NUL")
        of = products.c.id == product_id

        def write(sql: Connection) -> None:
            now = sql.execute(select(products.c.title, products.c.blurb).where(of).with_for_update()).first()
            if now is None:
                raise NotFound("product", product_id)
            same(edition, now.title, now.blurb)
            sql.execute(update(products).where(of).values(title=title, blurb=blurb))

        await self._db.write(write)


def _unit(row: Any, currency: str) -> Unit:
    return Unit(
        row.sku,
        row.size,
        row.colour,
        msgspec.json.decode(row.options, type=dict[str, str]),
        row.gtin,
        Money(row.price_minor, currency),
        Money(row.charged_minor, currency),
        None if row.struck_minor is None else Money(row.struck_minor, currency),
        sale_of(row),
        row.on_hand,
        row.sold,
    )
