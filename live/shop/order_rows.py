"""The rows of an order: what checkout reads and writes. Each function is one transaction or a part of one.

Statements that every order runs are compiled once (store/statements.py); the rest are SQLAlchemy's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, func, or_, select, update

from live.errors import NotFound, PriceChanged
from live.events import OrderStatus
from live.ids import new_id
from live.money import Money
from live.shop import promotions
from live.shop.cart import KeptLine
from live.shop.charged import CHARGED
from live.shop.order_sheet import OWED, UNSOLD
from live.shop.order_state import after
from live.shop.outbox import MAIL_PAID, MAIL_REFUNDED
from live.shop.payments.port import Charge
from live.shop.refund_books import note_unsold
from live.shop.stock import Line
from live.shop.totals import Part, Promotion
from live.shop.webhooks.kinds import PieceTold
from live.store.statements import Statement, insert_into
from live.store.tables import ledger, order_lines, orders, outbox, payments, variants

FIRST_LOOK_MS = 5_000  # when the worker first asks about a pending payment
LONGEST_WAIT_MS = 60_000  # between two such looks
LOOKS_AT_ONCE = 50
NEVER_MS = 2**53 - 1


class Oversold(Exception):
    """SQL has fewer units than the gate gave out."""


class Late(Exception):
    """Somebody else settled the order meanwhile."""


class PaymentRow(NamedTuple):
    """An order with its payment. `id` is the order's; `pieces` are in the order of their SKUs."""

    id: str
    number: str
    show_id: str
    cart: str
    order_status: OrderStatus
    total_minor: int
    currency: str
    request_digest: str
    payment_id: str
    provider_ref: str | None
    payment_status: str
    reason: str
    paid_ms: int | None
    email: str = ""
    method: str = ""
    saver: str = ""
    created_ms: int = 0
    pieces: tuple[PieceTold, ...] = ()

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(Line(piece.sku, piece.qty) for piece in self.pieces)

    @property
    def sold(self) -> bool:
        """The sale is a fact: whatever became of the order since, its payment was taken and its units were."""
        return self.paid_ms is not None


_INSERT_ORDER = Statement(insert_into(orders))
_INSERT_LINE = Statement(insert_into(order_lines, without=["shipped", "struck", "returned", "restocked"]))
_INSERT_PAYMENT = Statement(insert_into(payments))
_INSERT_LEDGER = Statement(insert_into(ledger, without=["id", "actor", "op"]))
_INSERT_OUTBOX = Statement(insert_into(outbox, without=["id", "done_ms"]))

