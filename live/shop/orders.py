"""Orders: what they are called, and reading them as their buyer and the brand's staff see them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, case, func, or_, select

from live.errors import NotFound
from live.events import OrderStatus
from live.ids import ALPHABET, random_letters, signed, unsign
from live.money import Money
from live.shop.order_state import STAYED, WENT_BACK
from live.store.sql import Database
from live.store.tables import brands, disputes, order_lines, orders, payments, refunds, shipment_lines, shipments, shows

_READ_OUT = str.maketrans(ALPHABET, "23456789ABCDEFGHJKLMNPQRSTUVWXYZ")  # nothing that looks like something else


def new_number() -> str:
    """`FR-7K3M-Q2XV`: 40 random bits that people can read out over a telephone."""
    letters = random_letters()[:8].translate(_READ_OUT)
    return f"FR-{letters[:4]}-{letters[4:]}"


def token_of(secret_key: str, order_id: str) -> str:
    """What opens `/orders/{token}`: only we can make it."""
    return signed(secret_key, "order", order_id)


class OrderLine(msgspec.Struct, frozen=True):
    """A line as it was sold, and what became of its units (order_state.Units). `look` and `drop` (of the timeline)
    are what it was held in, `at_ms` is the media time of the tap."""

    sku: str
    qty: int
    unit: Money
    title: str
    size: str
    colour: str
    picture: str
    look: str
    at_ms: int | None = None
    shipped: int = 0
    struck: int = 0
    returned: int = 0
    drop: int | None = None

    @property
    def amount(self) -> Money:
        """What its units cost together, before codes."""
        return self.unit * self.qty


class Shipment(msgspec.Struct, frozen=True):
    """Units that left together: SKU -> how many. `tracking_url` is https or empty."""

    id: str
    carrier: str
    tracking: str
    tracking_url: str
    created_ms: int
    lines: dict[str, int]


class Refund(msgspec.Struct, frozen=True):
    """Money on its way back (`asked`, `accepted`) or gone back (`done`). What was refused or came back is not here:
    its buyer hears of it from the brand."""

    id: str
    amount: Money
    status: str
    created_ms: int
    done_ms: int | None


class Sums(msgspec.Struct, frozen=True):
    """How the total came about: goods - discount + shipping, and + tax where it is not included. `tax_bp`: hundredths
    of a percent; `tax_place`: whose rate, "" where none was taken."""

    goods: Money
    discount: Money
    shipping: Money
    tax: Money
    tax_included: bool
    tax_bp: int
    tax_place: str
    shipping_title: str
    codes: list[str]

    def rows(self) -> list[tuple[str, str]]:
        """The lines above the total, in words; none when the total says it all. static/js/models/quote.js says the
        same."""
        rate = f"{self.tax_bp / 100:g} %"
        rows = []
        if self.discount.minor:
            rows.append((f"Code {', '.join(self.codes)}", f"−{self.discount.words()}"))
        if self.shipping_title:
            price = self.shipping.words() if self.shipping.minor else "Free"
            rows.append((f"Shipping, {self.shipping_title}", price))
        if self.tax_bp:
            rows.append((f"of which VAT {rate}" if self.tax_included else f"Tax {rate}", self.tax.words()))
        return [("Pieces", self.goods.words()), *rows] if rows else []


class Order(msgspec.Struct, frozen=True):
    """An order as its buyer and the brand's staff see it. `payment` is the payment's status, `reason` its trouble."""

    id: str
    number: str
    token: str
    show: str
    show_slug: str
    show_title: str
    brand: str
    buyer: str
    status: OrderStatus
    total: Money
    sums: Sums
    lines: list[OrderLine]
    name: str
    email: str
    address: dict[str, str]
    created_ms: int
    paid_ms: int | None
    payment: str
    payment_ref: str
    reason: str
    refunded: Money | None = None
    shipments: list[Shipment] = []
    refunds: list[Refund] = []


class OrderTally(msgspec.Struct, frozen=True):
    """Orders sold in a show and not cancelled, and what was paid for them less what went back and what lost disputes
    took."""

    orders: int
    revenue: Money


class Orders:
    """Reads orders; checkout writes them."""

    def __init__(self, db: Database, secret_key: str) -> None:
        self._db = db
        self._key = secret_key

    async def by_token(self, token: str) -> Order:
        """The order a link opens. Raises NotFound, for a forged link as for an unknown order."""
        order_id = unsign(self._key, "order", token)
        if order_id is None:
            raise NotFound("order", token[:40])
        return await self.by_id(order_id)

    async def by_id(self, order_id: str) -> Order:
        """Raises NotFound."""
        found = await self._db.read(lambda c: read_orders(c, self._key, QUERY.where(orders.c.id == order_id)))
        if not found:
            raise NotFound("order", order_id)
        return found[0]

    async def of_buyer(self, show_id: str, buyer: str) -> list[Order]:
        """A person's orders in a show, newest first; 50 at most."""
        query = QUERY.where(orders.c.show_id == show_id, orders.c.buyer == buyer)
        return await self._db.read(
            lambda c: read_orders(c, self._key, query.order_by(orders.c.created_ms.desc()).limit(50))
        )

    async def of_show(self, show_id: str, *, before_ms: int | None = None, limit: int = 50) -> list[Order]:
        """A show's orders, newest first, for staff; page on with the last one's `created_ms`."""
        query = QUERY.where(orders.c.show_id == show_id)
        if before_ms is not None:
            query = query.where(orders.c.created_ms < before_ms)
        query = query.order_by(orders.c.created_ms.desc()).limit(min(limit, 200))
        return await self._db.read(lambda c: read_orders(c, self._key, query))

    async def since(
        self,
        *,
        brands_of: Collection[str],
        shows_of: Collection[str],
        since_ms: int,
        after: tuple[int, str],
        status: str | None,
        limit: int,
    ) -> list[Order]:
        """Orders of these brands and shows placed from `since_ms` on, the first first; `after` is the last one's
        (created_ms, id) of the page before."""
        placed, order_id = after
        query = QUERY.where(
            or_(shows.c.brand_id.in_(brands_of), orders.c.show_id.in_(shows_of)),
            orders.c.created_ms >= max(since_ms, placed),
            or_(orders.c.created_ms > placed, orders.c.id > order_id),
        )
        if status is not None:
            query = query.where(orders.c.status == status)
        query = query.order_by(orders.c.created_ms, orders.c.id).limit(limit)
        return await self._db.read(lambda c: read_orders(c, self._key, query))

    async def have_bought(self, asked: list[tuple[str, str]]) -> list[bool]:
        """Of (show, person) each, whether the person has a paid order of the show's brand."""
        people: dict[str, set[str]] = {}
        for show_id, person in asked:
            people.setdefault(show_id, set()).add(person)

        def read(connection: Connection) -> set[tuple[str, str]]:
            bought: set[tuple[str, str]] = set()
            for show_id, buyers in people.items():
                brand = select(shows.c.brand_id).where(shows.c.id == show_id).scalar_subquery()
                theirs = select(shows.c.id).where(shows.c.brand_id == brand)
                query = select(orders.c.buyer).distinct()
                query = query.where(
                    orders.c.buyer.in_(buyers), orders.c.paid_ms.is_not(None), orders.c.show_id.in_(theirs)
                )
                bought |= {(show_id, buyer) for buyer in connection.execute(query).scalars()}
            return bought

        bought = await self._db.read(read)
        return [each in bought for each in asked]

    async def tally(self, show_id: str) -> OrderTally:
        """Orders paid and revenue of a show. Raises NotFound."""
        sold = (orders.c.show_id == show_id, orders.c.paid_ms.is_not(None))
        paid = select(
            func.coalesce(func.sum(case((orders.c.status != "cancelled", 1), else_=0)), 0),
            func.coalesce(func.sum(orders.c.total_minor), 0),
        ).where(*sold)
        back = (
            select(func.coalesce(func.sum(refunds.c.amount_minor), 0))
            .join(orders, orders.c.id == refunds.c.order_id)
            .where(*sold, refunds.c.status.in_(WENT_BACK))
        )
        taken = (
            select(func.coalesce(func.sum(disputes.c.amount_minor), 0))
            .join(orders, orders.c.id == disputes.c.order_id)
            .where(*sold, disputes.c.status == "lost")
        )
        currency = select(brands.c.currency).join(shows, shows.c.brand_id == brands.c.id).where(shows.c.id == show_id)

        def read(connection: Connection) -> OrderTally:
            count, revenue = connection.execute(paid).one()
            gone = sum(int(connection.execute(query).scalar_one()) for query in (back, taken))
            unit = connection.execute(currency).scalar()
            if unit is None:
                raise NotFound("show", show_id)
            return OrderTally(int(count), Money(int(revenue) - gone, unit))

        return await self._db.read(read)


