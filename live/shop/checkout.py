"""Checkout: from a bag of holds to a paid order, exactly once, whatever crashes in between.

place()   the order is `pending` in SQL with its lines, its payment and its ledger in one transaction, then the provider
          is asked for a charge. No SQL connection is held across a call to the provider.
settle()  asks the provider what happened (an event is only a hint), claims the units in Redis, and makes the sale a
          fact in one SQL transaction. Every step may be repeated: the claim by order, the transaction by the order's
          status, the refund by its idempotency key. Who crashed in between is finished by the worker (settle_due).

A hold that lapsed while its buyer paid is claimed again from stock; when nothing is left, the money goes back, once:
first `refunding` is written (nobody can sell that order any more), then the provider is asked.
Above 400 lines, since the order of these steps is the rule and is read in one piece.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, bindparam, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from live.clock import Clock
from live.errors import (
    Conflict,
    EmptyBag,
    HoldLapsed,
    IdempotencyMismatch,
    Invalid,
    NotFound,
    PriceChanged,
    SoldOut,
)
from live.events import Level, OrderStatus
from live.ids import new_id
from live.money import Money
from live.settings import Settings
from live.shop import pricing
from live.shop.cart import Carts, KeptLine
from live.shop.contact import Contact, checked
from live.shop.orders import after, new_number, token_of
from live.shop.payments.port import Charge, ChargeRequest, Provider, ProviderEvent
from live.shop.stock import Line, StockGate
from live.store.sql import Database
from live.store.tables import ledger, order_lines, orders, outbox, payment_events, payments, variants

PAYING_MS = 600_000  # how long a buyer may take on the provider's page; then the charge is cancelled
GRACE_MS = 120_000  # how long holds stay, at least, after a payment that failed
FIRST_LOOK_MS = 5_000  # when the worker first asks about a pending payment
LONGEST_WAIT_MS = 60_000  # between two such looks
LOOKS_AT_ONCE = 50
NEVER_MS = 2**53 - 1
KEY_LIMIT = 128  # characters of an idempotency key
TRIES = 3

_line = msgspec.json.Decoder(KeptLine)


class Placed(msgspec.Struct, frozen=True):
    """The answer to a checkout, the same each time it is asked with its key. The order's present status is at
    its token. `pay_url` is the provider's page, `payment_ref` the charge's id there."""

    order_id: str
    number: str
    token: str
    status: OrderStatus
    total: Money
    pay_url: str
    payment_id: str
    payment_ref: str


class Settled(msgspec.Struct, frozen=True):
    """Where an order stands after a settle. `changed`: this call moved it, so tell the room; `moved` are the stock
    levels that changed with it. `cart` is the person's bag."""

    order_id: str
    number: str
    token: str
    show_id: str
    cart: str
    status: OrderStatus
    total: Money
    changed: bool
    reason: str = ""
    moved: dict[str, Level] = {}


class _Oversold(Exception):
    """SQL has fewer units than the gate gave out."""


class _Late(Exception):
    """Somebody else settled the order meanwhile."""


