"""The catalogue: brands, products and their variants, as SQL has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, and_, bindparam, insert, select, update

from live.clock import Clock, SystemClock
from live.edition import same
from live.errors import Conflict, Invalid, NotFound
from live.events import Piece, Variant, View
from live.ids import new_id
from live.money import Money
from live.shop.charged import charged_at, history, sale_of, struck_at, write_schedule
from live.shop.pricing import Sale, struck_through, struck_through_in
from live.shop.web_sizes import srcset_of, url_of
from live.store.sql import Database
from live.store.tables import brands, look_products, looks, pictures, prices, products, shows, variants

OFFER_KEPT_S = 2.0  # an offer is read this long from memory; placing an order checks the price again


class NewVariant(msgspec.Struct, frozen=True):
    """A size and colour to be sold. `on_hand` counts units; prices are minor units of the brand's currency."""

    sku: str
    size: str
    colour: str
    colour_hex: str
    price_minor: int
    on_hand: int
    was_minor: int | None = None
    gtin: str = ""


class Offer(msgspec.Struct, frozen=True):
    """One SKU as a bag needs it."""

    sku: str
    product: str
    title: str
    brand: str
    picture: str
    size: str
    colour: str
    price: Money


class Catalogue:
    """Reads and writes products. What is read for a bag is kept for two seconds."""

    def __init__(self, db: Database, clock: Clock | None = None, *, monotonic: Callable[[], float] = time.monotonic):
        self._db = db
        self._clock = clock or SystemClock()
        self._monotonic = monotonic
        self._offers: dict[str, tuple[float, Offer]] = {}
        self._currencies: dict[str, str] = {}

    async def add_brand(self, *, slug: str, name: str, currency: str, country: str) -> str:
        """A new brand's id; the id of the one that has this slug already."""
        row = {"id": new_id("bra"), "slug": slug, "name": name, "currency": currency, "country": country}
        row["created_ms"] = self._clock.now_ms()  # type: ignore[assignment]

        def write(connection: Connection) -> str:
            known = connection.execute(select(brands.c.id).where(brands.c.slug == slug)).scalar()
            if known is not None:
                return str(known)
            connection.execute(insert(brands).values(row))
            return row["id"]

        return await self._db.write(write)

    async def add_product(
        self,
        brand_id: str,
        *,
        slug: str,
        title: str,
        blurb: str = "",
        picture: str = "",
        picture_alt: str = "",
        variants: Sequence[NewVariant],
    ) -> str:
        """A new product's id, its variants and first prices with it. Raises Conflict (slug or SKU taken), Invalid."""
        for position, variant in enumerate(variants):
            if variant.price_minor < 0 or variant.on_hand < 0 or not variant.sku or "|" in variant.sku:
                raise Invalid(f"variants.{position}", "needs a SKU without '|', and no negative price or stock")
        now = self._clock.now_ms()
        product = {
            "id": new_id("pro"),
            "brand_id": brand_id,
            "slug": slug,
            "title": title,
            "blurb": blurb,
            "picture": picture,
            "picture_alt": picture_alt,
            "created_ms": now,
        }
        await self._db.write(lambda c: _insert_product(c, product, variants, now))
        return str(product["id"])

    async def product(self, product_id: str) -> Piece:
        """A product as its card shows it. Raises NotFound."""
        query, now = _PIECES.where(products.c.id == product_id), {"now": self._clock.now_ms()}

        def read(connection: Connection) -> tuple[Sequence[Row[Any]], list[View]]:
            return connection.execute(query, now).all(), _more(connection, [product_id]).get(product_id, [])

        rows, more = await self._db.read(read)
        if not rows:
            raise NotFound("product", product_id)
        return _piece(rows, more)

    async def pieces_of_looks(self, show_id: str) -> dict[str, list[Piece]]:
        """Every look's pieces, in order; a look without any is an empty list."""
        return await self._db.read(lambda c: pieces_of_looks(c, show_id, self._clock.now_ms()))

    async def variant(self, sku: str) -> Offer:
        """One SKU with its product and price of now (two seconds old at most). Raises NotFound."""
        kept = self._offers.get(sku)
        if kept is not None and self._monotonic() - kept[0] < OFFER_KEPT_S:
            return kept[1]
        query, now = _PIECES.where(variants.c.sku == sku), {"now": self._clock.now_ms()}
        row = await self._db.read(lambda c: c.execute(query, now).first())
        if row is None:
            raise NotFound("sku", sku)
        price = Money(row.price_minor, row.currency)
        offer = Offer(sku, row.id, row.title, row.brand, row.picture, _size(row), row.colour, price)
        if len(self._offers) > 10_000:  # bound: a catalogue larger than this is read again
            self._offers.clear()
        self._offers[sku] = (self._monotonic(), offer)
        return offer

    def forget(self, sku: str) -> None:
        """Read `sku` again next time: its price changed."""
        self._offers.pop(sku, None)

    async def currency(self, show_id: str) -> str:
        """What a show sells in (ISO 4217): its brand's currency. Raises NotFound."""
        if show_id not in self._currencies:
            query = select(brands.c.currency).join(shows, shows.c.brand_id == brands.c.id).where(shows.c.id == show_id)
            currency = await self._db.read(lambda c: c.execute(query).scalar())
            if currency is None:
                raise NotFound("show", show_id)
            self._currencies[show_id] = str(currency)
        return self._currencies[show_id]

    async def set_price(
        self, sku: str, price_minor: int, *, announced: bool = False, sale: Sale | None = None, edition: str = ""
    ) -> None:
        """A new price from now on; the history keeps the old one. `announced`: as a reduction, so that the lowest price
        of the 30 days before is shown struck through, if that was higher. `sale`: another price for a while, which
        comes and goes by itself; one that was planned before is planned no more. `edition` is the one
        (`Unit.edition`) that the change was made from. Raises NotFound, Invalid, Edited."""
        if price_minor < 0:
            raise Invalid("price_minor", "is below nothing")
        if sale is not None and not 0 <= sale.minor < price_minor:
            raise Invalid("sale.minor", "is not below the price")
        if sale is not None and sale.until_ms <= sale.from_ms:
            raise Invalid("sale.until_ms", "is before its beginning")
        now = self._clock.now_ms()

        def write(connection: Connection) -> None:
            # First the row, locked: the history that is read then is all there is.
            row = connection.execute(select(variants).where(variants.c.sku == sku).with_for_update()).first()
            if row is None:
                raise NotFound("sku", sku)
            same(edition, row.price_minor, sale_of(row))
            charged = history(connection, [sku], now).get(sku, [])
            values = {
                "price_minor": price_minor,
                "was_minor": struck_through(charged, price_minor, now) if announced else None,
                "sale_minor": sale.minor if sale else None,
                "sale_from_ms": sale.from_ms if sale else None,
                "sale_until_ms": sale.until_ms if sale else None,
                "sale_was_minor": struck_through_in(charged, price_minor, sale, now) if sale else None,
            }
            connection.execute(update(variants).where(variants.c.sku == sku).values(values))
            write_schedule(connection, sku, price_minor, sale, now, charged)

        await self._db.write(write)
        self.forget(sku)


