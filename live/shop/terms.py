"""A brand's terms of sale: taxes and ways of sending, as SQL has them. Read by every checkout, changed by its staff."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update

from chat.rounds import Rounds
from live.clock import Clock
from live.edition import edition_of, same
from live.errors import Invalid, NotFound
from live.ids import new_id
from live.money import Money
from live.shop import taxes
from live.shop.addresses import countries
from live.shop.taxes import Taxes
from live.shop.totals import Method
from live.store.sql import Database
from live.store.tables import brands, shipping_methods, shows

KEPT_S = 2.0  # terms are read this long from memory; the buyer agrees to a total, and pays that or nothing
METHODS_LIMIT = 40
WAYS_LISTED = 200  # with those that are offered no more
# Writes down in the change's transaction: what was changed (its id, its name), what it was and what it is (or None).
Note = Callable[[Connection, str, str, object, object], None]
_ID = re.compile("shm_[0-9a-z]{26}")
NAME_LIMIT = 60
PRICE_MOST, FREE_ABOVE_MOST = 10_000_000, 10_000_000_000  # minor units


class TermsOfSale(msgspec.Struct, frozen=True):
    """What a show's orders are reckoned by. Without any way of sending, sending costs nothing and goes anywhere."""

    brand_id: str
    country: str
    currency: str
    tax: Taxes
    methods: list[Method]


class WayKept(msgspec.Struct, frozen=True):
    """A way of sending as its staff see it, also one that is offered no more."""

    method: Method
    retired_ms: int | None

    @property
    def edition(self) -> str:
        return edition_of(self.method)