class Checkout:
    """One shop's till, for every process: all it remembers is in the stores."""

    def __init__(
        self, db: Database, gate: StockGate, carts: Carts, provider: Provider, clock: Clock, settings: Settings
    ) -> None:
        self._db = db
        self._gate = gate
        self._carts = carts
        self._provider = provider
        self._clock = clock
        self._key = settings.key
        self._base_url = settings.base_url
        self.on_settled: Callable[[Settled], Awaitable[None]] | None = None  # orders that a new checkout closed

    # ---- placing -------------------------------------------------------------------------------

    async def place(self, show_id: str, cart: str, contact: Contact, *, idempotency_key: str) -> Placed:
        """Turn the bag into a pending order and a charge to be paid.

        The same key with the same contact answers the same again, also after a crash half way.
        Raises: Invalid (field), EmptyBag, HoldLapsed (skus), PriceChanged, IdempotencyMismatch, StoreDown.
        """
        if not 1 <= len(idempotency_key) <= KEY_LIMIT:
            raise Invalid("idempotency_key", f"must have 1 to {KEY_LIMIT} characters")
        contact = checked(contact)
        body = hashlib.sha256(msgspec.json.encode([show_id, contact], order="deterministic")).hexdigest()
        for _ in range(TRIES):
            known = await self._db.read(lambda c: _by_key(c, cart, idempotency_key))
            if known is not None:
                return await self._again(known, body, idempotency_key)
            order_id = new_id("ord")
            lines = await self._keep_holds(show_id, cart, order_id)
            order = self._new_order(order_id, show_id, cart, contact, idempotency_key, body, lines)
            try:
                others = await self._db.write(partial(_insert_order, order=order, lines=lines))
            except IntegrityError:  # the same key at the same moment (or a number drawn twice): look again
                continue
            except PriceChanged as why:
                await self._reprice(show_id, cart, order_id, why)
                raise
            if not others:
                return await self._open_charge(order)
            # The bag is being paid for already: only one payment of it may stand.
            for payment_id in others:
                closed = await self._close(payment_id)
                if closed is not None and closed.changed and self.on_settled is not None:
                    await self.on_settled(closed)
        raise Conflict("checkout_under_way")

    async def _keep_holds(self, show_id: str, cart: str, order_id: str) -> list[tuple[KeptLine, int]]:
        now = self._clock.now_ms()
        outcome, lines, lapsed = await self._gate.extend(
            show_id, cart, now + PAYING_MS, order=order_id, most_ms=PAYING_MS
        )
        if outcome == "EMPTY":
            raise EmptyBag()
        if outcome == "LAPSED":
            raise HoldLapsed(lapsed)
        return [(_line.decode(line), units) for line, units in lines]

    def _new_order(
        self,
        order_id: str,
        show_id: str,
        cart: str,
        contact: Contact,
        idempotency_key: str,
        body: str,
        lines: list[tuple[KeptLine, int]],
    ) -> dict[str, Any]:
        now = self._clock.now_ms()
        due = pricing.total(((line.price, qty) for line, qty in lines), lines[0][0].price.currency)
        return {
            "id": order_id,
            "number": new_number(),
            "show_id": show_id,
            "buyer": cart,
            "cart": cart,
            "idempotency_key": idempotency_key,
            "request_digest": body,
            "status": "pending",
            "email": contact.email,
            "name": contact.name,
            "address": msgspec.json.encode(contact.address).decode(),
            "currency": due.currency,
            "total_minor": due.minor,
            "created_ms": now,
            "paid_ms": None,
            "settle_after_ms": now + FIRST_LOOK_MS,
            "payment_id": new_id("pay"),
            "provider": self._provider.name,
        }

    async def _open_charge(self, order: Mapping[str, Any]) -> Placed:
        """Ask the provider for the charge and note it; asked again, both answer as before."""
        charge = await self._provider.create(
            ChargeRequest(
                idempotency_key=order["payment_id"],
                amount_minor=order["total_minor"],
                currency=order["currency"],
                order_number=order["number"],
                return_url=f"{self._base_url}/orders/{token_of(self._key, order['id'])}",
            )
        )
        await self._db.write(lambda c: c.execute(_NOTE_REF, {"payment": order["payment_id"], "ref": charge.ref}))
        return self._placed(order, charge.ref)

    async def _again(self, known: Row[Any], body: str, idempotency_key: str) -> Placed:
        if known.request_digest != body:
            raise IdempotencyMismatch(idempotency_key)
        if known.provider_ref is None:  # the process that placed it died before the provider answered
            return await self._open_charge(known._asdict())
        return self._placed(known._asdict(), known.provider_ref)

    def _placed(self, order: Mapping[str, Any], ref: str) -> Placed:
        return Placed(
            order_id=order["id"],
            number=order["number"],
            token=token_of(self._key, order["id"]),
            status="pending",
            total=Money(order["total_minor"], order["currency"]),
            pay_url=self._provider.pay_url(ref),
            payment_id=order["payment_id"],
            payment_ref=ref,
        )

    async def _reprice(self, show_id: str, cart: str, order_id: str, why: PriceChanged) -> None:
        await self._gate.unpay(show_id, cart, order_id, grace_ms=GRACE_MS)
        await self._carts.reprice(show_id, cart, why.facts["sku"], why.facts["now"])

    # ---- settling ------------------------------------------------------------------------------

    async def heard(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        """Verify a message of the provider and note it, once. Whoever calls then settles `event.ref`: also when it
        came before, since the process that heard it first may have died. Raises Invalid("signature", …)."""
        event = self._provider.parse_event(body, headers)
        row = {
            "provider": self._provider.name,
            "event_id": event.id,
            "kind": event.kind,
            "received_ms": self._clock.now_ms(),
        }

        def note(connection: Connection) -> None:
            known = select(payment_events.c.event_id).where(
                payment_events.c.provider == row["provider"], payment_events.c.event_id == event.id
            )
            if connection.execute(known).first() is None:
                connection.execute(insert(payment_events).values(row))

        with contextlib.suppress(IntegrityError):  # the same message to another process at the same moment
            await self._db.write(note)
        return event

    async def settle(self, payment_ref: str) -> Settled | None:
        """Bring an order to where its payment is. `payment_ref` is our payment's id or the provider's.

        Any number of times, by any number of processes: an order is sold once, refunded once. None: no such payment.
        Raises StoreDown (also "payments"): nothing is lost, the worker asks again.
        """
        payment = await self._db.read(lambda c: _payment(c, payment_ref))
        if payment is None:
            return None
        if payment.order_status in ("paid", "refunded") and payment.payment_status in ("captured", "refunded"):
            # Final here. Only a refund that the provider made by itself could be news, and the worker looks for none.
            return self._where_it_stands(payment)
        if payment.provider_ref is None:
            await self._open_charge(payment._asdict())
            payment = await self._db.read(lambda c: _payment(c, payment_ref))
            assert payment is not None
        charge = await self._provider.fetch(payment.provider_ref)
        if charge.status == "authorised":
            charge = await self._provider.capture(charge.ref)
        return await self._follow(payment, charge)

    async def cancel(self, payment_ref: str) -> Settled | None:
        """Give a payment up, as the buyer asks. One that was captured already is settled as sold instead."""
        return await self._close(payment_ref)

    async def settle_due(self, now_ms: int | None = None) -> list[Settled]:
        """What the worker does: settle pending orders whose web process left them, give up those nobody pays.

        Claims what it takes, so that any number of workers may run. A provider that does not answer is asked later.
        """
        now = self._clock.now_ms() if now_ms is None else now_ms
        due = await self._db.write(lambda c: _claim_due(c, now))
        settled = []
        for payment_id, created_ms in due:
            given_up = now - created_ms >= PAYING_MS
            result = await (self._close(payment_id) if given_up else self.settle(payment_id))
            if result is not None and result.changed:
                settled.append(result)
        return settled

    async def _close(self, payment_ref: str) -> Settled | None:
        payment = await self._db.read(lambda c: _payment(c, payment_ref))
        if payment is None:
            return None
        if payment.provider_ref is None:
            await self._open_charge(payment._asdict())
            payment = await self._db.read(lambda c: _payment(c, payment_ref))
            assert payment is not None
        # The provider's answer decides: a charge captured a moment ago is not cancelled by it.
        return await self._follow(payment, await self._provider.cancel(payment.provider_ref))

    async def _follow(self, payment: Row[Any], charge: Charge) -> Settled:
        if charge.status == "captured":
            if payment.order_status == "pending" and payment.payment_status != "refunding":
                return await self._sell(payment, charge)
            if payment.order_status == "paid":
                return self._where_it_stands(payment)
            return await self._refund(payment, charge, "late")
        if charge.status == "refunded":
            return await self._refunded(payment, charge)
        if charge.status in ("declined", "cancelled"):
            return await self._cancelled(payment, charge)
        return self._where_it_stands(payment)

    async def _sell(self, payment: Row[Any], charge: Charge) -> Settled:
        if (charge.captured_minor, charge.currency) != (payment.total_minor, payment.currency):
            return await self._refund(payment, charge, "amount_differs")
        rows = await self._db.read(lambda c: c.execute(_LINES, {"order": payment.id}).all())
        lines = [Line(sku, qty) for sku, qty in rows]
        try:
            claim = await self._gate.claim(payment.show_id, payment.cart, payment.id, lines)
        except SoldOut:
            return await self._refund(payment, charge, "sold_out")
        now = self._clock.now_ms()
        try:
            await self._db.write(lambda c: _sell(c, payment, charge, lines, now))
        except _Oversold:
            # The gate was wrong; SQL is not. The money goes back and the gate is set right.
            refunded = await self._refund(payment, charge, "sold_out")
            await self._gate.unclaim(payment.show_id, payment.id)
            moved = await self._gate.reconcile(payment.show_id)
            return msgspec.structs.replace(refunded, moved=refunded.moved | moved)
        except _Late:
            return await self._after_another(payment, claim.epoch)
        moved = claim.moved | await self._gate.consume(payment.show_id, payment.id, claim.epoch)
        return self._settled(payment, "paid", moved=moved)

    async def _after_another(self, payment: Row[Any], epoch: str | None = None) -> Settled:
        """Another process settled the order while we were about to: the claim is its too, or nobody's."""
        now = await self._db.read(lambda c: _payment(c, payment.payment_id))
        assert now is not None
        if now.order_status == "paid":
            if epoch is not None:
                await self._gate.consume(now.show_id, now.id, epoch)
        else:
            await self._gate.unclaim(now.show_id, now.id)
        return self._where_it_stands(now)

    async def _refund(self, payment: Row[Any], charge: Charge, reason: str) -> Settled:
        now = self._clock.now_ms()
        decided = await self._db.write(lambda c: _decide_refund(c, payment, charge, reason, now))
        if not decided:
            return await self._after_another(payment)
        refunded = await self._provider.refund(
            charge.ref, charge.captured_minor, idempotency_key=f"refund:{payment.payment_id}"
        )
        return await self._refunded(payment, refunded)

    async def _refunded(self, payment: Row[Any], charge: Charge) -> Settled:
        now = self._clock.now_ms()
        changed = await self._db.write(lambda c: _mark_refunded(c, payment, charge, now))
        if changed:
            await self._gate.unpay(payment.show_id, payment.cart, payment.id, grace_ms=GRACE_MS)
        current = await self._db.read(lambda c: _payment(c, payment.payment_id))
        assert current is not None
        return self._settled(payment, "refunded", changed=changed, reason=current.reason)

    async def _cancelled(self, payment: Row[Any], charge: Charge) -> Settled:
        now = self._clock.now_ms()
        changed = await self._db.write(lambda c: _mark_cancelled(c, payment, charge, now))
        if not changed:
            return await self._after_another(payment)
        await self._gate.unpay(payment.show_id, payment.cart, payment.id, grace_ms=GRACE_MS)
        return self._settled(payment, "cancelled", reason=charge.reason)

    def _where_it_stands(self, payment: Row[Any]) -> Settled:
        return self._settled(payment, payment.order_status, changed=False, reason=payment.reason)

    def _settled(
        self,
        payment: Row[Any],
        status: OrderStatus,
        *,
        changed: bool = True,
        reason: str = "",
        moved: dict[str, Level] | None = None,
    ) -> Settled:
        return Settled(
            order_id=payment.id,
            number=payment.number,
            token=token_of(self._key, payment.id),
            show_id=payment.show_id,
            cart=payment.cart,
            status=status,
            total=Money(payment.total_minor, payment.currency),
            changed=changed,
            reason=reason,
            moved=moved or {},
        )


# ---- SQL: each function is one transaction or part of one --------------------------------------

_INSERT_ORDER = insert(orders)
_INSERT_LINE = insert(order_lines)
_INSERT_PAYMENT = insert(payments)
_INSERT_LEDGER = insert(ledger)
_INSERT_OUTBOX = insert(outbox)
_ORDER_COLUMNS = frozenset(orders.c.keys())

_PAYMENT: Select[Any] = select(
    orders.c.id,
    orders.c.number,
    orders.c.show_id,
    orders.c.cart,
    orders.c.status.label("order_status"),
    orders.c.total_minor,
    orders.c.currency,
    orders.c.request_digest,
    payments.c.id.label("payment_id"),
    payments.c.provider_ref,
    payments.c.status.label("payment_status"),
    payments.c.reason,
).join(payments, payments.c.order_id == orders.c.id)
_BY_KEY = _PAYMENT.where(orders.c.buyer == bindparam("buyer"), orders.c.idempotency_key == bindparam("key"))
_BY_PAYMENT = _PAYMENT.where(payments.c.id == bindparam("ref"))
_BY_PROVIDER_REF = _PAYMENT.where(payments.c.provider_ref == bindparam("ref"))
_OTHERS = (
    select(payments.c.id)
    .join(orders, orders.c.id == payments.c.order_id)
    .where(orders.c.buyer == bindparam("buyer"), orders.c.show_id == bindparam("show"), orders.c.status == "pending")
)
_PRICES = select(variants.c.sku, variants.c.price_minor).where(variants.c.sku.in_(bindparam("skus", expanding=True)))
_LINES = (
    select(order_lines.c.sku, order_lines.c.qty)
    .where(order_lines.c.order_id == bindparam("order"))
    .order_by(order_lines.c.sku)
)
_NOTE_REF = (
    update(payments)
    .where(payments.c.id == bindparam("payment"), payments.c.provider_ref.is_(None))
    .values(provider_ref=bindparam("ref"), status="authorising")
)
_PAY = (
    update(orders)
    .where(orders.c.id == bindparam("order"), orders.c.status == "pending")
    .values(status=after("pending", "pay"), paid_ms=bindparam("now"))
)
_CAPTURED = (
    update(payments)
    .where(payments.c.id == bindparam("payment"), payments.c.status.in_(("created", "authorising")))
    .values(status="captured", captured_minor=bindparam("captured"), updated_ms=bindparam("now"))
)
_TAKE = (  # invariant I2: the order's own transaction decides again
    update(variants)
    .where(variants.c.sku == bindparam("of"), variants.c.sold + bindparam("units") <= variants.c.on_hand)
    .values(sold=variants.c.sold + bindparam("units"))
)


def _by_key(connection: Connection, buyer: str, key: str) -> Row[Any] | None:
    return connection.execute(_BY_KEY, {"buyer": buyer, "key": key}).first()


def _payment(connection: Connection, ref: str) -> Row[Any] | None:
    return (
        connection.execute(_BY_PAYMENT, {"ref": ref}).first()
        or connection.execute(_BY_PROVIDER_REF, {"ref": ref}).first()
    )


def _insert_order(connection: Connection, order: Mapping[str, Any], lines: list[tuple[KeptLine, int]]) -> list[str]:
    """The order with all that belongs to it; or, with nothing written, the bag's payments that are under way."""
    if connection.dialect.name == "postgresql":
        # Two checkouts of one bag wait for each other. SQLite has one writer, so they do already.
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(order["cart"], 0))))
    others = connection.execute(_OTHERS, {"buyer": order["buyer"], "show": order["show_id"]}).scalars().all()
    if others:
        return list(others)
    rows = connection.execute(_PRICES, {"skus": [line.sku for line, _ in lines]}).all()
    now_priced = {sku: int(price_minor) for sku, price_minor in rows}
    for line, _ in lines:
        if line.sku not in now_priced:
            raise NotFound("sku", line.sku)
        if now_priced[line.sku] != line.price.minor:
            raise PriceChanged(line.sku, line.price.minor, now_priced[line.sku])
    connection.execute(_INSERT_ORDER, {name: value for name, value in order.items() if name in _ORDER_COLUMNS})
    connection.execute(
        _INSERT_LINE,
        [
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
            }
            for line, qty in lines
        ],
    )
    connection.execute(
        _INSERT_PAYMENT,
        {
            "id": order["payment_id"],
            "order_id": order["id"],
            "provider": order["provider"],
            "provider_ref": None,
            "idempotency_key": order["payment_id"],
            "status": "created",
            "amount_minor": order["total_minor"],
            "created_ms": order["created_ms"],
            "updated_ms": order["created_ms"],
        },
    )
    _note(connection, order["id"], "order.placed", order["created_ms"], total_minor=order["total_minor"])
    return []


