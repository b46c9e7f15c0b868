"""Google's product feed, tab-separated: read, compared with the catalogue, and only then written.

    rows, errors = parse(text)            # pure: each rejected row with its line, column and reason
    diff = await feeds.plan(brand, rows)  # the dry run
    await feeds.apply(brand, rows)        # the same diff, written in one transaction; again: nothing changes

Columns: id, title, price (`129.00 EUR`) are needed; item_group_id, description, image_link, sale_price, size, color,
gtin, availability and `quantity` (units on hand) are taken. Rows of one item_group_id are one product.
Source: support.google.com/merchants/answer/7052112
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from babel.numbers import get_currency_precision
from sqlalchemy import Connection, insert, select, update

from live.clock import Clock
from live.errors import Invalid, NotFound
from live.ids import new_id
from live.store.sql import Database
from live.store.tables import brands, prices, products, variants

NEEDED = ("id", "title", "price")
LIMITS = {"id": 64, "title": 150, "description": 5000}
ROWS_MAX = 100_000
_FIELDS = ("size", "colour", "gtin", "price_minor", "was_minor", "on_hand")


class FeedRow(msgspec.Struct, frozen=True):
    """A variant as the feed has it. `on_hand` None: the feed does not count, what is known stays."""

    line: int
    sku: str
    group: str
    title: str
    blurb: str
    picture: str
    size: str
    colour: str
    gtin: str
    currency: str
    price_minor: int
    was_minor: int | None
    on_hand: int | None


class RowError(msgspec.Struct, frozen=True):
    """Why a row was left out. `line` counts from 1, the header's."""

    line: int
    column: str
    why: str


class Diff(msgspec.Struct, frozen=True):
    """What an import does: SKUs that are new, that change (with what: field -> (was, becomes)), that stay."""

    new: list[str]
    changed: dict[str, dict[str, tuple[Any, Any]]]
    same: list[str]
    errors: list[RowError]


def parse(text: str) -> tuple[list[FeedRow], list[RowError]]:
    """Rows that can be imported, and those that can't. Raises Invalid when the feed has no such header."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter="\t")
    header = [name.strip().lower().removeprefix("g:").replace(" ", "_") for name in next(reader, [])]
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise Invalid("header", f"lacks {', '.join(missing)}")
    rows: list[FeedRow] = []
    errors: list[RowError] = []
    seen: set[str] = set()
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(rows) + len(errors) >= ROWS_MAX:
            raise Invalid("rows", f"are more than {ROWS_MAX}")
        values = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        row = _row(reader.line_num, values)
        if isinstance(row, FeedRow) and row.sku in seen:
            row = RowError(reader.line_num, "id", "came before")
        if isinstance(row, RowError):
            errors.append(row)
        else:
            seen.add(row.sku)
            rows.append(row)
    return rows, errors


def _row(line: int, values: dict[str, str]) -> FeedRow | RowError:
    for column in NEEDED:
        if not values.get(column):
            return RowError(line, column, "is missing")
    for column, limit in LIMITS.items():
        if len(values.get(column, "")) > limit:
            return RowError(line, column, f"has more than {limit} characters")
    if "|" in values["id"] or not values["id"].isprintable():
        return RowError(line, "id", "has a character that a SKU can't have")
    price = _money(values["price"])
    if price is None:
        return RowError(line, "price", "is not an amount and a currency, like 129.00 EUR")
    sale = _money(values["sale_price"]) if values.get("sale_price") else price
    if sale is None or sale[1] != price[1]:
        return RowError(line, "sale_price", "is not an amount in the price's currency")
    counted = values.get("quantity", "")
    if counted and not (counted.isascii() and counted.isdigit() and int(counted) <= 10_000_000):
        return RowError(line, "quantity", "is not a number of units")
    on_hand = int(counted) if counted else None
    if values.get("availability", "").replace(" ", "_") == "out_of_stock":
        on_hand = 0
    return FeedRow(
        line=line,
        sku=values["id"],
        group=values.get("item_group_id") or values["id"],
        title=values["title"],
        blurb=values.get("description", ""),
        picture=values.get("image_link", ""),
        size=values.get("size", ""),
        colour=values.get("color", "") or values.get("colour", ""),
        gtin=values.get("gtin", ""),
        currency=price[1],
        price_minor=sale[0],
        was_minor=price[0] if sale[0] < price[0] else None,
        on_hand=on_hand,
    )


def _money(text: str) -> tuple[int, str] | None:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?) ?([A-Z]{3})", text)
    if match is None:
        return None
    try:
        minor = Decimal(match[1]).scaleb(get_currency_precision(match[2]))
    except InvalidOperation:
        return None
    return (int(minor), match[2]) if minor == minor.to_integral_value() else None


class Feeds:
    """Imports into one brand's catalogue."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def plan(self, brand_id: str, rows: Sequence[FeedRow]) -> Diff:
        """What `apply` would do. Raises NotFound (brand)."""
        return await self._db.read(lambda c: _diff(c, brand_id, rows))

    async def apply(self, brand_id: str, rows: Sequence[FeedRow]) -> Diff:
        """Write it, and answer what was done. Rows that would contradict a sale are left out with a reason."""
        now = self._clock.now_ms()

        def write(connection: Connection) -> Diff:
            diff = _diff(connection, brand_id, rows)
            left_out = {error.line for error in diff.errors}
            for row in rows:
                if row.line not in left_out:
                    _write(connection, brand_id, row, row.sku in diff.new, diff.changed.get(row.sku, {}), now)
            return diff

        return await self._db.write(write)