_PIECES: Select[Any] = (
    select(
        products.c.id,
        products.c.title,
        brands.c.name.label("brand"),
        brands.c.currency,
        products.c.blurb,
        products.c.picture,
        products.c.picture_alt,
        pictures.c.name.label("picture_name"),
        pictures.c.widths.label("picture_widths"),
        variants.c.sku,
        variants.c.size,
        variants.c.colour,
        variants.c.colour_hex,
        variants.c.gtin,
        variants.c.options,
        charged_at(bindparam("now")).label("price_minor"),
        struck_at(bindparam("now")).label("was_minor"),
    )
    .join(brands, brands.c.id == products.c.brand_id)
    .join(variants, variants.c.product_id == products.c.id)
    .outerjoin(pictures, and_(pictures.c.product_id == products.c.id, pictures.c.position == 0))
    .order_by(variants.c.position, variants.c.sku)
)


def pieces_of_looks(connection: Connection, show_id: str, now_ms: int) -> dict[str, list[Piece]]:
    """As the method; for those who already hold a connection."""
    pieces: dict[str, list[Piece]] = {
        look: []
        for look in connection.execute(
            select(looks.c.id).where(looks.c.show_id == show_id).order_by(looks.c.number)
        ).scalars()
    }
    places = connection.execute(
        select(look_products.c.look_id, look_products.c.product_id)
        .join(looks, looks.c.id == look_products.c.look_id)
        .where(looks.c.show_id == show_id)
        .order_by(look_products.c.position)
    ).all()
    in_show = select(look_products.c.product_id).join(looks).where(looks.c.show_id == show_id)
    by_product: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(_PIECES.where(products.c.id.in_(in_show)), {"now": now_ms}):
        by_product.setdefault(row.id, []).append(row)
    more = _more(connection, in_show)
    for look, product in places:
        if product in by_product:
            pieces[look].append(_piece(by_product[product], more.get(product, [])))
    return pieces