_PAYMENT: Select[Any] = select(
    orders.c.id,
    orders.c.number,
    orders.c.show_id,
    orders.c.cart,
    orders.c.status,
    orders.c.total_minor,
    orders.c.currency,
    orders.c.request_digest,
    payments.c.id,
    payments.c.provider_ref,
    payments.c.status,
    payments.c.reason,
    orders.c.paid_ms,
    orders.c.email,
    payments.c.method,
    payments.c.saver,
    orders.c.created_ms,
).join(payments, payments.c.order_id == orders.c.id)
_BY_KEY = Statement(_PAYMENT.where(orders.c.buyer == bindparam("buyer"), orders.c.idempotency_key == bindparam("key")))
_BY_ORDER = Statement(_PAYMENT.where(orders.c.id == bindparam("order")))
_BY_PAYMENT = Statement(_PAYMENT.where(payments.c.id == bindparam("ref")))
_BY_PROVIDER_REF = Statement(_PAYMENT.where(payments.c.provider_ref == bindparam("ref")))
# Asked before each order is written. One CASE, so that no planner goes through all of a show's pending orders for it.
_HAS_KEY: ColumnElement[Any] = case(
    (orders.c.idempotency_key == bindparam("key"), 1),
    (and_(orders.c.show_id == bindparam("show"), orders.c.status == "pending"), 0),
)
_IN_THE_WAY = Statement(
    _PAYMENT.add_columns(_HAS_KEY.label("has_key")).where(orders.c.buyer == bindparam("buyer"), _HAS_KEY.is_not(None))
)
_OTHERS = Statement(
    select(payments.c.id)
    .join(orders, orders.c.id == payments.c.order_id)
    .where(orders.c.buyer == bindparam("buyer"), orders.c.show_id == bindparam("show"), orders.c.status == "pending")
)
_PIECES = Statement(
    select(
        order_lines.c.sku,
        order_lines.c.qty,
        order_lines.c.look_id.label("look"),
        order_lines.c.drop_id.label("drop"),
        order_lines.c.at_ms,
    )
    .where(order_lines.c.order_id == bindparam("order"))
    .order_by(order_lines.c.sku)
)
_NOTE_REF = Statement(
    update(payments)
    .where(payments.c.id == bindparam("payment"), payments.c.provider_ref.is_(None))
    .values(provider_ref=bindparam("ref"), status="authorising")
)
_PAY = Statement(
    update(orders)
    .where(orders.c.id == bindparam("order"), orders.c.status == "pending")
    .values(status=after("pending", "pay"), paid_ms=bindparam("now"))
)
_CAPTURED = Statement(
    update(payments)
    .where(
        payments.c.id == bindparam("payment"),
        or_(payments.c.status == "created", payments.c.status == "authorising"),
    )
    .values(status="captured", captured_minor=bindparam("captured"), updated_ms=bindparam("now"))
)
_TAKE = Statement(  # invariant I2: the order's own transaction decides again
    update(variants)
    .where(variants.c.sku == bindparam("of"), variants.c.sold + bindparam("units") <= variants.c.on_hand)
    .values(sold=variants.c.sold + bindparam("units"))
)


def by_key(connection: Connection, buyer: str, key: str) -> PaymentRow | None:
    """The order that this buyer placed with this key."""
    found = _BY_KEY.first(connection, {"buyer": buyer, "key": key})
    return None if found is None else PaymentRow(*found)


def of_order(connection: Connection, order_id: str) -> PaymentRow | None:
    """An order's payment, without its lines."""
    found = _BY_ORDER.first(connection, {"order": order_id})
    return None if found is None else PaymentRow(*found)


def pending_of(connection: Connection, buyer: str, show_id: str) -> PaymentRow | None:
    """The bag's order that is being paid."""
    found = _OTHERS.first(connection, {"buyer": buyer, "show": show_id})
    return None if found is None else payment(connection, found[0])


def payment(connection: Connection, ref: str) -> PaymentRow | None:
    """The order of a payment, by our id of it or by the provider's."""
    found = _BY_PAYMENT.first(connection, {"ref": ref}) or _BY_PROVIDER_REF.first(connection, {"ref": ref})
    if found is None:
        return None
    pieces = tuple([PieceTold(*piece) for piece in _PIECES.all(connection, {"order": found[0]})])
    return PaymentRow(*found)._replace(pieces=pieces)


def prices_now(connection: Connection, skus: Sequence[str], now: int) -> dict[str, int]:
    """What pieces cost now, minor units; one that is gone is left out."""
    found = ((sku, CHARGED.first(connection, {"of": sku, "now": now})) for sku in skus)
    return {sku: row[0] for sku, row in found if row is not None}