def _sell(connection: Connection, payment: Row[Any], charge: Charge, lines: list[Line], now: int) -> None:
    if connection.execute(_PAY, {"order": payment.id, "now": now}).rowcount == 0:
        raise _Late
    captured = {"payment": payment.payment_id, "captured": charge.captured_minor, "now": now}
    if connection.execute(_CAPTURED, captured).rowcount == 0:
        raise _Late  # it is being refunded
    for line in lines:  # in the order of their SKUs, so that two orders never wait for each other in a ring
        if connection.execute(_TAKE, {"of": line.sku, "units": line.qty}).rowcount == 0:
            raise _Oversold
    _note(connection, payment.id, "order.paid", now, captured_minor=charge.captured_minor, ref=charge.ref)
    _tell(connection, payment, "order.paid", now)


def _decide_refund(connection: Connection, payment: Row[Any], charge: Charge, reason: str, now: int) -> bool:
    """From here on nobody sells this order. False: it was sold already."""
    status = connection.execute(select(orders.c.status).where(orders.c.id == payment.id).with_for_update()).scalar_one()
    if status == "paid":
        return False
    decided = connection.execute(
        update(payments)
        .where(payments.c.id == payment.payment_id, payments.c.status.not_in(("captured", "refunding", "refunded")))
        .values(status="refunding", captured_minor=charge.captured_minor, reason=reason, updated_ms=now)
    )
    if decided.rowcount:
        _note(connection, payment.id, "refund.decided", now, reason=reason)
        # Cancelled orders are not looked at again, but one that owes money is.
        connection.execute(update(orders).where(orders.c.id == payment.id).values(settle_after_ms=now + FIRST_LOOK_MS))
    return True


