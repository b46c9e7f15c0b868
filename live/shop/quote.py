"""What a bag costs, to where it goes: told before paying, and reckoned again when the order is placed.

Every price is the server's. The buyer agrees to a total; an order that comes to another one is not placed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from live.clock import Clock
from live.errors import EmptyBag, Invalid, NotFound
from live.money import Money
from live.shop import addresses, order_rows, promotions, totals
from live.shop.cart import Carts, KeptLine
from live.shop.contact import Contact
from live.shop.terms import Terms, TermsOfSale
from live.shop.totals import Method, Promotion, Totals
from live.store.sql import Database


class Wishes(msgspec.Struct, frozen=True):
    """What the buyer chose beside where it goes. `shipping`: a method's id, "" takes the cheapest. `agreed_minor`: the
    total she saw; None: none, then a price that changed since the hold is told, not charged."""

    shipping: str = ""
    codes: tuple[str, ...] = ()
    agreed_minor: int | None = None


NO_WISHES = Wishes()


class Way(msgspec.Struct, frozen=True):
    """A way of sending and what it costs this bag."""

    id: str
    name: str
    price: Money
    days_min: int
    days_max: int


class Change(msgspec.Struct, frozen=True):
    """A price that is not what it was when the piece was held."""

    sku: str
    piece: str
    was: Money
    now: Money


class Taken(msgspec.Struct, frozen=True):
    """A code and what it takes off."""

    code: str
    kind: str
    amount: Money


class Quote(msgspec.Struct, frozen=True):
    """`total` is `goods` - `discount` + `shipping`, and + `tax` where it is not included. `tax_bp`: hundredths of a
    percent; "" as `tax_place`: none is charged there. No `ways` at all: it goes free, everywhere."""

    goods: Money
    discount: Money
    shipping: Money
    tax: Money
    tax_included: bool
    tax_bp: int
    tax_place: str
    total: Money
    ways: list[Way]
    way: str
    codes: list[Taken]
    changed: list[Change]


class Priced(msgspec.Struct, frozen=True):
    """An order's total with what it rests on."""

    totals: Totals
    method: Method | None
    codes: list[Promotion]


class Quotes:
    """Reckons bags."""

    def __init__(self, db: Database, terms: Terms, carts: Carts, clock: Clock, secret_key: str) -> None:
        self._db = db
        self._terms = terms
        self._carts = carts
        self._clock = clock
        self._key = secret_key

    async def of_bag(
        self, show_id: str, cart: str, country: str, area: str = "", wishes: Wishes = NO_WISHES, email: str = ""
    ) -> Quote:
        """The bag at today's prices. Without a country it goes to the brand's own.

        Raises: EmptyBag, Invalid (address.country: nothing is sent there; shipping), CodeRefused, NotFound.
        """
        bag = await self._carts.view(show_id, cart)
        held = [line for line in bag.lines if line.state != "lapsed"]
        if not held:
            raise EmptyBag()
        terms = await self._terms.of_show(show_id)
        country = country or terms.country
        if country not in addresses.countries():
            raise Invalid("address.country", "is not a country's two letters")
        at_ms = self._clock.now_ms()
        now = await self._db.read(lambda c: order_rows.prices_now(c, [line.sku for line in held], at_ms))
        for line in held:
            if line.sku not in now:
                raise NotFound("sku", line.sku)
        lines = [(now[line.sku], line.qty) for line in held]
        priced = await self._priced(terms, cart, lines, country, area, wishes, email)

        def money(minor: int) -> Money:
            return Money(minor, terms.currency)

        sums = priced.totals
        ways = totals.methods_to(terms.methods, country)
        after = sums.goods_minor - sums.discount_minor
        free = any(one.kind == "free_shipping" for one in priced.codes)
        return Quote(
            goods=money(sums.goods_minor),
            discount=money(sums.discount_minor),
            shipping=money(sums.shipping_minor),
            tax=money(sums.tax_minor),
            tax_included=sums.tax_included,
            tax_bp=sums.tax_bp,
            tax_place=sums.tax_place,
            total=money(sums.total_minor),
            ways=[
                Way(one.id, one.name, money(0 if free else totals.price_of(one, after)), one.days_min, one.days_max)
                for one in ways
            ],
            way=priced.method.id if priced.method else "",
            codes=[Taken(one.code, one.kind, money(sums.taken.get(one.code, 0))) for one in priced.codes],
            changed=[
                Change(line.sku, line.piece, line.price, money(now[line.sku]))
                for line in held
                if now[line.sku] != line.price.minor
            ],
        )

    async def of_order(
        self, show_id: str, cart: str, contact: Contact, lines: Sequence[tuple[KeptLine, int]], wishes: Wishes
    ) -> Priced:
        """The total of an order of these lines at the prices they have; whoever writes it checks those. Raises:
        Invalid, CodeRefused, NotFound."""
        terms = await self._terms.of_show(show_id)
        amounts = [(line.price.minor, qty) for line, qty in lines]
        address = contact.address
        return await self._priced(terms, cart, amounts, address.country, address.area, wishes, contact.email)

    async def _priced(
        self,
        terms: TermsOfSale,
        cart: str,
        lines: Sequence[tuple[int, int]],
        country: str,
        area: str,
        wishes: Wishes,
        email: str,
    ) -> Priced:
        codes = await self._codes(terms, cart, sum(unit * qty for unit, qty in lines), wishes, email)
        method = _chosen(terms, country, wishes.shipping)
        sums = totals.compute(lines, method=method, codes=codes, tax=terms.tax, country=country, area=area)
        return Priced(sums, method, codes)

    async def _codes(
        self, terms: TermsOfSale, cart: str, goods_minor: int, wishes: Wishes, email: str
    ) -> list[Promotion]:
        if not wishes.codes:
            return []
        now, tag = self._clock.now_ms(), promotions.tag_of(self._key, email) if email else None
        return await self._db.read(
            lambda c: promotions.find(
                c, terms.brand_id, wishes.codes, now=now, buyer=cart, email_tag=tag, goods_minor=goods_minor
            )
        )


def _chosen(terms: TermsOfSale, country: str, wanted: str) -> Method | None:
    """The wanted way, or the cheapest. Raises Invalid."""
    if not terms.methods:
        return None
    ways = totals.methods_to(terms.methods, country)
    if not ways:
        raise Invalid("address.country", "is not a country that anything is sent to")
    if not wanted:
        return ways[0]
    for one in ways:
        if one.id == wanted:
            return one
    raise Invalid("shipping", "is not a way to that country")
