"""Checkout: from a bag of holds to a paid order, exactly once, whatever crashes in between.

place()   the order is `pending` in SQL with its lines, its payment and its ledger in one transaction, then the provider
          is asked for a charge. No SQL connection is held across a call to the provider.
settle()  asks the provider what happened (an event is only a hint), claims the units in Redis, and makes the sale a
          fact in one SQL transaction. Every step may be repeated: the claim by order, the transaction by the order's
          status, the refund by its idempotency key. Who crashed in between is finished by the worker (settle_due).

A hold that lapsed while its buyer paid is claimed again from stock; when nothing is left, the money goes back, once:
first `refunding` is written (nobody can sell that order any more), then the provider is asked.
Its SQL is in order_rows.py. Placing and settling are one file: each step is only right in sight of what the others
leave behind when they are cut off.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from live.clock import Clock
from live.errors import (
    CodeRefused,
    Conflict,
    EmptyBag,
    HoldLapsed,
    IdempotencyMismatch,
    Invalid,
    NotFound,
    Overloaded,
    PriceChanged,
    SoldOut,
    StoreDown,
    TotalChanged,
)
from live.events import Level, OrderStatus
from live.ids import new_id
from live.money import Money
from live.settings import Settings
from live.shop import order_rows, promotions
from live.shop.cart import Carts, KeptLine
from live.shop.contact import Contact, checked
from live.shop.disputes import Disputes
from live.shop.order_rows import FIRST_LOOK_MS, Late, Oversold, PaymentRow
from live.shop.order_sheet import UNSOLD
from live.shop.orders import new_number, token_of
from live.shop.payments.port import Charge, ChargeRequest, PayPage, Provider, ProviderEvent
from live.shop.quote import NO_WISHES, Priced, Quotes, Wishes
from live.shop.saved import SavedBuyers
from live.shop.stock import StockGate
from live.store.sql import Database
from live.store.tables import payment_events

log = structlog.get_logger()

PAYING_MS = 600_000  # how long a buyer may take on the provider's page; then the charge is cancelled
GRACE_MS = 120_000  # how long holds stay, at least, after a payment that failed
KEY_LIMIT = 128  # characters of an idempotency key
TRIES = 4
FAILURES_IN_A_ROW = 3  # after these the worker leaves the rest for its next round

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


def _at(line: KeptLine, price_minor: int | None) -> KeptLine:
    """The line at another price than it was held at."""
    if price_minor is None:
        return line
    return msgspec.structs.replace(line, price=Money(price_minor, line.price.currency))


class Checkout:
    """One shop's till, for every process: all it remembers is in the stores."""

    def __init__(
        self,
        db: Database,
        gate: StockGate,
        carts: Carts,
        quotes: Quotes,
        saved: SavedBuyers,
        provider: Provider,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._db = db
        self._gate = gate
        self._carts = carts
        self._quotes = quotes
        self._saved = saved
        self._provider = provider
        self._clock = clock
        self._key = settings.key
        self._base_url = settings.base_url
        self.on_settled: Callable[[Settled], Awaitable[None]] | None = None  # orders that a new checkout closed

    # ---- placing -------------------------------------------------------------------------------

    async def place(
        self,
        show_id: str,
        cart: str,
        contact: Contact,
        *,
        idempotency_key: str,
        wishes: Wishes = NO_WISHES,
        method: str = "",
        saver: str = "",
    ) -> Placed:
        """Turn the bag into a pending order and a charge to be paid.

        `method` is a saved one, to be charged at once; `saver` the saved buyer (its tag) for whom the provider is to
        keep the one that pays. The same key with the same wishes answers the same again, also after a crash half way.
        Raises: Invalid (field), EmptyBag, HoldLapsed (skus), PriceChanged, TotalChanged, CodeRefused,
        IdempotencyMismatch, StoreDown.
        """
        if not 1 <= len(idempotency_key) <= KEY_LIMIT:
            raise Invalid("idempotency_key", f"must have 1 to {KEY_LIMIT} characters")
        contact = checked(contact)
        asked = [show_id, contact, wishes, bool(method), bool(saver)]
        body = hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()
        fresh: dict[str, int] = {}  # prices that are others than when the pieces were held
        looked = False  # whether its key was looked up: nearly all are new, so that is left to the order's own write
        for _ in range(TRIES + 1):
            if looked:
                known = await self._db.read(lambda c: order_rows.by_key(c, cart, idempotency_key))
                if known is not None:
                    return await self._again(known, body, idempotency_key)
            order_id = new_id("ord")
            lines = await self._keep_holds(show_id, cart, order_id, sure=looked)
            looked = True
            if lines is None:
                continue
            lines = [(_at(line, fresh.get(line.sku)), qty) for line, qty in lines]
            try:
                priced = await self._quotes.of_order(show_id, cart, contact, lines, wishes)
                if wishes.agreed_minor not in (None, priced.totals.total_minor):
                    changes = await self._changes(lines)
                    if changes:  # what she agreed to may be these prices
                        fresh |= changes
                        continue
                    raise TotalChanged(wishes.agreed_minor or 0, priced.totals.total_minor)
                order = self._new_order(order_id, show_id, cart, contact, idempotency_key, body, priced)
                order |= {"currency": lines[0][0].price.currency, "method": method, "saver": saver}
                insert = partial(
                    order_rows.insert_order,
                    order=order,
                    lines=lines,
                    parts=priced.totals.parts,
                    codes=priced.codes,
                    email_tag=promotions.tag_of(self._key, contact.email) if priced.codes else "",
                )
                found = await self._db.write(insert)
            except IntegrityError:  # a number drawn twice
                continue
            except PriceChanged as why:
                if wishes.agreed_minor is not None:
                    fresh |= why.changes  # she may have seen these very prices: the total decides
                    continue
                for sku, now in why.changes.items():
                    await self._carts.reprice(show_id, cart, sku, now)
                await self._not_placed(show_id, cart, order_id)
                raise
            except (Invalid, NotFound, TotalChanged, CodeRefused):
                await self._not_placed(show_id, cart, order_id)
                known = await self._db.read(lambda c: order_rows.by_key(c, cart, idempotency_key))
                if known is not None:  # what was asked then was right, though it would not be now
                    return await self._again(known, body, idempotency_key)
                raise
            if isinstance(found, PaymentRow):
                await self._unmark(found, order_id)
                return await self._again(found, body, idempotency_key)
            if not found:
                return await self._begin(order)
            # The bag is being paid for already: only one payment of it may stand.
            for payment_id in found:
                closed = await self._close(payment_id)
                if closed is not None and closed.changed and self.on_settled is not None:
                    await self.on_settled(closed)
        raise Conflict("checkout_under_way")

    async def _begin(self, order: Mapping[str, Any]) -> Placed:
        """Open the charge. One that is over at once (a saved method, an order that costs nothing) is settled now;
        should that fail, whoever asks for the order next does it, or the worker."""
        placed, charge = await self._open_charge(order)
        if charge.status in ("captured", "declined", "cancelled"):
            try:
                settled = await self.settle(placed.payment_id)
            except StoreDown:
                log.warning("payment.unsettled", payment=placed.payment_id, exc_info=True)
            else:
                if settled is not None and settled.changed and self.on_settled is not None:
                    await self.on_settled(settled)
        return placed

    async def _keep_holds(
        self, show_id: str, cart: str, order_id: str, *, sure: bool
    ) -> list[tuple[KeptLine, int]] | None:
        """The bag's lines, kept for the order. None unless `sure`: this may be an order's second asking, look first."""
        now = self._clock.now_ms()
        outcome, lines, lapsed = await self._gate.extend(
            show_id, cart, now + PAYING_MS, order=order_id, most_ms=PAYING_MS, anew=sure
        )
        if outcome != "OK" and not sure:
            return None
        if outcome == "EMPTY":
            raise EmptyBag()
        if outcome == "LAPSED":
            raise HoldLapsed(lapsed)
        return [(_line.decode(line), units) for line, units in lines]

    async def _changes(self, lines: list[tuple[KeptLine, int]]) -> dict[str, int]:
        """SKUs of these lines that cost something else now, and what."""
        at_ms = self._clock.now_ms()
        now = await self._db.read(lambda c: order_rows.prices_now(c, [line.sku for line, _ in lines], at_ms))
        return {line.sku: now[line.sku] for line, _ in lines if now.get(line.sku, line.price.minor) != line.price.minor}

    async def _not_placed(self, show_id: str, cart: str, order_id: str) -> None:
        """The bag was marked as being paid for by an order that came to nothing. One that is pending in another tab
        keeps its holds."""
        pending = await self._db.read(lambda c: order_rows.pending_of(c, cart, show_id))
        if pending is None:
            await self._gate.unpay(show_id, cart, order_id, grace_ms=GRACE_MS)
        else:
            await self._unmark(pending, order_id)

    async def _unmark(self, known: PaymentRow, order_id: str) -> None:
        """The bag was marked as being paid for by an order that is not to be: its key has one."""
        if known.order_status == "pending":  # asked twice at one moment
            now = self._clock.now_ms()
            await self._gate.extend(known.show_id, known.cart, now + PAYING_MS, order=known.id, most_ms=PAYING_MS)
        else:
            await self._gate.unpay(known.show_id, known.cart, order_id, grace_ms=GRACE_MS)

    def _new_order(
        self,
        order_id: str,
        show_id: str,
        cart: str,
        contact: Contact,
        idempotency_key: str,
        body: str,
        priced: Priced,
    ) -> dict[str, Any]:
        now, sums = self._clock.now_ms(), priced.totals
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
            "total_minor": sums.total_minor,
            "created_ms": now,
            "paid_ms": None,
            "settle_after_ms": now + FIRST_LOOK_MS,
            "goods_minor": sums.goods_minor,
            "discount_minor": sums.discount_minor,
            "shipping_minor": sums.shipping_minor,
            "tax_minor": sums.tax_minor,
            "tax_included": int(sums.tax_included),
            "tax_bp": sums.tax_bp,
            "tax_place": sums.tax_place,
            "shipping_title": priced.method.name if priced.method else "",
            "codes": msgspec.json.encode([one.code for one in priced.codes]).decode(),
            "payment_id": new_id("pay"),
            "provider": self._provider.name,
        }

    async def _open_charge(self, order: Mapping[str, Any]) -> tuple[Placed, Charge]:
        """Ask the provider for the charge and note it; asked again, both answer as before."""
        request = self._request(order)
        # After ten minutes it is given up: a saved card must not be charged any more, and Stripe forgets keys in a day.
        late = self._clock.now_ms() - order["created_ms"] >= PAYING_MS
        charge = await (self._provider.void(request) if late else self._provider.create(request))
        await self._db.write(lambda c: order_rows.note_ref(c, order["payment_id"], charge.ref))
        return self._placed(order, charge.ref), charge

    def _request(self, order: Mapping[str, Any]) -> ChargeRequest:
        """The same each time: only then is a repeat the same charge."""
        return ChargeRequest(
            idempotency_key=order["payment_id"],
            amount_minor=order["total_minor"],
            currency=order["currency"],
            order_number=order["number"],
            return_url=f"{self._base_url}/orders/{token_of(self._key, order['id'])}",
            email=order["email"],
            method=order["method"],
            save=bool(order["saver"]),
            placed_ms=order["created_ms"],
        )

    async def _again(self, known: PaymentRow, body: str, idempotency_key: str) -> Placed:
        if known.request_digest != body:
            raise IdempotencyMismatch(idempotency_key)
        if known.provider_ref is None:  # the process that placed it died before the provider answered
            return await self._begin(known._asdict())
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

    async def page(self, order_id: str) -> PayPage:
        """What the buyer's page needs to let her pay this order. Raises NotFound, StoreDown."""
        row = await self._db.read(lambda c: order_rows.of_order(c, order_id))
        if row is None:
            raise NotFound("order", order_id)
        if row.order_status != "pending":
            return PayPage("none")
        return await self._provider.page(row.provider_ref or await self._open(row))

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
        payment = await self._db.read(lambda c: order_rows.payment(c, payment_ref))
        if payment is None:
            return None
        if payment.sold or payment.payment_status in ("refunded", *UNSOLD):
            # Final here: what becomes of a sold order, and of what a bank sent back or wants, is after_sale.py's.
            return self._where_it_stands(payment)
        charge = await self._provider.fetch(payment.provider_ref or await self._open(payment))
        if charge.status == "authorised":
            charge = await self._provider.capture(charge.ref)
        return await self._follow(payment, charge)

    async def cancel(self, payment_ref: str) -> Settled | None:
        """Give a payment up, as the buyer asks. One that was captured already is settled as sold instead."""
        return await self._close(payment_ref)

    async def settle_due(self, now_ms: int | None = None) -> list[Settled]:
        """What the worker does: settle pending orders whose web process left them, give up those nobody pays.

        Claims what it takes, so that any number of workers may run. A payment that can't be settled now is asked about
        later, and keeps neither the others from it nor their buyers from hearing of theirs.
        """
        now = self._clock.now_ms() if now_ms is None else now_ms
        due = await self._db.write(lambda c: order_rows.claim_due(c, now))
        settled, failed = [], 0
        for payment_id, created_ms in due:
            given_up = now - created_ms >= PAYING_MS
            try:
                result = await (self._close(payment_id) if given_up else self.settle(payment_id))
            except Exception as error:
                log.warning("payment.unsettled", payment=payment_id, error=type(error).__name__, exc_info=True)
                failed += 1
                if failed == FAILURES_IN_A_ROW:
                    break  # a store is down, or the provider: each more would wait for it
                continue
            failed = 0
            if result is not None and result.changed:
                settled.append(result)
        return settled

    async def _close(self, payment_ref: str) -> Settled | None:
        payment = await self._db.read(lambda c: order_rows.payment(c, payment_ref))
        if payment is None:
            return None
        # The provider's answer decides: a charge captured a moment ago is not cancelled by it.
        if payment.provider_ref is None:  # its create was never answered: what came of it, and nothing more may
            charge = await self._provider.void(self._request(payment._asdict()))
            await self._db.write(lambda c: order_rows.note_ref(c, payment.payment_id, charge.ref))
        else:
            charge = await self._provider.cancel(payment.provider_ref)
        return await self._follow(payment, charge)

    async def _open(self, payment: PaymentRow) -> str:
        """The charge of an order whose process died before the provider answered; the provider's id of it."""
        placed, _ = await self._open_charge(payment._asdict())
        return placed.payment_ref

    async def _follow(self, payment: PaymentRow, charge: Charge) -> Settled:
        if payment.sold:
            return self._where_it_stands(payment)
        if charge.status == "captured":
            if payment.order_status == "pending" and payment.payment_status != "refunding":
                return await self._sell(payment, charge)
            return await self._refund(payment, charge, "late")
        if charge.status == "refunded":
            return await self._refunded(payment, charge)
        if charge.status in ("declined", "cancelled"):
            return await self._cancelled(payment, charge)
        return self._where_it_stands(payment)

    async def _sell(self, payment: PaymentRow, charge: Charge) -> Settled:
        if (charge.captured_minor, charge.currency) != (payment.total_minor, payment.currency):
            return await self._refund(payment, charge, "amount_differs")
        try:
            claim = await self._gate.claim(payment.show_id, payment.cart, payment.id, payment.lines)
        except SoldOut:
            return await self._refund(payment, charge, "sold_out")
        now = self._clock.now_ms()
        try:
            await self._db.write(lambda c: order_rows.sell(c, payment, charge, now))
        except Oversold:
            # The gate was wrong; SQL is not. The money goes back and the gate is set right.
            refunded = await self._refund(payment, charge, "sold_out")
            await self._gate.unclaim(payment.show_id, payment.id)
            moved = await self._gate.reconcile(payment.show_id)
            return msgspec.structs.replace(refunded, moved=refunded.moved | moved)
        except Late:
            return await self._after_another(payment, claim.epoch)
        moved = claim.moved | await self._gate.consume(payment.show_id, payment.id, claim.epoch)
        await self._remember(payment, charge)
        return self._settled(payment, "paid", moved=moved)

    async def _remember(self, payment: PaymentRow, charge: Charge) -> None:
        """The method that paid, for who asked to. Fails open: the order is paid, she types her card again next time."""
        if payment.saver and charge.method is not None:
            try:
                await self._saved.keep_method(payment.saver, self._provider.name, charge.method)
            except (StoreDown, Overloaded) as error:
                log.warning("saved_method.lost", payment=payment.payment_id, error=type(error).__name__)

    async def _after_another(self, payment: PaymentRow, epoch: str | None = None) -> Settled:
        """Another process settled the order while we were about to: the claim is its too, or nobody's."""
        now = await self._db.read(lambda c: order_rows.payment(c, payment.payment_id))
        assert now is not None
        if now.sold:
            if epoch is not None:
                await self._gate.consume(now.show_id, now.id, epoch)
        else:
            await self._gate.unclaim(now.show_id, now.id)
        return self._where_it_stands(now)

    async def _refund(self, payment: PaymentRow, charge: Charge, reason: str) -> Settled:
        now = self._clock.now_ms()
        decided = await self._db.write(lambda c: order_rows.decide_refund(c, payment, charge, reason, now))
        if not decided:
            return await self._after_another(payment)
        if charge.captured_minor:  # of a free order there is nothing to give back
            disputes = Disputes(self._db, self._provider, self._clock)
            given = await disputes.refund_unsold(payment.id, payment.payment_id, charge)
            if given is None:
                return await self._held_back(payment)
            charge = given
        return await self._refunded(payment, charge)

    async def _held_back(self, payment: PaymentRow) -> Settled:
        """Its buyer's bank wants the money too. The bag is hers again as after a refund."""
        moved = await self._gate.unclaim(payment.show_id, payment.id)
        await self._gate.unpay(payment.show_id, payment.cart, payment.id, grace_ms=GRACE_MS)
        return self._settled(payment, "cancelled", changed=payment.order_status == "pending", moved=moved)

    async def _refunded(self, payment: PaymentRow, charge: Charge) -> Settled:
        now = self._clock.now_ms()
        changed = await self._db.write(lambda c: order_rows.mark_refunded(c, payment, charge, now))
        moved: dict[str, Level] = {}
        if changed:
            # Whoever decided this may have died with its claim standing.
            moved = await self._gate.unclaim(payment.show_id, payment.id)
            await self._gate.unpay(payment.show_id, payment.cart, payment.id, grace_ms=GRACE_MS)
        current = await self._db.read(lambda c: order_rows.payment(c, payment.payment_id))
        assert current is not None
        return self._settled(payment, "refunded", changed=changed, reason=current.reason, moved=moved)

    async def _cancelled(self, payment: PaymentRow, charge: Charge) -> Settled:
        now = self._clock.now_ms()
        changed = await self._db.write(lambda c: order_rows.mark_cancelled(c, payment, charge, now))
        if not changed:
            return await self._after_another(payment)
        await self._gate.unpay(payment.show_id, payment.cart, payment.id, grace_ms=GRACE_MS)
        return self._settled(payment, "cancelled", reason=charge.reason)

    def _where_it_stands(self, payment: PaymentRow) -> Settled:
        return self._settled(payment, payment.order_status, changed=False, reason=payment.reason)

    def _settled(
        self,
        payment: PaymentRow,
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