def _more(connection: Connection, product_ids: Any) -> dict[str, list[View]]:
    """The pictures after the first one, by product, in order."""
    query = select(pictures.c.product_id, pictures.c.name, pictures.c.widths, pictures.c.alt)
    query = query.where(pictures.c.product_id.in_(product_ids), pictures.c.position > 0)
    more: dict[str, list[View]] = {}
    for row in connection.execute(query.order_by(pictures.c.product_id, pictures.c.position)):
        view = View(url_of(row.name, row.widths), row.alt, srcset_of(row.name, row.widths))
        more.setdefault(row.product_id, []).append(view)
    return more


def _piece(rows: Sequence[Row[Any]], more: list[View]) -> Piece:
    first = rows[0]
    return Piece(
        product=first.id,
        title=first.title,
        brand=first.brand,
        blurb=first.blurb,
        picture=first.picture,
        picture_alt=first.picture_alt,
        variants=[
            Variant(
                row.sku,
                _size(row),
                row.colour,
                row.colour_hex,
                Money(row.price_minor, row.currency),
                None if row.was_minor is None else Money(row.was_minor, row.currency),
                row.gtin,
            )
            for row in rows
        ],
        srcset=srcset_of(first.picture_name, first.picture_widths) if first.picture_name else "",
        more=more,
    )


def _size(row: Row[Any]) -> str:
    """What tells one variant from another of its colour: `38`, or `38 · Wool` where there are further options."""
    others = msgspec.json.decode(row.options, type=dict[str, str]).values() if row.options != "{}" else ()
    return " · ".join(part for part in (row.size, *others) if part)


def _insert_product(connection: Connection, product: dict[str, Any], new: Sequence[NewVariant], now: int) -> None:
    same = select(products.c.id).where(products.c.brand_id == product["brand_id"], products.c.slug == product["slug"])
    if connection.execute(same).scalar() is not None:
        raise Conflict("slug_taken", slug=product["slug"])
    taken = connection.execute(select(variants.c.sku).where(variants.c.sku.in_([v.sku for v in new]))).scalars().all()
    if taken:
        raise Conflict("sku_taken", skus=list(taken))
    connection.execute(insert(products).values(product))
    for position, variant in enumerate(new):
        values = msgspec.structs.asdict(variant) | {"product_id": product["id"], "position": position}
        connection.execute(insert(variants).values(values))
        connection.execute(insert(prices).values(sku=variant.sku, price_minor=variant.price_minor, from_ms=now))
