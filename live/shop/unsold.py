"""What was taken for an order that is never sold, while its buyer's bank wants it too: parts of transactions.

Such a payment goes back by itself and whole (checkout.py). Not while it is disputed: then the order is cancelled, and
its payment waits.

    refunding ──► disputed ──won, or closed──► refund_failed, with a refund that refunds.py asks for ──► refunded
                      └───────lost───────► lost    (what a dispute of a part left goes the upper way, then it is lost)

Source: docs/decisions/0175-a-late-payment-that-is-disputed-waits.md
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from live.shop import promotions
from live.shop.order_sheet import DISPUTED, LOST, NEVER_MS, OWED, Act, Sheet, decide, sheet_of, write
from live.shop.order_state import after
from live.store.tables import disputes, orders, payments


def hold_back(connection: Connection, order_id: str, now: int, *, refused: bool = False) -> bool:
    """Whether the refund that was decided for an order that is not sold has to wait, or is owed no more, for a dispute
    of ours; then that is written down. `refused`: the provider took it for disputed, so it counts though it is over."""
    sheet = sheet_of(connection, order_id)
    if sheet.pay.status in (DISPUTED, LOST, OWED):
        return True
    known = select(disputes.c.id).where(disputes.c.order_id == order_id)
    waits = sheet.disputed or sheet.lost_minor or (refused and connection.execute(known).first() is not None)
    if sheet.pay.status != "refunding" or not waits:
        return False
    if sheet.row.status == "pending":  # its buyer may buy again meanwhile
        promotions.release(connection, order_id)
        connection.execute(update(orders).where(orders.c.id == order_id).values(status=after("pending", "cancel")))
        write(connection, Act(order_id, "", "", now), "order.cancelled", {"reason": sheet.pay.reason}, by_op=False)
    connection.execute(update(orders).where(orders.c.id == order_id).values(settle_after_ms=NEVER_MS))
    _now_is(connection, sheet, DISPUTED, now)
    bank_decided(connection, order_id, now)
    return True


def bank_decided(connection: Connection, order_id: str, now: int) -> None:
    """A dispute is over. Where no other one is open: what is left of a payment that waited goes back."""
    sheet = sheet_of(connection, order_id)
    if sheet.disputed or sheet.pay.status not in (DISPUTED, OWED):
        return
    left = sheet.left_minor
    _now_is(connection, sheet, OWED if left else LOST, now)
    if left and sheet.pay.status == DISPUTED:  # what was owed before is staff's
        act = Act(order_id, "", "", now)
        refund = decide(connection, act, sheet, left, "unsold", {})
        facts = {"refund": refund, "amount_minor": left, "reason": "the_dispute_is_over"}
        write(connection, act, "refund.decided", facts, by_op=False)


def _now_is(connection: Connection, sheet: Sheet, status: str, now: int) -> None:
    connection.execute(update(payments).where(payments.c.id == sheet.pay.id).values(status=status, updated_ms=now))