def insert_order(
    connection: Connection,
    *,
    order: Mapping[str, Any],
    lines: Sequence[tuple[KeptLine, int]],
    parts: Sequence[Part],
    codes: Sequence[Promotion] = (),
    email_tag: str = "",
) -> PaymentRow | list[str]:
    """The order with all that belongs to it. Or, with nothing written: the order that has its key already, or the
    payments of the bag that are under way.

    `parts` are the lines' shares of discount and tax. Raises: PriceChanged (all that did are its `changes`), NotFound,
    CodeRefused; then nothing is written either.
    """
    if connection.dialect.name == "postgresql":
        # Two checkouts of one bag wait for each other. SQLite has one writer, so they do already.
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(order["cart"], 0))))
    asked = {"buyer": order["buyer"], "key": order["idempotency_key"], "show": order["show_id"]}
    if in_the_way := _IN_THE_WAY.all(connection, asked):
        found = [(PaymentRow(*row), has_key) for *row, has_key in in_the_way]
        return next((one for one, has_key in found if has_key), [one.payment_id for one, _ in found])
    now = prices_now(connection, [line.sku for line, _ in lines], order["created_ms"])
    for line, _ in lines:
        if line.sku not in now:
            raise NotFound("sku", line.sku)
    changes = {line.sku: now[line.sku] for line, _ in lines if now[line.sku] != line.price.minor}
    for line, _ in lines:
        if line.sku in changes:
            raise PriceChanged(line.sku, line.price.minor, changes[line.sku], changes)
    _INSERT_ORDER.run(connection, order)
    for (line, qty), part in zip(lines, parts, strict=True):
        _INSERT_LINE.run(
            connection,
            {
                "order_id": order["id"],
                "sku": line.sku,
                "qty": qty,
                "unit_minor": line.price.minor,
                "title": line.piece,
                "size": line.size,
                "colour": line.colour,
                "picture": line.picture,
                "look_id": line.look,
                "at_ms": line.at_ms,
                "drop_id": line.drop,
                "discount_minor": part.discount_minor,
                "tax_minor": part.tax_minor,
            },
        )
    _INSERT_PAYMENT.run(
        connection,
        {
            "id": order["payment_id"],
            "order_id": order["id"],
            "provider": order["provider"],
            "provider_ref": None,
            "idempotency_key": order["payment_id"],
            "status": "created",
            "amount_minor": order["total_minor"],
            "captured_minor": 0,
            "refunded_minor": 0,
            "reason": "",
            "created_ms": order["created_ms"],
            "updated_ms": order["created_ms"],
            "method": order["method"],
            "saver": order["saver"],
        },
    )
    if codes:
        promotions.use(
            connection, codes, order["id"], now=order["created_ms"], buyer=order["buyer"], email_tag=email_tag
        )
    _note(connection, order["id"], "order.placed", order["created_ms"], total_minor=order["total_minor"])
    return []


def note_ref(connection: Connection, payment_id: str, ref: str) -> None:
    """The provider's own id of a payment; the first one stays."""
    _NOTE_REF.run(connection, {"payment": payment_id, "ref": ref})


def sell(connection: Connection, row: PaymentRow, charge: Charge, now: int) -> None:
    """The sale becomes a fact: paid, captured, sold, noted, told. Raises: Late, Oversold; then nothing is written."""
    if _PAY.run(connection, {"order": row.id, "now": now}) == 0:
        raise Late
    if _CAPTURED.run(connection, {"payment": row.payment_id, "captured": charge.captured_minor, "now": now}) == 0:
        raise Late  # it is being refunded
    for line in row.pieces:  # in the order of their SKUs, so that two orders never wait for each other in a ring
        if _TAKE.run(connection, {"of": line.sku, "units": line.qty}) == 0:
            raise Oversold
    _note(connection, row.id, "order.paid", now, captured_minor=charge.captured_minor, ref=charge.ref)
    _tell(connection, row, "order.paid", now, pieces=row.pieces)
    _tell(connection, row, MAIL_PAID, now)


def decide_refund(connection: Connection, row: PaymentRow, charge: Charge, reason: str, now: int) -> bool:
    """From here on nobody sells this order. False: it was sold already."""
    if connection.execute(select(orders.c.paid_ms).where(orders.c.id == row.id).with_for_update()).scalar() is not None:
        return False
    decided = connection.execute(
        update(payments)
        .where(
            payments.c.id == row.payment_id, payments.c.status.not_in(("captured", "refunding", "refunded", *UNSOLD))
        )
        .values(status="refunding", captured_minor=charge.captured_minor, reason=reason, updated_ms=now)
    )
    if decided.rowcount:
        _note(connection, row.id, "refund.decided", now, reason=reason)
        # Cancelled orders are not looked at again, but one that owes money is.
        connection.execute(update(orders).where(orders.c.id == row.id).values(settle_after_ms=now + FIRST_LOOK_MS))
    return True


