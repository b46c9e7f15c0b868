"""Orders as the brand's staff find them: searched, filtered, page by page, and one of them with its whole story.

Everything is asked within a Reach, the brands and shows whose staff the asker is; what lies outside is not there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, exists, false, func, or_, select

from live.errors import Invalid, NotFound
from live.events import OrderStatus
from live.money import Money
from live.shop.order_state import STATUSES, STAYED
from live.shop.order_story import Origin, StaffOrder, origins, whole
from live.shop.orders import QUERY, Order, read_orders
from live.store.sql import Database
from live.store.tables import (
    disputes,
    ledger,
    look_products,
    looks,
    order_lines,
    orders,
    payments,
    refunds,
    shows,
    variants,
)

PAGE = 50
TEXT_LIMIT = 100  # characters of a search
# Beside the statuses themselves. "": orders that were sold, or whose money came and went back.
VIEWS = ("", "all", "to_ship", "refund_open", "refund_refused", "refund_failed", "disputed")


class Reach(msgspec.Struct, frozen=True):
    """Whose orders may be seen: of whole brands, and of single shows."""

    brands: frozenset[str] = frozenset()
    shows: frozenset[str] = frozenset()

    def clause(self) -> ColumnElement[bool]:
        """Over a query that joins `shows`. Of nothing at all: nothing."""
        parts = []
        if self.brands:
            parts.append(shows.c.brand_id.in_(self.brands))
        if self.shows:
            parts.append(shows.c.id.in_(self.shows))
        return or_(*parts) if parts else false()


class Wanted(msgspec.Struct, frozen=True):
    """What is looked for. `text` in number, e-mail, name or SKU; `show` a slug; times are server ms, `until_ms` not
    included; `after` the id of the last order of the page before."""

    text: str = ""
    status: str = ""
    show: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    after: str = ""


class Row(msgspec.Struct, frozen=True):
    """An order in the list. `to_ship` counts units; `trouble`: a refund that the provider refused, and none since that
    it didn't; `came_back`: one that a bank sent back, neither made anew nor followed by a note; `dispute` is
    the status of the last dispute of its payment, or empty; `lost`: what such disputes took for good."""

    id: str
    number: str
    status: OrderStatus
    created_ms: int
    paid_ms: int | None
    name: str
    email: str
    show_slug: str
    show_title: str
    total: Money
    refunded: Money
    units: int
    to_ship: int
    trouble: bool
    came_back: bool
    dispute: str
    lost: Money


class Sold(msgspec.Struct, frozen=True):
    """An order with the origins of its lines, for a list that is carried away. `came_back`: of its refunds, what banks
    sent back and is owed still; `dispute` and `lost` as in Row."""

    order: Order
    origins: dict[str, Origin]
    came_back: Money
    dispute: str
    lost: Money


class OrderList:
    """Reads; the acts are in order_acts.py."""

    def __init__(self, db: Database, secret_key: str) -> None:
        self._db = db
        self._key = secret_key

    async def page(self, reach: Reach, wanted: Wanted, *, limit: int = PAGE) -> tuple[list[Row], str]:
        """Orders, newest first, and the `after` of the next page, "" on the last one. Raises Invalid."""
        query = _narrowed(_ROWS, reach, wanted).limit(limit + 1)

        def read(connection: Connection) -> list[Row]:
            found = connection.execute(query).all()
            ids = [row.id for row in found]
            counts, last = _counts(connection, ids), _disputes(connection, ids)
            return [_row(row, *counts.get(row.id, (0, 0)), *last.get(row.id, _UNDISPUTED)) for row in found]

        rows = await self._db.read(read)
        return rows[:limit], rows[limit - 1].id if len(rows) > limit else ""

    async def whole(self, reach: Reach, wanted: Wanted, *, limit: int) -> tuple[list[Sold], str]:
        """As `page`, each order with its lines and their origins."""
        query = _narrowed(QUERY, reach, wanted).limit(limit + 1)

        def read(connection: Connection) -> list[Sold]:
            found = read_orders(connection, self._key, query)
            where = origins(connection, found)
            back = _came_back(connection, [order.id for order in found])
            last = _disputes(connection, [order.id for order in found])
            sold = []
            for one in found:
                dispute, lost = last.get(one.id, _UNDISPUTED)
                owed, taken = (Money(minor, one.total.currency) for minor in (back.get(one.id, 0), lost))
                sold.append(Sold(one, where[one.id], owed, dispute, taken))
            return sold

        sold = await self._db.read(read)
        return sold[:limit], sold[limit - 1].order.id if len(sold) > limit else ""

    async def numbered(self, reach: Reach, numbers: Collection[str]) -> list[Order]:
        """Those of these orders that are in reach, the oldest first: the order in which they are packed."""
        query = QUERY.where(orders.c.number.in_(numbers), reach.clause()).order_by(orders.c.id)
        return await self._db.read(lambda c: read_orders(c, self._key, query))

    async def one(self, reach: Reach, number: str) -> StaffOrder:
        """Raises NotFound, also for one out of reach."""
        query = QUERY.where(orders.c.number == _number(number), reach.clause())

        def read(connection: Connection) -> StaffOrder:
            found = read_orders(connection, self._key, query)
            if not found:
                raise NotFound("order", number[:40])
            return whole(connection, found[0])

        return await self._db.read(read)

    async def id_of(self, reach: Reach, number: str) -> str:
        """Raises NotFound, also for one out of reach."""
        query = select(orders.c.id).join(shows, shows.c.id == orders.c.show_id)
        query = query.where(orders.c.number == _number(number), reach.clause())
        found = await self._db.read(lambda c: c.execute(query).scalar())
        if found is None:
            raise NotFound("order", number[:40])
        return str(found)

    async def shows(self, reach: Reach) -> list[tuple[str, str]]:
        """(slug, title) of the shows in reach, the newest first."""
        query = select(shows.c.slug, shows.c.title).where(reach.clause()).order_by(shows.c.created_ms.desc())
        return await self._db.read(lambda c: [(row.slug, row.title) for row in c.execute(query)])

    async def pending_payment(self, order_id: str) -> str | None:
        """The payment that an order waits for; None when it waits for none."""
        query = select(payments.c.id).join(orders, orders.c.id == payments.c.order_id)
        query = query.where(orders.c.id == order_id, orders.c.status == "pending")
        return await self._db.read(lambda c: c.execute(query).scalar())

    async def shows_of(self, skus: Iterable[str]) -> list[str]:
        """The shows whose looks have one of these."""
        query = (
            select(looks.c.show_id)
            .distinct()
            .join(look_products, look_products.c.look_id == looks.c.id)
            .join(variants, variants.c.product_id == look_products.c.product_id)
            .where(variants.c.sku.in_(list(skus)))
        )
        return await self._db.read(lambda c: list(c.execute(query).scalars()))


def _number(text: str) -> str:
    """As people type it. Raises NotFound for what can be none."""
    if not (text.isascii() and text.isprintable()):
        raise NotFound("order", text[:40])
    return text.upper()


# ---- the list ----------------------------------------------------------------------------------

_later = refunds.alias()


# Somebody has to look at these.
_REFUSED = exists().where(
    refunds.c.order_id == orders.c.id,
    refunds.c.status == "refused",
    ~exists().where(
        _later.c.order_id == refunds.c.order_id, _later.c.id > refunds.c.id, _later.c.status.not_in(STAYED)
    ),
)
_OWED = (
    refunds.c.status == "failed",
    ~exists().where(_later.c.again_of == refunds.c.id, _later.c.status.not_in(STAYED)),
    ~exists().where(
        ledger.c.order_id == refunds.c.order_id, ledger.c.kind == "order.noted", ledger.c.wall_ms >= refunds.c.done_ms
    ),
)
_CAME_BACK = exists().where(refunds.c.order_id == orders.c.id, *_OWED)
_UNDISPUTED = ("", 0)
_ROWS = (
    select(
        orders.c.id,
        orders.c.number,
        orders.c.status,
        orders.c.created_ms,
        orders.c.paid_ms,
        orders.c.name,
        orders.c.email,
        orders.c.total_minor,
        orders.c.currency,
        shows.c.slug,
        shows.c.title,
        payments.c.refunded_minor,
        _REFUSED.label("trouble"),
        _CAME_BACK.label("came_back"),
    )
    .join(shows, shows.c.id == orders.c.show_id)
    .join(payments, payments.c.order_id == orders.c.id)
)


def _narrowed(query: Any, reach: Reach, wanted: Wanted) -> Any:
    """Newest first by id: an order's id begins with its birth, and is a key that pages can be turned by."""
    if wanted.status not in VIEWS and wanted.status not in STATUSES:
        raise Invalid("status", "is none that an order can have")
    if len(wanted.text) > TEXT_LIMIT:
        raise Invalid("q", f"has more than {TEXT_LIMIT} characters")
    if not (wanted.text + wanted.show + wanted.after).isprintable():  # PostgreSQL keeps no U+0000
        raise Invalid("q", "has characters that can't be printed")
    query = query.where(reach.clause())
    if wanted.text:
        query = query.where(_has(wanted.text))
    if wanted.show:
        query = query.where(shows.c.slug == wanted.show)
    if wanted.since_ms is not None:
        query = query.where(orders.c.created_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        query = query.where(orders.c.created_ms < wanted.until_ms)
    if wanted.after:
        query = query.where(orders.c.id < wanted.after)
    return query.where(*_view(wanted.status)).order_by(orders.c.id.desc())


def _has(text: str) -> ColumnElement[bool]:
    line = order_lines.c.sku.istartswith(text, autoescape=True)
    return or_(
        orders.c.number.icontains(text, autoescape=True),
        orders.c.email.icontains(text, autoescape=True),
        orders.c.name.icontains(text, autoescape=True),
        exists().where(and_(order_lines.c.order_id == orders.c.id, line)),
    )


def _view(status: str) -> list[ColumnElement[bool]]:
    if status == "all":
        return []
    if status == "":
        return [or_(orders.c.paid_ms.is_not(None), orders.c.status == "refunded")]
    if status == "to_ship":
        to_ship = order_lines.c.qty > order_lines.c.shipped + order_lines.c.struck
        return [orders.c.paid_ms.is_not(None), exists().where(order_lines.c.order_id == orders.c.id, to_ship)]
    if status == "refund_open":
        return [exists().where(refunds.c.order_id == orders.c.id, refunds.c.status.in_(("asked", "accepted")))]
    if status == "disputed":
        return [exists().where(disputes.c.order_id == orders.c.id)]
    if status in ("refund_refused", "refund_failed"):
        return [_REFUSED if status == "refund_refused" else _CAME_BACK]
    return [orders.c.status == status]


def _counts(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Order -> (units, units to ship)."""
    line = order_lines.c
    query = select(line.order_id, func.sum(line.qty), func.sum(line.qty - line.shipped - line.struck))
    of = query.where(line.order_id.in_(ids)).group_by(line.order_id)
    return {order: (int(units), int(open_)) for order, units, open_ in connection.execute(of)}


def _came_back(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Order -> minor units that are owed again."""
    query = select(refunds.c.order_id, func.sum(refunds.c.amount_minor)).where(refunds.c.order_id.in_(ids), *_OWED)
    return {order: int(amount) for order, amount in connection.execute(query.group_by(refunds.c.order_id))}


def _disputes(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Order -> the status of its last dispute, and the minor units that were lost by any."""
    columns = (disputes.c.order_id, disputes.c.status, disputes.c.amount_minor)
    found: dict[str, tuple[str, int]] = {}
    for row in connection.execute(select(*columns).where(disputes.c.order_id.in_(ids)).order_by(disputes.c.id)):
        lost = row.amount_minor if row.status == "lost" else 0
        found[row.order_id] = (row.status, found.get(row.order_id, _UNDISPUTED)[1] + lost)
    return found


def _row(row: Any, units: int, to_ship: int, dispute: str, lost: int) -> Row:
    return Row(
        row.id,
        row.number,
        row.status,
        row.created_ms,
        row.paid_ms,
        row.name,
        row.email,
        row.slug,
        row.title,
        Money(row.total_minor, row.currency),
        Money(row.refunded_minor, row.currency),
        units,
        to_ship if row.paid_ms is not None else 0,
        bool(row.trouble),
        bool(row.came_back),
        dispute,
        Money(lost, row.currency),
    )