class Terms:
    """Reads and writes terms of sale."""

    def __init__(self, db: Database, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._clock = clock
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, TermsOfSale]] = {}
        self._rounds: Rounds[str, TermsOfSale] = Rounds(self._of_shows)  # a rush finds the kept ones too old at once

    async def of_show(self, show_id: str) -> TermsOfSale:
        """The terms of its brand (two seconds old at most). Raises NotFound."""
        kept = self._kept.get(show_id)
        if kept is not None and self._monotonic() - kept[0] < KEPT_S:
            return kept[1]
        return await self._rounds.of(show_id)

    async def _of_shows(self, show_ids: Sequence[str]) -> list[TermsOfSale | Exception]:
        """Read and kept. One that is not there is `NotFound`."""
        asked = dict.fromkeys(show_ids)
        found = await self._db.read(
            lambda c: {one: _read(c, select(shows.c.brand_id).where(shows.c.id == one)) for one in asked}
        )
        if len(self._kept) > 1_000:  # bound: more shows at once than a house has
            self._kept.clear()
        now = self._monotonic()
        self._kept |= {one: (now, terms) for one, terms in found.items() if terms is not None}
        return [found[one] or NotFound("show", one) for one in show_ids]

    async def of_brand(self, brand_id: str) -> TermsOfSale:
        """Raises NotFound."""
        terms = await self._db.read(lambda c: _read(c, select(brands.c.id).where(brands.c.id == brand_id)))
        if terms is None:
            raise NotFound("brand", brand_id)
        return terms

    async def set_tax(self, brand_id: str, tax: Taxes | None, *, also: Note | None = None) -> None:
        """Charge tax so from now on; None: by the country's defaults again. Raises Invalid, NotFound."""
        kept = "" if tax is None else msgspec.json.encode(taxes.checked(tax)).decode()

        def write(connection: Connection) -> None:
            of = select(brands.c.country, brands.c.tax).where(brands.c.id == brand_id).with_for_update()
            brand = connection.execute(of).first()
            if brand is None:
                raise NotFound("brand", brand_id)
            connection.execute(update(brands).where(brands.c.id == brand_id).values(tax=kept))
            if also is not None:
                now = taxes.of_brand(kept, brand.country)
                also(connection, brand_id, "tax", taxes.of_brand(brand.tax, brand.country), now)

        await self._db.write(write)
        self._kept.clear()

    async def set_rates(
        self,
        brand_id: str,
        rates: Mapping[str, int | None],
        *,
        included: bool | None = None,
        also: Note | None = None,
    ) -> Taxes:
        """Change some rates (None: charge none there) and leave the others; what the brand charges now. Two of the
        staff at once change what each of them named. Raises Invalid, NotFound."""

        def write(connection: Connection) -> Taxes:
            of = select(brands.c.country, brands.c.tax).where(brands.c.id == brand_id).with_for_update()
            brand = connection.execute(of).first()
            if brand is None:
                raise NotFound("brand", brand_id)
            now = taxes.of_brand(brand.tax, brand.country)
            for place in rates:
                known = taxes.PLACE.fullmatch(place) and place[:2] in countries()
                if not known and place not in now.rates:  # nothing is ever sent there
                    raise Invalid(place, "is not a country like DE (GB, not UK) or an area like CA-ON")
            kept = {place: rate for place, rate in {**now.rates, **rates}.items() if rate is not None}
            tax = taxes.checked(Taxes(now.included if included is None else included, kept))
            row = {"tax": msgspec.json.encode(tax).decode()}
            connection.execute(update(brands).where(brands.c.id == brand_id).values(row))
            if also is not None:
                also(connection, brand_id, "tax", now, tax)
            return tax

        tax = await self._db.write(write)
        self._kept.clear()
        return tax

    async def ways(self, brand_id: str) -> list[WayKept]:
        """Every way of sending that the brand has or had, those offered first, in the order they were added."""
        m = shipping_methods.c
        query = select(shipping_methods).where(m.brand_id == brand_id).order_by(m.retired_ms.is_not(None), m.position)
        return await self._db.read(
            lambda c: [WayKept(_method(row), row.retired_ms) for row in c.execute(query.limit(WAYS_LISTED))]
        )

    async def add_method(
        self,
        brand_id: str,
        *,
        name: str,
        places: str,
        price_minor: int,
        free_above_minor: int | None = None,
        days: tuple[int, int] = (2, 5),
        method_id: str = "",
        also: Note | None = None,
    ) -> str:
        """A new way of sending; its id. With a `method_id` of its own the same asked again makes no second one; another
        asked under it (a form that came back by the browser's way back) is another.

        Raises Invalid(field, why).
        """
        if method_id and not _ID.fullmatch(method_id):
            raise Invalid("op", "is no id")

        def write(connection: Connection) -> str:
            currency = _lock(connection, brand_id)  # whoever adds another waits here: their count has this one
            said = _row(name, places, price_minor, free_above_minor, days, currency)
            row = {**said, "id": method_id or new_id("shm"), "brand_id": brand_id, "created_ms": self._clock.now_ms()}
            m = shipping_methods.c
            if connection.execute(select(m.id).where(m.id == row["id"])).first():
                alike = [m[column].is_not_distinct_from(value) for column, value in said.items()]
                known = connection.execute(select(m.id).where(m.brand_id == brand_id, *alike)).scalar()
                if known is not None:
                    return str(known)
                row["id"] = new_id("shm")
            _room_for_one(connection, brand_id)
            last = select(func.max(shipping_methods.c.position)).where(shipping_methods.c.brand_id == brand_id)
            row["position"] = (connection.execute(last).scalar() or 0) + 1
            connection.execute(insert(shipping_methods).values(row))
            if also is not None:
                also(connection, row["id"], row["name"], None, _said(row))
            return str(row["id"])

        made = await self._db.write(write)
        self._kept.clear()
        return made

    async def change_method(
        self,
        brand_id: str,
        method_id: str,
        *,
        name: str,
        places: str,
        price_minor: int,
        free_above_minor: int | None,
        days: tuple[int, int],
        edition: str = "",
        also: Note | None = None,
    ) -> None:
        """From now on it is so; a buyer who saw it otherwise is told (`total_changed`). Orders keep what they paid.
        `edition` is the one that the change was made from (`WayKept.edition`).

        Raises Invalid(field, why), NotFound, Edited.
        """

        def write(connection: Connection) -> None:
            row = _row(name, places, price_minor, free_above_minor, days, _lock(connection, brand_id))
            m = shipping_methods.c
            of = (m.id == method_id) & (m.brand_id == brand_id) & m.retired_ms.is_(None)
            now = connection.execute(select(shipping_methods).where(of).with_for_update()).first()
            if now is None:
                raise NotFound("shipping_method", method_id)
            same(edition, _method(now))
            connection.execute(update(shipping_methods).where(of).values(row))
            if also is not None:
                also(connection, method_id, row["name"], _said(now._asdict()), _said(row))

        await self._db.write(write)
        self._kept.clear()

    async def retire_method(self, brand_id: str, method_id: str, *, also: Note | None = None) -> None:
        """Offer it no more. Orders that chose it keep its name. Raises NotFound."""
        await self._set(brand_id, method_id, also, retired_ms=self._clock.now_ms())

    async def restore_method(self, brand_id: str, method_id: str, *, also: Note | None = None) -> None:
        """Offer it again. Raises Invalid (too many), NotFound (also where it is offered)."""
        await self._set(brand_id, method_id, also, offered=False, retired_ms=None)

    async def _set(
        self, brand_id: str, method_id: str, also: Note | None, *, offered: bool = True, **values: Any
    ) -> None:
        m = shipping_methods.c
        of = (m.id == method_id) & (m.brand_id == brand_id) & (m.retired_ms.is_(None) if offered else m.retired_ms > 0)

        def write(connection: Connection) -> int:
            if not offered:
                _lock(connection, brand_id)
                _room_for_one(connection, brand_id)
            changed = connection.execute(update(shipping_methods).where(of).values(values)).rowcount
            if changed and also is not None:
                way = connection.execute(select(shipping_methods).where(m.id == method_id)).one()._asdict()
                also(connection, method_id, way["name"], *((_said(way), None) if offered else (None, _said(way))))
            return changed

        if not await self._db.write(write):
            raise NotFound("shipping_method", method_id)
        self._kept.clear()