def _mark_refunded(connection: Connection, payment: Row[Any], charge: Charge, now: int) -> bool:
    status = connection.execute(select(orders.c.status).where(orders.c.id == payment.id).with_for_update()).scalar_one()
    if status == "refunded":
        return False
    connection.execute(
        update(orders).where(orders.c.id == payment.id).values(status=after(status, "refund"), settle_after_ms=NEVER_MS)
    )
    connection.execute(
        update(payments)
        .where(payments.c.id == payment.payment_id)
        .values(
            status="refunded",
            captured_minor=charge.captured_minor,
            refunded_minor=charge.refunded_minor,
            updated_ms=now,
        )
    )
    _note(connection, payment.id, "order.refunded", now, refunded_minor=charge.refunded_minor, ref=charge.ref)
    _tell(connection, payment, "order.refunded", now)
    return True


def _mark_cancelled(connection: Connection, payment: Row[Any], charge: Charge, now: int) -> bool:
    changed = connection.execute(
        update(orders)
        .where(orders.c.id == payment.id, orders.c.status == "pending")
        .values(status=after("pending", "cancel"), settle_after_ms=NEVER_MS)
    )
    if changed.rowcount == 0:
        return False
    connection.execute(
        update(payments)
        .where(payments.c.id == payment.payment_id, payments.c.status.in_(("created", "authorising")))
        .values(status=charge.status, reason=charge.reason, updated_ms=now)
    )
    _note(connection, payment.id, "order.cancelled", now, reason=charge.reason)
    return True