QUERY = (
    select(
        orders,
        shows.c.slug.label("show_slug"),
        shows.c.title.label("show_title"),
        brands.c.name.label("brand"),
        payments.c.status.label("payment"),
        payments.c.provider_ref,
        payments.c.reason,
        payments.c.refunded_minor,
    )
    .join(shows, shows.c.id == orders.c.show_id)
    .join(brands, brands.c.id == shows.c.brand_id)
    .join(payments, payments.c.order_id == orders.c.id)
)


def read_orders(connection: Connection, key: str, query: Any) -> list[Order]:
    """The orders of a narrowed QUERY, whole, in its order."""
    rows = connection.execute(query).all()
    ids = [row.id for row in rows]
    sold = [row.id for row in rows if row.paid_ms is not None]  # only these can have been shipped or refunded
    lines = _grouped(connection, select(order_lines).where(order_lines.c.order_id.in_(ids)).order_by(order_lines.c.sku))
    sent = select(shipments).where(shipments.c.order_id.in_(sold), shipments.c.voided_ms.is_(None))
    parcels = _grouped(connection, sent.order_by(shipments.c.id)) if sold else {}
    back = select(refunds).where(refunds.c.order_id.in_(sold), refunds.c.status.not_in(STAYED)).order_by(refunds.c.id)
    given_back = _grouped(connection, back) if sold else {}
    inside: dict[str, dict[str, int]] = {}
    if parcels:
        of = shipment_lines.c.shipment_id.in_([parcel.id for some in parcels.values() for parcel in some])
        for row in connection.execute(select(shipment_lines).where(of).order_by(shipment_lines.c.sku)):
            inside.setdefault(row.shipment_id, {})[row.sku] = row.qty
    return [
        _order(row, lines.get(row.id, []), parcels.get(row.id, []), inside, given_back.get(row.id, []), key)
        for row in rows
    ]