def _lock(connection: Connection, brand_id: str) -> str:
    """The brand's currency. Until the transaction ends nobody else adds or changes a way of its. Raises NotFound."""
    query = select(brands.c.currency).where(brands.c.id == brand_id).with_for_update()
    currency = connection.execute(query).scalar()
    if currency is None:
        raise NotFound("brand", brand_id)
    return str(currency)


def _room_for_one(connection: Connection, brand_id: str) -> None:
    """Raises Invalid."""
    living = (shipping_methods.c.brand_id == brand_id) & shipping_methods.c.retired_ms.is_(None)
    if connection.execute(select(func.count()).where(living)).scalar_one() >= METHODS_LIMIT:
        raise Invalid("name", f"is one more than the {METHODS_LIMIT} that a brand may have")


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
    methods = [_method(row) for row in ways]
    return TermsOfSale(brand.id, brand.country, brand.currency, taxes.of_brand(brand.tax, brand.country), methods)


def _method(row: Row[Any]) -> Method:
    return Method(
        row.id,
        row.name,
        tuple(row.places.split(",")),
        row.price_minor,
        row.free_above_minor,
        row.days_min,
        row.days_max,
    )


def _row(
    name: str, places: str, price_minor: int, free_above_minor: int | None, days: tuple[int, int], currency: str
) -> dict[str, Any]:
    """A way's columns. Raises Invalid(field, why)."""
    row = {
        "name": " ".join(name.split()),
        "places": ",".join(_places(places)),
        "price_minor": price_minor,
        "free_above_minor": free_above_minor,
        "days_min": days[0],
        "days_max": days[1],
    }
    _check(row, currency)
    return row


def _said(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a way."""
    return {name: row[name] for name in ("name", "places", "price_minor", "free_above_minor", "days_min", "days_max")}


def _places(text: str) -> list[str]:
    places = [part.strip().upper() for part in text.split(",") if part.strip()]
    for place in places:
        if place not in countries() and place not in ("EU", "*"):
            raise Invalid("places", f"has {place[:20]}, which is no country, EU or *")
    if not places:
        raise Invalid("places", "names no country; * is everywhere else")
    return list(dict.fromkeys(places))


def _check(row: dict[str, Any], currency: str) -> None:
    if not 1 <= len(row["name"]) <= NAME_LIMIT or not row["name"].isprintable():
        raise Invalid("name", f"must have 1 to {NAME_LIMIT} characters")
    if not 0 <= row["price_minor"] <= PRICE_MOST:
        raise Invalid("price", f"must be 0 or more, and at most {Money(PRICE_MOST, currency).words()}")
    if row["free_above_minor"] is not None and not 0 <= row["free_above_minor"] <= FREE_ABOVE_MOST:
        raise Invalid("free_above", f"must be 0 or more, and at most {Money(FREE_ABOVE_MOST, currency).words()}")
    if not 0 <= row["days_min"] <= row["days_max"] <= 365:
        raise Invalid("days", "must be like 2-5, at most 365")