def _claim_due(connection: Connection, now: int) -> list[tuple[str, int]]:
    """Pending orders whose look is due, and cancelled ones that owe money; each is put off for the others."""
    due = connection.execute(
        select(orders.c.id, orders.c.created_ms, payments.c.id.label("payment_id"))
        .join(payments, payments.c.order_id == orders.c.id)
        .where(or_(orders.c.status == "pending", orders.c.status == "cancelled"), orders.c.settle_after_ms <= now)
        .order_by(orders.c.settle_after_ms)
        .limit(LOOKS_AT_ONCE)
        .with_for_update(skip_locked=True, of=orders)
    ).all()
    for row in due:
        wait = min(max((now - row.created_ms) // 2, FIRST_LOOK_MS), LONGEST_WAIT_MS)
        connection.execute(update(orders).where(orders.c.id == row.id).values(settle_after_ms=now + wait))
    return [(row.payment_id, row.created_ms) for row in due]


def _note(connection: Connection, order_id: str, kind: str, now: int, **facts: Any) -> None:
    row = {"order_id": order_id, "kind": kind, "wall_ms": now, "facts": msgspec.json.encode(facts).decode()}
    connection.execute(_INSERT_LEDGER, row)


def _tell(connection: Connection, payment: Row[Any], kind: str, now: int) -> None:
    body = {
        "order": payment.id,
        "number": payment.number,
        "show": payment.show_id,
        "total": Money(payment.total_minor, payment.currency),
    }
    row = {
        "event_id": new_id("evt"),
        "kind": kind,
        "body": msgspec.json.encode(body).decode(),
        "created_ms": now,
        "due_ms": now,
        "attempts": 0,
    }
    connection.execute(_INSERT_OUTBOX, row)
