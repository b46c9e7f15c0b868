"""A brand's terms of sale: taxes and ways of sending, as SQL has them. Read by every checkout, changed by its staff."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from live.clock import Clock
from live.errors import Invalid, NotFound
from live.ids import new_id
from live.shop import taxes
from live.shop.addresses import countries
from live.shop.taxes import Taxes
from live.shop.totals import Method
from live.store.sql import Database
from live.store.tables import brands, shipping_methods, shows

KEPT_S = 2.0  # terms are read this long from memory; the buyer agrees to a total, and pays that or nothing
METHODS_LIMIT = 40
NAME_LIMIT = 60


class TermsOfSale(msgspec.Struct, frozen=True):
    """What a show's orders are reckoned by. Without any way of sending, sending costs nothing and goes anywhere."""

    brand_id: str
    country: str
    currency: str
    tax: Taxes
    methods: list[Method]


class Terms:
    """Reads and writes terms of sale."""

    def __init__(self, db: Database, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._clock = clock
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, TermsOfSale]] = {}

    async def of_show(self, show_id: str) -> TermsOfSale:
        """The terms of its brand (two seconds old at most). Raises NotFound."""
        kept = self._kept.get(show_id)
        if kept is not None and self._monotonic() - kept[0] < KEPT_S:
            return kept[1]
        terms = await self._db.read(lambda c: _read(c, select(shows.c.brand_id).where(shows.c.id == show_id)))
        if terms is None:
            raise NotFound("show", show_id)
        if len(self._kept) > 1_000:  # bound: more shows at once than a house has
            self._kept.clear()
        self._kept[show_id] = (self._monotonic(), terms)
        return terms

    async def of_brand(self, brand_id: str) -> TermsOfSale:
        """Raises NotFound."""
        terms = await self._db.read(lambda c: _read(c, select(brands.c.id).where(brands.c.id == brand_id)))
        if terms is None:
            raise NotFound("brand", brand_id)
        return terms

    async def set_tax(self, brand_id: str, tax: Taxes | None) -> None:
        """Charge tax so from now on; None: by the country's defaults again. Raises Invalid, NotFound."""
        kept = "" if tax is None else msgspec.json.encode(taxes.checked(tax)).decode()
        changed = await self._db.write(
            lambda c: c.execute(update(brands).where(brands.c.id == brand_id).values(tax=kept)).rowcount
        )
        if not changed:
            raise NotFound("brand", brand_id)
        self._kept.clear()

    async def add_method(
        self,
        brand_id: str,
        *,
        name: str,
        places: str,
        price_minor: int,
        free_above_minor: int | None = None,
        days: tuple[int, int] = (2, 5),
    ) -> str:
        """A new way of sending; its id. Raises Invalid(field, why)."""
        row = {
            "id": new_id("shm"),
            "brand_id": brand_id,
            "name": " ".join(name.split()),
            "places": ",".join(_places(places)),
            "price_minor": price_minor,
            "free_above_minor": free_above_minor,
            "days_min": days[0],
            "days_max": days[1],
            "created_ms": self._clock.now_ms(),
        }
        _check(row)

        def write(connection: Connection) -> None:
            living = (shipping_methods.c.brand_id == brand_id) & shipping_methods.c.retired_ms.is_(None)
            count, last = connection.execute(
                select(func.count(), func.max(shipping_methods.c.position)).where(living)
            ).one()
            if count >= METHODS_LIMIT:
                raise Invalid("name", f"is one more than the {METHODS_LIMIT} that a brand may have")
            connection.execute(insert(shipping_methods).values(row | {"position": (last or 0) + 1}))

        await self._db.write(write)
        self._kept.clear()
        return str(row["id"])

    async def retire_method(self, brand_id: str, method_id: str) -> None:
        """Offer it no more. Orders that chose it keep its name. Raises NotFound."""
        of = (shipping_methods.c.id == method_id) & (shipping_methods.c.brand_id == brand_id)
        changed = await self._db.write(
            lambda c: (
                c.execute(
                    update(shipping_methods)
                    .where(of, shipping_methods.c.retired_ms.is_(None))
                    .values(retired_ms=self._clock.now_ms())
                ).rowcount
            )
        )
        if not changed:
            raise NotFound("shipping_method", method_id)
        self._kept.clear()


def _read(connection: Connection, of: Any) -> TermsOfSale | None:
    brand = connection.execute(
        select(brands.c.id, brands.c.country, brands.c.currency, brands.c.tax).where(brands.c.id.in_(of))
    ).first()
    if brand is None:
        return None
    ways = connection.execute(
        select(shipping_methods)
        .where(shipping_methods.c.brand_id == brand.id, shipping_methods.c.retired_ms.is_(None))
        .order_by(shipping_methods.c.position)
    )
    methods = [
        Method(
            row.id,
            row.name,
            tuple(row.places.split(",")),
            row.price_minor,
            row.free_above_minor,
            row.days_min,
            row.days_max,
        )
        for row in ways
    ]
    return TermsOfSale(brand.id, brand.country, brand.currency, taxes.of_brand(brand.tax, brand.country), methods)


def _places(text: str) -> list[str]:
    places = [part.strip().upper() for part in text.split(",") if part.strip()]
    for place in places:
        if place not in countries() and place not in ("EU", "*"):
            raise Invalid("places", f"has {place[:20]}, which is no country, EU or *")
    if not places:
        raise Invalid("places", "names no country; * is everywhere else")
    return list(dict.fromkeys(places))


def _check(row: dict[str, Any]) -> None:
    if not 1 <= len(row["name"]) <= NAME_LIMIT or not row["name"].isprintable():
        raise Invalid("name", f"must have 1 to {NAME_LIMIT} characters")
    if not 0 <= row["price_minor"] <= 10_000_000:
        raise Invalid("price", "must be 0 or more")
    if row["free_above_minor"] is not None and not 0 <= row["free_above_minor"] <= 10_000_000_000:
        raise Invalid("free_above", "must be 0 or more")
    if not 0 <= row["days_min"] <= row["days_max"] <= 365:
        raise Invalid("days", "must be like 2-5, at most 365")
