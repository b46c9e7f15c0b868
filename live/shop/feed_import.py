"""Feeds into the catalogue and out of it, a batch at a time: the file is never in memory as a whole.

    report = await FeedImport(db, clock).run(brand, rows, dry_run=True, tell=print)

A batch is one transaction, so an import that is cut short is continued by importing again: what is there already stays
the same. A product's title and text are those of the first row of its group. Rows are read on a thread, and written by
statements that are prepared once: a show on air must not feel that its catalogue is being brought in.
Source: docs/decisions/0101-an-import-is-a-row-that-beats.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from live.clock import Clock
from live.errors import NotFound
from live.ids import new_id
from live.shop.charged import ADD_PRICE, FORGET_PLANNED, history, sale_of
from live.shop.feeds import FeedRow, Parsed, RowError, json_of, slug_of
from live.shop.pricing import PriceSince, schedule, struck_through, struck_through_in
from live.store.sql import Database
from live.store.statements import Statement
from live.store.tables import brands, products, variants

BATCH = 500  # rows: a transaction that holds the store's one writer for less than a tenth of a second
_OWN = (
    "size",
    "colour",
    "gtin",
    "options",
    "price_minor",
    "was_minor",
    "sale_minor",
    "sale_from_ms",
    "sale_until_ms",
    "sale_was_minor",
    "on_hand",
)
_PRICED = frozenset({"price_minor", "sale_minor", "sale_from_ms", "sale_until_ms"})
_PRODUCT = ("id", "brand_id", "slug", "title", "blurb", "picture", "picture_alt", "created_ms")
_ADD_VARIANT = Statement(
    insert(variants)
    .inline()
    .values({name: bindparam(name) for name in (*_OWN, "sku", "product_id", "position", "colour_hex", "sold")})
)
_SET_VARIANT = Statement(
    update(variants).where(variants.c.sku == bindparam("of")).values({name: bindparam(name) for name in _OWN})
)
_ADD_PRODUCT = Statement(insert(products).inline().values({name: bindparam(name) for name in _PRODUCT}))
_SET_WORDS = Statement(
    update(products).where(products.c.id == bindparam("of")).values(title=bindparam("title"), blurb=bindparam("blurb"))
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
        progress: Callable[[Report], Awaitable[None] | None] = lambda _: None,
        wrote: Callable[[list[str]], Awaitable[None]] | None = None,
    ) -> Report:
        """Compare each row with the catalogue, tell what it does, and do it unless `dry_run`.

        A row that would contradict a sale, the brand's currency or another brand is rejected with its reason. After
        each batch that is on disk `wrote` gets its SKUs, so that open pages hear while the rest is still being read.
        Raises: NotFound (brand), Invalid (the file, while it is read), StoreDown.
        """
        currency = await currency_of(self._db, brand_id)
        report, groups = Report(), set[str]()
        stream = iter(rows)
        while batch := await asyncio.to_thread(_next_batch, stream):
            plan = _Plan(brand_id, currency, batch, groups, self._clock.now_ms())
            outcomes = await (self._db.read(plan.compare) if dry_run else self._db.write(plan.apply))
            changed = []
            for outcome in [row for row in batch if isinstance(row, RowError)] + outcomes:
                if outcome is None:
                    report.same += 1
                    continue
                if isinstance(outcome, RowError):
                    report.rejected += 1
                else:
                    changed.append(outcome.sku)
                    if outcome.kind == "new":
                        report.new += 1
                    else:
                        report.changed += 1
                tell(outcome)
            if wrote is not None and changed and not dry_run:
                await wrote(changed)
            told = progress(report)
            if told is not None:
                await told
        return report


def _next_batch(stream: Iterator[Parsed]) -> list[Parsed]:
    return list(islice(stream, BATCH))


async def currency_of(db: Database, brand_id: str) -> str:
    """What a brand sells in (ISO 4217). Raises NotFound."""
    currency = await db.read(lambda c: c.execute(select(brands.c.currency).where(brands.c.id == brand_id)).scalar())
    if currency is None:
        raise NotFound("brand", brand_id)
    return str(currency)


class _Plan:
    """One batch against the catalogue as one transaction sees it."""

    def __init__(self, brand_id: str, currency: str, batch: Sequence[Parsed], groups: set[str], now: int) -> None:
        self._brand_id = brand_id
        self._currency = currency
        self._now = now
        self._rows = [(row, slug_of(row.group)) for row in batch if isinstance(row, FeedRow)]
        self._first: set[str] = set()  # SKUs whose rows are the first of their products: their titles count
        for row, slug in self._rows:
            if slug not in groups:
                groups.add(slug)
                self._first.add(row.sku)

    def compare(self, connection: Connection) -> list[Change | RowError | None]:
        """What each row does; None: nothing."""
        return [outcome for _, _, _, outcome, _ in self._compared(connection)]

    def apply(self, connection: Connection) -> list[Change | RowError | None]:
        """Write what `compare` says."""
        compared = self._compared(connection, lock=True)
        todo = [entry for entry in compared if isinstance(entry[3], Change)]
        new = [(row, slug, values) for row, slug, before, _, values in todo if before is None]
        if new:
            of_group = self._products(connection, new)
            _ADD_VARIANT.run_each(
                connection,
                [
                    {
                        **dict(zip(_OWN, values, strict=True)),
                        "sku": row.sku,
                        "product_id": of_group[slug],
                        "position": row.line,
                        "colour_hex": "",
                        "sold": 0,
                    }
                    for row, slug, values in new
                ],
            )
        known = [(row, before, change, values) for row, _, before, change, values in todo if before is not None]
        _SET_VARIANT.run_each(
            connection,
            [
                {**dict(zip(_OWN, values, strict=True)), "of": row.sku}
                for row, _, change, values in known
                if not change.fields.keys() <= {"title", "blurb"}
            ],
        )
        _SET_WORDS.run_each(
            connection,
            [
                {"of": before.product_id, "title": row.title, "blurb": row.blurb}
                for row, before, change, _ in known
                if not change.fields.keys().isdisjoint(("title", "blurb"))
            ],
        )
        self._write_prices(connection, [(row, None) for row, _, _ in new])
        self._write_prices(
            connection, [(row, before) for row, before, change, _ in known if not _PRICED.isdisjoint(change.fields)]
        )
        return [outcome for _, _, _, outcome, _ in compared]

    def _compared(self, connection: Connection, *, lock: bool = False) -> list[tuple[Any, ...]]:
        """(row, slug, what is known of its SKU, outcome, values in the order of _OWN) of each row."""
        query = select(variants, products.c.title, products.c.blurb, products.c.brand_id).join(products)
        query = query.where(variants.c.sku.in_([row.sku for row, _ in self._rows]))
        # PostgreSQL: units that a till takes off meanwhile must not come back. SQLite's writer is alone.
        known = {row.sku: row for row in connection.execute(query.with_for_update(of=variants) if lock else query)}
        reduced = [row.sku for row, _ in self._rows if row.was_minor is not None or row.sale is not None]
        charged = history(connection, [sku for sku in reduced if sku in known], self._now)
        return [self._compare(row, slug, known.get(row.sku), charged.get(row.sku, ())) for row, slug in self._rows]

    def _compare(self, row: FeedRow, slug: str, before: Any, charged: Sequence[PriceSince]) -> tuple[Any, ...]:
        sale = row.sale if row.sale is not None and row.sale.until_ms > self._now else None
        on_hand = row.on_hand
        if on_hand is None:
            on_hand = 0 if before is None else before.sold if row.sold_out else before.on_hand
        values = (
            row.size,
            row.colour,
            row.gtin,
            json_of(row.options) if row.options else "{}",
            row.price_minor,
            struck_through(charged, row.price_minor, self._now) if row.was_minor is not None else None,
            *((sale.minor, sale.from_ms, sale.until_ms) if sale else (None, None, None)),
            struck_through_in(charged, row.price_minor, sale, self._now) if sale else None,
            on_hand,
        )
        return row, slug, before, self._outcome(row, before, values), values

    def _outcome(self, row: FeedRow, before: Any, values: tuple[Any, ...]) -> Change | RowError | None:
        if row.currency != self._currency:
            return RowError(row.line, "price", f"is not in {self._currency}")
        if before is None:
            return Change(row.line, row.sku, "new")
        if before.brand_id != self._brand_id:
            return RowError(row.line, "id", "belongs to another brand")
        if row.on_hand is not None and row.on_hand < before.sold:
            return RowError(row.line, "quantity", f"is below the {before.sold} that were sold")
        was = before._mapping
        changes = {name: (was[name], value) for name, value in zip(_OWN, values, strict=True) if was[name] != value}
        if row.sku in self._first:
            changes |= {
                name: (was[name], value)
                for name, value in (("title", row.title), ("blurb", row.blurb))
                if was[name] != value
            }
        return Change(row.line, row.sku, "changed", changes) if changes else None

    def _write_prices(self, connection: Connection, rows: Sequence[tuple[FeedRow, Any]]) -> None:
        """The history from now on, of rows whose price or sale changed; what was planned before is planned no more."""
        planned = [row.sku for row, before in rows if before is not None and sale_of(before) is not None]
        FORGET_PLANNED.run_each(connection, [{"of": sku, "now": self._now} for sku in planned])
        charged = history(connection, [row.sku for row, before in rows if before is not None], self._now)
        turns = []
        for row, _ in rows:
            ahead = schedule(row.price_minor, row.sale, self._now)
            last = charged.get(row.sku)
            if last and last[-1][1] == ahead[0][1]:
                ahead = ahead[1:]  # as before: a reduction that goes on began when it began
            turns += [{"sku": row.sku, "price_minor": minor, "from_ms": at_ms} for at_ms, minor in ahead]
        ADD_PRICE.run_each(connection, turns)

    def _products(self, connection: Connection, rows: Sequence[tuple[FeedRow, str, Any]]) -> dict[str, str]:
        """Slug -> id of the rows' products; those that are missing are made."""
        slugs = {slug: row for row, slug, _ in reversed(rows)}
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
        _ADD_PRODUCT.run_each(connection, missing)
        return ids | {str(product["slug"]): str(product["id"]) for product in missing}
