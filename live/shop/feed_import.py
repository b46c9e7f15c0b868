"""Feeds into the catalogue and out of it, a batch at a time: the file is never in memory as a whole.

    report = await FeedImport(db, clock).run(brand, rows, dry_run=True, tell=print)

A batch is one transaction, so an import that is cut short is continued by importing again: what is there already stays
the same. A product's title and text are those of the first row of its group.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from live.clock import Clock
from live.errors import NotFound
from live.ids import new_id
from live.shop.feeds import FeedRow, Parsed, RowError, amount, guarded, slug_of
from live.shop.pricing import PriceSince, struck_through
from live.store.sql import Database
from live.store.tables import brands, prices, products, variants

BATCH = 500
_OWN = ("size", "colour", "gtin", "price_minor", "was_minor", "on_hand")
EXPORT_COLUMNS = (
    "id",
    "title",
    "description",
    "item_group_id",
    "price",
    "sale_price",
    "size",
    "color",
    "gtin",
    "quantity",
    "availability",
)


class Change(msgspec.Struct, frozen=True):
    """What a row does. `fields`: name -> (was, becomes); empty for a new one."""

    line: int
    sku: str
    kind: Literal["new", "changed"]
    fields: dict[str, tuple[Any, Any]] = {}


class Report(msgspec.Struct):
    """Rows counted by what they did."""

    new: int = 0
    changed: int = 0
    same: int = 0
    rejected: int = 0

    @property
    def rows(self) -> int:
        return self.new + self.changed + self.same + self.rejected


class FeedImport:
    """One brand's catalogue from a feed."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def run(
        self,
        brand_id: str,
        rows: Iterable[Parsed],
        *,
        dry_run: bool,
        tell: Callable[[Change | RowError], None] = lambda _: None,
        progress: Callable[[Report], None] = lambda _: None,
    ) -> Report:
        """Compare each row with the catalogue, tell what it does, and do it unless `dry_run`.

        A row that would contradict a sale, the brand's currency or another brand is rejected with its reason.
        Raises: NotFound (brand), Invalid (the file, while it is read), StoreDown.
        """
        currency = await currency_of(self._db, brand_id)
        report, groups = Report(), set[str]()
        stream = iter(rows)
        while batch := list(islice(stream, BATCH)):
            first = _first_of_groups(batch, groups)
            plan = _Plan(brand_id, currency, first, self._clock.now_ms())
            wanted = [row for row in batch if isinstance(row, FeedRow)]
            if dry_run:
                outcomes = await self._db.read(lambda c, w=wanted, p=plan: p.compare(c, w)[0])  # type: ignore[misc]
            else:
                outcomes = await self._db.write(lambda c, w=wanted, p=plan: p.apply(c, w))  # type: ignore[misc]
            for outcome in [row for row in batch if isinstance(row, RowError)] + outcomes:
                if outcome is None:
                    report.same += 1
                    continue
                if isinstance(outcome, RowError):
                    report.rejected += 1
                elif outcome.kind == "new":
                    report.new += 1
                else:
                    report.changed += 1
                tell(outcome)
            progress(report)
        return report


async def currency_of(db: Database, brand_id: str) -> str:
    """What a brand sells in (ISO 4217). Raises NotFound."""
    currency = await db.read(lambda c: c.execute(select(brands.c.currency).where(brands.c.id == brand_id)).scalar())
    if currency is None:
        raise NotFound("brand", brand_id)
    return str(currency)


def _first_of_groups(batch: Sequence[Parsed], groups: set[str]) -> set[str]:
    """SKUs whose rows are the first of their products: their titles count."""
    first = set()
    for row in batch:
        if isinstance(row, FeedRow) and (slug := slug_of(row.group)) not in groups:
            groups.add(slug)
            first.add(row.sku)
    return first


