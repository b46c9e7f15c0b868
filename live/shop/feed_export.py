"""The catalogue as files that other systems take: Google's feed, Shopify's product CSV. `feeds` reads both back, and
finds nothing changed.

What Shopify's columns can't hold (a sale with dates, a fourth option) stands in columns of Google's names, which
Shopify leaves alone. A text's line breaks are kept by neither. Cells are guarded: no spreadsheet runs one as a formula.
Sources: as in feeds.py
"""

from __future__ import annotations

import html
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal

import msgspec
from sqlalchemy import bindparam, select

from live.money import Money
from live.shop.charged import sale_of
from live.shop.feed_import import BATCH, currency_of
from live.shop.feeds import amount, guarded, json_of, window
from live.store.sql import Database
from live.store.tables import products, variants

_GOOGLE = (
    "id",
    "title",
    "description",
    "item_group_id",
    "price",
    "sale_price",
    "sale_price_effective_date",
    "size",
    "color",
    "material",
    "pattern",
    "options",
    "gtin",
    "quantity",
    "availability",
)
_SHOPIFY = (
    "Handle",
    "Title",
    "Body (HTML)",
    "Published",
    *(f"Option{n} {part}" for n in (1, 2, 3) for part in ("Name", "Value")),
    "Variant SKU",
    "Variant Inventory Tracker",
    "Variant Inventory Qty",
    "Variant Inventory Policy",
    "Variant Fulfillment Service",
    "Variant Price",
    "Variant Compare At Price",
    "Variant Barcode",
    "Status",
    "sale_price",
    "sale_price_effective_date",
    "options",
)
PRODUCTS_AT_ONCE = 100
Format = Literal["google", "shopify"]


async def google(db: Database, brand_id: str) -> AsyncIterator[list[str]]:
    """Google's feed of a brand: the header, then a row a variant, by SKU; cells no spreadsheet runs as formulas.

    What a struck-through price was is the feed's `price`, what is charged its `sale_price`. Raises NotFound.
    """
    currency = await currency_of(db, brand_id)
    yield list(_GOOGLE)
    query = (
        select(variants, products.c.title, products.c.blurb, products.c.slug)
        .join(products)
        .where(products.c.brand_id == brand_id, variants.c.sku > bindparam("after"))
        .order_by(variants.c.sku)
        .limit(BATCH)
    )
    after = ""
    while rows := await db.read(lambda c, after=after: c.execute(query, {"after": after}).all()):  # type: ignore[misc]
        for row in rows:
            yield [guarded(" ".join(cell.split())) for cell in _cells(row, currency)]
        after = rows[-1].sku


def _cells(row: Any, currency: str) -> Iterator[str]:
    sale, options = sale_of(row), msgspec.json.decode(row.options, type=dict[str, str])
    price_minor, sale_minor = row.price_minor, None if sale is None else sale.minor
    if sale is None and row.was_minor is not None:
        price_minor, sale_minor = row.was_minor, row.price_minor
    yield row.sku
    yield row.title
    yield row.blurb
    yield row.slug
    yield amount(price_minor, currency)
    yield amount(sale_minor, currency) if sale_minor is not None else ""
    yield window(sale) if sale is not None else ""
    yield row.size
    yield row.colour
    yield options.get("Material", "")
    yield options.get("Pattern", "")
    yield json_of(options) if options.keys() - {"Material", "Pattern"} else ""
    yield row.gtin
    yield str(row.on_hand)
    yield "in_stock" if row.on_hand > row.sold else "out_of_stock"


async def shopify(db: Database, brand_id: str) -> AsyncIterator[list[str]]:
    """Shopify's product CSV: the header, then the variants of one product after the other. Raises NotFound."""
    currency = await currency_of(db, brand_id)
    yield list(_SHOPIFY)
    some = (
        select(products.c.slug)
        .where(products.c.brand_id == brand_id, products.c.slug > bindparam("after"))
        .order_by(products.c.slug)
        .limit(PRODUCTS_AT_ONCE)
    )
    query = (
        select(variants, products.c.title, products.c.blurb, products.c.slug)
        .join(products)
        .where(products.c.brand_id == brand_id, products.c.slug.in_(some))
        .order_by(products.c.slug, variants.c.position, variants.c.sku)
    )
    after = ""
    while True:
        slugs, rows = await db.read(
            lambda c, after=after: (  # type: ignore[misc]
                list(c.execute(some, {"after": after}).scalars()),
                c.execute(query, {"after": after}).all(),
            )
        )
        if not slugs:
            return
        by_product: dict[str, list[Any]] = {}
        for row in rows:
            by_product.setdefault(row.slug, []).append(row)
        for kin in by_product.values():
            names = _option_names(kin)
            for row in kin:
                yield [guarded(" ".join(cell.split())) for cell in _shopify_cells(row, names, currency)]
        after = slugs[-1]


EXPORTS: dict[Format, Callable[[Database, str], AsyncIterator[list[str]]]] = {"google": google, "shopify": shopify}


def _shopify_cells(row: Any, names: list[str], currency: str) -> Iterator[str]:
    sale, options = sale_of(row), _options(row)
    yield row.slug
    yield row.title
    yield html.escape(row.blurb, quote=False)
    yield "FALSE"  # what is for sale where is decided there, not by a file from here
    for n in range(3):
        yield names[n] if n < len(names) else "" if n else "Title"
        yield options.get(names[n], "") if n < len(names) else "" if n else "Default Title"  # Shopify's word for none
    yield row.sku
    yield "shopify"
    yield str(row.on_hand)
    yield "deny"
    yield "manual"
    yield Money(row.price_minor, currency).plain()
    yield Money(row.was_minor, currency).plain() if sale is None and row.was_minor is not None else ""
    yield row.gtin
    yield "draft"
    yield Money(sale.minor, currency).plain() if sale is not None else ""
    yield window(sale) if sale is not None else ""
    rest = {name: value for name, value in options.items() if name not in names[:3]}
    yield json_of(rest) if rest else ""


def _options(row: Any) -> dict[str, str]:
    """All that tells a variant from its kin, by Shopify's names."""
    own = {"Size": row.size, "Color": row.colour, **msgspec.json.decode(row.options, type=dict[str, str])}
    return {name: value for name, value in own.items() if value}


def _option_names(kin: list[Any]) -> list[str]:
    """A product's options, each once: Shopify names them for all of its variants alike."""
    return list(dict.fromkeys(name for row in kin for name in _options(row)))
