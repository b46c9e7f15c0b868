"""What is done with a sold order, each act one SQL transaction: its units, its refund's decision, its status, one row
of the ledger and the outbox's events are written together or not at all (order_sheet.py has the parts).

An act carries three things against doing it twice: `op`, its own name (sent again, it is the same act); `seen`, the
last entry of the ledger that its doer had in view (somebody acted since: she is told by whom, and nothing is done); and
the order's row, locked first, so that two acts take turns.
Source: docs/decisions/0110-an-orders-status-is-read-off-what-happened.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from live.errors import Conflict, Invalid, NotFound, WrongState
from live.ids import new_id
from live.shop import promotions
from live.shop.order_sheet import (
    Act,
    Moved,
    Sheet,
    add,
    begin,
    decide,
    digest_of,
    finish,
    known_act,
    mail,
    release,
    write,
)
from live.shop.order_state import STAYED, amount_within, chosen, is_whole
from live.shop.outbox import MAIL_CANCELLED, MAIL_RETURNED, MAIL_SHIPPED, MAIL_UNSHIPPED
from live.store.tables import orders, outbox, refunds, shipment_lines, shipments

UNDO_MS = 120_000  # a parcel noted by mistake can be taken back this long before its buyer hears of it


class Parcel(msgspec.Struct, frozen=True):
    """What leaves, and how. `tracking_url` is https or empty."""

    lines: dict[str, int]
    carrier: str = ""
    tracking: str = ""
    tracking_url: str = ""


# ---- the acts ----------------------------------------------------------------------------------


def fulfil(connection: Connection, act: Act, parcel: Parcel) -> Moved:
    """Units left. Raises: NotFound, WrongState, Conflict (`left`), Invalid, IdempotencyMismatch."""
    sheet = begin(connection, act, "order.fulfilled", parcel)
    if isinstance(sheet, Moved):
        return sheet
    sheet.allow("fulfil")
    units = chosen(sheet.lines, parcel.lines, "open")
    shipment = new_id("shp")
    row = {"carrier": parcel.carrier, "tracking": parcel.tracking, "tracking_url": parcel.tracking_url}
    connection.execute(
        insert(shipments).values(id=shipment, order_id=act.order, created_ms=act.now, actor=act.actor, **row)
    )
    for sku, qty in units.items():
        connection.execute(insert(shipment_lines).values(shipment_id=shipment, sku=sku, qty=qty))
    add(connection, sheet, "shipped", units)
    facts = {"shipment": shipment, "lines": units, **row}
    finish(connection, act, sheet, "order.fulfilled", parcel, facts)
    mail(connection, act, MAIL_SHIPPED, due_ms=act.now + UNDO_MS, event_id=_letter_of(shipment), shipment=shipment)
    return _moved(sheet, shipment=shipment)


def unfulfil(connection: Connection, act: Act, shipment: str) -> Moved:
    """A parcel was noted by mistake: its units are to be shipped again. Its letter, if it hasn't left, never does.

    Raises: NotFound, WrongState (voided already), Conflict (a unit of it came back), IdempotencyMismatch.
    """
    sheet = begin(connection, act, "order.unfulfilled", shipment)
    if isinstance(sheet, Moved):
        return sheet
    parcel = connection.execute(
        select(shipments).where(shipments.c.id == shipment, shipments.c.order_id == act.order)
    ).first()
    if parcel is None:
        raise NotFound("shipment", shipment)
    if parcel.voided_ms is not None:
        raise WrongState("voided", "shipped")
    inside = select(shipment_lines.c.sku, shipment_lines.c.qty).where(shipment_lines.c.shipment_id == shipment)
    units: dict[str, int] = {row.sku: row.qty for row in connection.execute(inside)}
    for sku, qty in units.items():
        if qty > sheet.lines[sku].out:
            raise Conflict("came_back", sku=sku, left=sheet.lines[sku].out)
    connection.execute(update(shipments).where(shipments.c.id == shipment).values(voided_ms=act.now))
    add(connection, sheet, "shipped", {sku: -qty for sku, qty in units.items()})
    finish(connection, act, sheet, "order.unfulfilled", shipment, {"shipment": shipment, "lines": units})
    unsent = (
        update(outbox)
        .where(outbox.c.event_id == _letter_of(shipment), outbox.c.done_ms.is_(None), outbox.c.attempts == 0)
        .values(done_ms=act.now)
    )
    if not connection.execute(unsent).rowcount:
        mail(connection, act, MAIL_UNSHIPPED)
    return _moved(sheet)


def take_back(
    connection: Connection, act: Act, back: Mapping[str, int], restock: Mapping[str, int], refund_minor: int | None
) -> Moved:
    """Shipped units came back: `back` SKU -> units, `restock` those of them that can be sold again.

    `refund_minor` None gives their worth back, 0 nothing, else that much.
    Raises: NotFound, WrongState, Conflict, Invalid, IdempotencyMismatch.
    """
    asked = [dict(back), dict(restock), refund_minor]
    sheet = begin(connection, act, "order.returned", asked)
    if isinstance(sheet, Moved):
        return sheet
    sheet.allow("return")
    units = chosen(sheet.lines, back, "out")
    for sku, qty in restock.items():
        if not 0 <= qty <= units.get(sku, 0):
            raise Invalid("restock", "must be at most what came back")
    again = {sku: qty for sku, qty in restock.items() if qty}
    amount, paid_for = sheet.repaid_by(units)
    if refund_minor and sheet.disputed:
        raise Conflict("disputed")
    if refund_minor is not None:
        amount = amount_within(refund_minor, sheet.left_minor) if refund_minor else 0
    if amount and sheet.under_way:
        raise Conflict("refund_under_way")
    add(connection, sheet, "returned", units)
    release(connection, act, sheet, again)
    # An amount of somebody's own choosing still repays these units: they are not refunded by the piece again.
    refund = decide(connection, act, sheet, amount, "returned", paid_for)
    facts = {"lines": units, "restocked": again, "refund_minor": amount}
    finish(connection, act, sheet, "order.returned", asked, facts)
    mail(connection, act, MAIL_RETURNED, lines=units, refund_minor=amount)
    return _moved(sheet, refund=refund, refund_minor=amount, restocked=again)


def cancel(connection: Connection, act: Act, wanted: Mapping[str, int] | None, note: str) -> Moved:
    """Units that were not shipped never will be: they are for sale again, and their money goes back; with the whole
    order goes all that is left of its money, shipping too. `wanted` None: every unit that is open.

    Raises: NotFound, WrongState, Conflict, Invalid, IdempotencyMismatch.
    """
    asked = [None if wanted is None else dict(wanted), note]
    sheet = begin(connection, act, "order.cancelled", asked)
    if isinstance(sheet, Moved):
        return sheet
    sheet.allow("cancel")
    every = {sku: line.open for sku, line in sheet.lines.items() if line.open}
    units = every if wanted is None else chosen(sheet.lines, wanted, "open")
    amount, paid_for = sheet.repaid_by(units)
    whole = is_whole(sheet.lines.values(), units)
    amount = sheet.left_minor if whole else amount
    add(connection, sheet, "struck", units)
    release(connection, act, sheet, units)
    if whole:
        promotions.release(connection, act.order)  # nothing was bought by its codes
    refund = decide(connection, act, sheet, amount, "cancelled", paid_for, note)
    facts = {"lines": units, "refund_minor": amount, "whole": whole, "note": note}
    finish(connection, act, sheet, "order.cancelled", asked, facts)
    mail(connection, act, MAIL_CANCELLED, lines=units, refund_minor=amount, whole=whole)
    return _moved(sheet, refund=refund, refund_minor=amount, restocked=units)


def refund(
    connection: Connection, act: Act, amount_minor: int | None, wanted: Mapping[str, int] | None, note: str
) -> Moved:
    """Decide that money goes back: an amount, or the worth of units. Whoever calls asks the provider (refunds.py).

    Raises: NotFound, WrongState, Conflict (`left_minor`, or one is under way), Invalid, IdempotencyMismatch.
    """
    if (amount_minor is None) == (wanted is None):
        raise Invalid("amount_minor", "name an amount or lines, one of the two")
    asked = [amount_minor, None if wanted is None else dict(wanted), note]
    sheet = begin(connection, act, "refund.asked", asked)
    if isinstance(sheet, Moved):
        return sheet
    sheet.allow("refund")
    units: dict[str, int] = {}
    if wanted is not None:
        units = chosen(sheet.lines, wanted, "unpaid")
        amount_minor, _ = sheet.repaid_by(units)
    assert amount_minor is not None, "one of the two was given"
    amount = amount_within(amount_minor, sheet.left_minor)
    decided = decide(connection, act, sheet, amount, "asked", units, note)
    facts = {"refund": decided, "amount_minor": amount, "lines": units, "note": note}
    finish(connection, act, sheet, "refund.asked", asked, facts)
    return _moved(sheet, refund=decided, refund_minor=amount)


def send_again(connection: Connection, act: Act, refund_id: str) -> Moved:
    """Decide on a refund anew that the provider refused or a bank sent back: as much, for what of its units is unpaid.

    Raises: NotFound, WrongState (it went through), Conflict (`sent_again` already, `left_minor`, or one is under way),
    IdempotencyMismatch.
    """
    asked = ["again", refund_id]
    sheet = begin(connection, act, "refund.asked", asked)
    if isinstance(sheet, Moved):
        return sheet
    first = connection.execute(
        select(refunds).where(refunds.c.id == refund_id, refunds.c.order_id == act.order)
    ).first()
    if first is None:
        raise NotFound("refund", refund_id[:40])
    if first.status not in STAYED:
        raise WrongState(first.status, " or ".join(STAYED))
    anew = select(refunds.c.id).where(refunds.c.again_of == refund_id, refunds.c.status.not_in(STAYED))
    if connection.execute(anew).first() is not None:
        raise Conflict("sent_again")
    sheet.allow("refund")
    amount = amount_within(first.amount_minor, sheet.left_minor)
    _, units = sheet.repaid_by(msgspec.json.decode(first.lines, type=dict[str, int]))
    decided = decide(connection, act, sheet, amount, "asked", units, first.note, again_of=refund_id)
    facts = {"refund": decided, "amount_minor": amount, "lines": units, "note": first.note, "again_of": refund_id}
    finish(connection, act, sheet, "refund.asked", asked, facts)
    return _moved(sheet, refund=decided, refund_minor=amount)


def note(connection: Connection, act: Act, text: str) -> Moved:
    """Write something down that only staff read. Raises: NotFound, Invalid, IdempotencyMismatch."""
    lock = select(orders.c.show_id, orders.c.cart).where(orders.c.id == act.order).with_for_update()
    row = connection.execute(lock).first()
    if row is None:
        raise NotFound("order", act.order)
    known = known_act(connection, act, "order.noted", text)
    if known is not None:
        return known
    write(connection, act, "order.noted", {"note": text, "asked": digest_of(text)})
    return Moved(act.order, row.show_id, row.cart)


def _letter_of(shipment: str) -> str:
    return f"evt_{shipment}"


def _moved(sheet: Sheet, **more: Any) -> Moved:
    return Moved(sheet.row.id, sheet.row.show_id, sheet.row.cart, **more)