class _Plan:
    """One batch against the catalogue as one transaction sees it."""

    def __init__(self, brand_id: str, currency: str, first: set[str], now: int) -> None:
        self._brand_id = brand_id
        self._currency = currency
        self._first = first
        self._now = now

    def compare(
        self, connection: Connection, rows: Sequence[FeedRow]
    ) -> tuple[list[Change | RowError | None], list[tuple[FeedRow, dict[str, Any]]]]:
        """What each row does (None: nothing), and the rows to be written with their values."""
        skus = [row.sku for row in rows]
        query = select(variants, products.c.title, products.c.blurb, products.c.brand_id).join(products)
        known = {row.sku: row for row in connection.execute(query.where(variants.c.sku.in_(skus)))}
        history: dict[str, list[PriceSince]] = {}
        reduced = [row.sku for row in rows if row.was_minor is not None]
        since = select(prices.c.sku, prices.c.from_ms, prices.c.price_minor).where(prices.c.sku.in_(reduced))
        for sku, from_ms, price_minor in connection.execute(since.order_by(prices.c.from_ms, prices.c.id)):
            history.setdefault(sku, []).append((from_ms, price_minor))
        outcomes: list[Change | RowError | None] = []
        write: list[tuple[FeedRow, dict[str, Any]]] = []
        for row in rows:
            before = known.get(row.sku)
            values = {name: getattr(row, name) for name in _OWN}
            values["was_minor"] = (
                struck_through(history.get(row.sku, ()), row.price_minor, self._now) if row.was_minor else None
            )
            if row.sku in self._first:
                values |= {"title": row.title, "blurb": row.blurb}
            outcome = self._outcome(row, before, values)
            outcomes.append(outcome)
            if isinstance(outcome, Change):
                write.append((row, values | {"is_new": before is None, "fields": outcome.fields}))
        return outcomes, write

    def _outcome(self, row: FeedRow, before: Any, values: dict[str, Any]) -> Change | RowError | None:
        if row.currency != self._currency:
            return RowError(row.line, "price", f"is not in {self._currency}")
        if before is None:
            return Change(row.line, row.sku, "new")
        if before.brand_id != self._brand_id:
            return RowError(row.line, "id", "belongs to another brand")
        if row.on_hand is not None and row.on_hand < before.sold:
            return RowError(row.line, "quantity", f"is below the {before.sold} that were sold")
        changes = {
            name: (getattr(before, name), value)
            for name, value in values.items()
            if value != getattr(before, name) and not (name == "on_hand" and value is None)
        }
        return Change(row.line, row.sku, "changed", changes) if changes else None

    def apply(self, connection: Connection, rows: Sequence[FeedRow]) -> list[Change | RowError | None]:
        """Write what `compare` says."""
        outcomes, write = self.compare(connection, rows)
        new = [(row, values) for row, values in write if values["is_new"]]
        if new:
            of_group = self._products(connection, [row for row, _ in new])
            connection.execute(
                insert(variants),
                [
                    {name: values[name] for name in _OWN}
                    | {"sku": row.sku, "product_id": of_group[slug_of(row.group)], "on_hand": row.on_hand or 0}
                    for row, values in new
                ],
            )
        for row, values in write:
            own = {name: values[name] for name in values["fields"] if name in _OWN}
            if own:
                connection.execute(update(variants).where(variants.c.sku == row.sku).values(own))
            words = {name: values[name] for name in values["fields"] if name in ("title", "blurb")}
            if words:
                of = select(variants.c.product_id).where(variants.c.sku == row.sku).scalar_subquery()
                connection.execute(update(products).where(products.c.id == of).values(words))
        priced = [row for row, values in write if values["is_new"] or "price_minor" in values["fields"]]
        if priced:
            connection.execute(
                insert(prices),
                [{"sku": row.sku, "price_minor": row.price_minor, "from_ms": self._now} for row in priced],
            )
        return outcomes

    def _products(self, connection: Connection, rows: Sequence[FeedRow]) -> dict[str, str]:
        """Slug -> id of the rows' products; those that are missing are made."""
        slugs = {slug_of(row.group): row for row in reversed(rows)}
        query = select(products.c.slug, products.c.id).where(
            products.c.brand_id == self._brand_id, products.c.slug.in_(list(slugs))
        )
        ids = {str(row.slug): str(row.id) for row in connection.execute(query)}
        missing = [
            {
                "id": new_id("pro"),
                "brand_id": self._brand_id,
                "slug": slug,
                "title": row.title,
                "blurb": row.blurb,
                "picture": "",  # the feed's picture is on somebody else's server: nothing is fetched from there
                "picture_alt": row.title,
                "created_ms": self._now,
            }
            for slug, row in slugs.items()
            if slug not in ids
        ]
        if missing:
            connection.execute(insert(products), missing)
        return ids | {str(product["slug"]): str(product["id"]) for product in missing}


async def export(db: Database, brand_id: str) -> AsyncIterator[list[str]]:
    """Google's feed of a brand: the header, then a row a variant, by SKU; cells no spreadsheet runs as formulas.

    What a struck-through price was is the feed's `price`, what is charged its `sale_price`. Raises NotFound.
    """
    currency = await currency_of(db, brand_id)
    yield list(EXPORT_COLUMNS)
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
    reduced = row.was_minor is not None
    yield row.sku
    yield row.title
    yield row.blurb
    yield row.slug
    yield amount(row.was_minor if reduced else row.price_minor, currency)
    yield amount(row.price_minor, currency) if reduced else ""
    yield row.size
    yield row.colour
    yield row.gtin
    yield str(row.on_hand)
    yield "in_stock" if row.on_hand > row.sold else "out_of_stock"