def _diff(connection: Connection, brand_id: str, rows: Sequence[FeedRow]) -> Diff:
    currency = connection.execute(select(brands.c.currency).where(brands.c.id == brand_id)).scalar()
    if currency is None:
        raise NotFound("brand", brand_id)
    known: dict[str, Any] = {}
    for start in range(0, len(rows), 500):
        some = [row.sku for row in rows[start : start + 500]]
        query = select(variants, products.c.title, products.c.brand_id).join(products).where(variants.c.sku.in_(some))
        known |= {row.sku: row for row in connection.execute(query)}
    diff = Diff([], {}, [], [])
    for row in rows:
        before = known.get(row.sku)
        if row.currency != currency:
            diff.errors.append(RowError(row.line, "price", f"is not in {currency}"))
        elif before is None:
            diff.new.append(row.sku)
        elif before.brand_id != brand_id:
            diff.errors.append(RowError(row.line, "id", "belongs to another brand"))
        elif row.on_hand is not None and row.on_hand < before.sold:
            diff.errors.append(RowError(row.line, "quantity", f"is below the {before.sold} that were sold"))
        else:
            values = {"title": row.title} | {name: getattr(row, name) for name in _FIELDS}
            changes = {
                name: (getattr(before, name), value)
                for name, value in values.items()
                if value != getattr(before, name) and not (name == "on_hand" and value is None)
            }
            if changes:
                diff.changed[row.sku] = changes
            else:
                diff.same.append(row.sku)
    return diff


def _write(
    connection: Connection, brand_id: str, row: FeedRow, is_new: bool, changes: dict[str, tuple[Any, Any]], now: int
) -> None:
    if not is_new and not changes:
        return
    if is_new:
        product = _product(connection, brand_id, row, now)
        values: dict[str, Any] = {name: getattr(row, name) for name in _FIELDS}
        values |= {"sku": row.sku, "product_id": product, "on_hand": row.on_hand or 0}
        connection.execute(insert(variants).values(values))
    else:
        own = {name: becomes for name, (_, becomes) in changes.items() if name != "title"}
        if own:
            connection.execute(update(variants).where(variants.c.sku == row.sku).values(own))
        if "title" in changes:
            of = select(variants.c.product_id).where(variants.c.sku == row.sku).scalar_subquery()
            connection.execute(update(products).where(products.c.id == of).values(title=row.title))
    if is_new or "price_minor" in changes:
        connection.execute(insert(prices).values(sku=row.sku, price_minor=row.price_minor, from_ms=now))


def _product(connection: Connection, brand_id: str, row: FeedRow, now: int) -> str:
    slug = _slug(row.group)
    same = select(products.c.id).where(products.c.brand_id == brand_id, products.c.slug == slug)
    known = connection.execute(same).scalar()
    if known is not None:
        return str(known)
    product = new_id("pro")
    connection.execute(
        insert(products).values(
            id=product,
            brand_id=brand_id,
            slug=slug,
            title=row.title,
            blurb=row.blurb,
            picture="",  # the feed's picture is on somebody else's server: it is fetched and re-encoded first
            picture_alt=row.title,
            created_ms=now,
        )
    )
    return product


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "item"