def _sums(row: Row[Any]) -> Sums:
    return Sums(
        goods=Money(row.goods_minor, row.currency),
        discount=Money(row.discount_minor, row.currency),
        shipping=Money(row.shipping_minor, row.currency),
        tax=Money(row.tax_minor, row.currency),
        tax_included=bool(row.tax_included),
        tax_bp=row.tax_bp,
        tax_place=row.tax_place,
        shipping_title=row.shipping_title,
        codes=msgspec.json.decode(row.codes, type=list[str]),
    )


def _grouped(connection: Connection, query: Any) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.order_id, []).append(row)
    return found


def _order(
    row: Row[Any],
    lines: list[Row[Any]],
    parcels: list[Row[Any]],
    inside: dict[str, dict[str, int]],
    given_back: list[Row[Any]],
    key: str,
) -> Order:
    return Order(
        id=row.id,
        number=row.number,
        token=token_of(key, row.id),
        show=row.show_id,
        show_slug=row.show_slug,
        show_title=row.show_title,
        brand=row.brand,
        buyer=row.buyer,
        status=row.status,
        total=Money(row.total_minor, row.currency),
        sums=_sums(row),
        lines=[
            OrderLine(
                line.sku,
                line.qty,
                Money(line.unit_minor, row.currency),
                line.title,
                line.size,
                line.colour,
                line.picture,
                line.look_id,
                line.at_ms,
                line.shipped,
                line.struck,
                line.returned,
                line.drop_id,
            )
            for line in lines
        ],
        name=row.name,
        email=row.email,
        address=msgspec.json.decode(row.address, type=dict[str, str]),
        created_ms=row.created_ms,
        paid_ms=row.paid_ms,
        payment=row.payment,
        payment_ref=row.provider_ref or "",
        reason=row.reason,
        refunded=Money(row.refunded_minor, row.currency),
        shipments=[
            Shipment(one.id, one.carrier, one.tracking, one.tracking_url, one.created_ms, inside.get(one.id, {}))
            for one in parcels
        ],
        refunds=[
            Refund(one.id, Money(one.amount_minor, row.currency), one.status, one.created_ms, one.done_ms)
            for one in given_back
        ],
    )