def mark_refunded(connection: Connection, row: PaymentRow, charge: Charge, now: int) -> bool:
    query = select(orders.c.status, orders.c.paid_ms).where(orders.c.id == row.id).with_for_update()
    status, paid_ms = connection.execute(query).one()
    paid = connection.execute(select(payments.c.status).where(payments.c.id == row.payment_id)).scalar_one()
    # Of a sold order money goes back by refunds.py, and so does what a bank sent back.
    if status == "refunded" or paid_ms is not None or paid == OWED:
        return False
    if status == "pending":
        promotions.release(connection, row.id)  # it was never sold
    connection.execute(
        update(orders).where(orders.c.id == row.id).values(status=after(status, "refund"), settle_after_ms=NEVER_MS)
    )
    connection.execute(
        update(payments)
        .where(payments.c.id == row.payment_id)
        .values(
            status="refunded",
            captured_minor=charge.captured_minor,
            refunded_minor=(refunded := note_unsold(connection, row.id, row.payment_id, charge, now)),
            updated_ms=now,
        )
    )
    _note(connection, row.id, "order.refunded", now, refunded_minor=refunded, ref=charge.ref)
    _tell(connection, row, "order.refunded", now)
    _tell(connection, row, MAIL_REFUNDED, now)
    return True


def mark_cancelled(connection: Connection, row: PaymentRow, charge: Charge, now: int) -> bool:
    changed = connection.execute(
        update(orders)
        .where(orders.c.id == row.id, orders.c.status == "pending")
        .values(status=after("pending", "cancel"), settle_after_ms=NEVER_MS)
    )
    if changed.rowcount == 0:
        return False
    promotions.release(connection, row.id)
    connection.execute(
        update(payments)
        .where(payments.c.id == row.payment_id, payments.c.status.in_(("created", "authorising")))
        .values(status=charge.status, reason=charge.reason, updated_ms=now)
    )
    _note(connection, row.id, "order.cancelled", now, reason=charge.reason)
    return True


def claim_due(connection: Connection, now: int) -> list[tuple[str, int]]:
    """Pending orders whose look is due, and cancelled ones that owe money; each is put off for the others."""
    due = connection.execute(
        select(orders.c.id, orders.c.created_ms, payments.c.id.label("payment_id"))
        .join(payments, payments.c.order_id == orders.c.id)
        .where(
            or_(orders.c.status == "pending", orders.c.status == "cancelled"),
            orders.c.paid_ms.is_(None),
            orders.c.settle_after_ms <= now,
        )
        .order_by(orders.c.settle_after_ms)
        .limit(LOOKS_AT_ONCE)
        .with_for_update(skip_locked=True, of=orders)
    ).all()
    for row in due:
        wait = min(max((now - row.created_ms) // 2, FIRST_LOOK_MS), LONGEST_WAIT_MS)
        connection.execute(update(orders).where(orders.c.id == row.id).values(settle_after_ms=now + wait))
    return [(row.payment_id, row.created_ms) for row in due]


def _note(connection: Connection, order_id: str, kind: str, now: int, **facts: Any) -> None:
    noted = {"order_id": order_id, "kind": kind, "wall_ms": now, "facts": msgspec.json.encode(facts).decode()}
    _INSERT_LEDGER.run(connection, noted)


def _tell(connection: Connection, row: PaymentRow, kind: str, now: int, **more: Any) -> None:
    body = {
        "order": row.id,
        "number": row.number,
        "show": row.show_id,
        "total": Money(row.total_minor, row.currency),
        **more,
    }
    told = {
        "event_id": new_id("evt"),
        "kind": kind,
        "body": msgspec.json.encode(body).decode(),
        "created_ms": now,
        "due_ms": now,
        "attempts": 0,
    }
    _INSERT_OUTBOX.run(connection, told)
