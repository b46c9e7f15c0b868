"""What the provider says of disputes, written into our books: one transaction.

    open ──► won       the money that the bank withdrew comes back to the brand
      ├────► lost      it stays with the buyer: it can't be refunded as well
      └────► closed    an inquiry that came to nothing

None is left for another, and each movement of money is noted once, so that what is told twice, late or out of order
moves nothing. They are entries of the ledger alone: what was captured and refunded stays what it was, and so does the
order's status. Source: docs/decisions/0173-a-refund-that-comes-back-is-owed-again.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from live.ids import new_id
from live.shop.order_sheet import NEVER_MS, Act, Sheet, sheet_of, tell, write
from live.shop.payments.port import Dispute
from live.shop.unsold import bank_decided
from live.store.tables import disputes, payments

FIRST_LOOK_MS, LONGEST_LOOK_MS = 3_600_000, 86_400_000
LOOKS = 180  # half a year of days: no card's dispute is open longer


def next_look_ms(looks: int, now: int) -> int:
    """When the worker looks again at one that is not over, after so many looks."""
    return now + min(FIRST_LOOK_MS * (1 << min(looks, 10)), LONGEST_LOOK_MS) if looks < LOOKS else NEVER_MS


def follow(connection: Connection, payment_id: str, said: Sequence[Dispute], now: int) -> bool:
    """Bring our disputes of a payment to where the provider's books have them. False: nothing moved."""
    if not said:
        return False
    order_id = connection.execute(select(payments.c.order_id).where(payments.c.id == payment_id)).scalar_one()
    sheet = sheet_of(connection, order_id)
    moved = False
    for one in said:
        of = (disputes.c.payment_id == payment_id, disputes.c.provider_ref == one.ref)
        row = connection.execute(select(disputes).where(*of)).first()
        if row is None:
            row = _open(connection, sheet, one, now)
            moved = True
        moved |= _move(connection, sheet, row, one, now)
    if moved and sheet.row.paid_ms is None:
        bank_decided(connection, order_id, now)
    return moved


def _open(connection: Connection, sheet: Sheet, one: Dispute, now: int) -> Any:
    row = {
        "id": new_id("dsp"),
        "order_id": sheet.row.id,
        "payment_id": sheet.pay.id,
        "provider_ref": one.ref,
        "amount_minor": one.amount_minor,
        "currency": one.currency,
        "status": "open",
        "reason": one.reason,
        "due_ms": one.due_ms,
        "opened_ms": now,
        "look_ms": next_look_ms(0, now),
        "looks": 0,
    }
    connection.execute(insert(disputes).values(row))
    _note(connection, sheet, "dispute.opened", row["id"], one, now, reason=one.reason, due_ms=one.due_ms)
    _tell(connection, sheet, row["id"], one, "open", now)
    return connection.execute(select(disputes).where(disputes.c.id == row["id"])).one()


def _move(connection: Connection, sheet: Sheet, row: Any, one: Dispute, now: int) -> bool:
    changed: dict[str, Any] = {}
    over = row.status == "open" and one.status != "open"
    withdrawn = one.withdrawn and row.withdrawn_ms is None
    # Books that were read before it was withdrawn say so too: it only comes back once the bank has decided.
    returned = not one.withdrawn and row.withdrawn_ms is not None and row.returned_ms is None
    returned = returned and (one.status if over else row.status) in ("won", "closed")
    if withdrawn:
        changed["withdrawn_ms"] = now
        _note(connection, sheet, "dispute.withdrawn", row.id, one, now)
    if over:
        changed |= {"status": one.status, "closed_ms": now}
        _note(connection, sheet, "dispute.closed", row.id, one, now, status=one.status)
        _tell(connection, sheet, row.id, one, one.status, now)
    if returned:
        changed["returned_ms"] = now
        _note(connection, sheet, "dispute.returned", row.id, one, now)
    if row.status == "open":
        changed |= {"due_ms": one.due_ms, "reason": one.reason, "amount_minor": one.amount_minor}
    after = row._asdict() | changed
    waits = after["status"] == "won" and after["withdrawn_ms"] is not None and after["returned_ms"] is None
    if after["status"] != "open" and not waits:
        changed["look_ms"] = NEVER_MS
    if changed:
        connection.execute(update(disputes).where(disputes.c.id == row.id).values(changed))
    return bool(withdrawn or over or returned)


def _note(
    connection: Connection, sheet: Sheet, kind: str, dispute_id: str, one: Dispute, now: int, **more: object
) -> None:
    facts = {"dispute": dispute_id, "amount_minor": one.amount_minor, "currency": one.currency, **more}
    write(connection, Act(sheet.row.id, "", "", now), kind, facts, by_op=False)


def _tell(connection: Connection, sheet: Sheet, dispute_id: str, one: Dispute, status: str, now: int) -> None:
    facts = {
        "status": sheet.row.status,
        "dispute": dispute_id,
        "dispute_status": status,
        "amount_minor": one.amount_minor,
        "reason": one.reason,
        "due_ms": one.due_ms,
    }
    tell(connection, Act(sheet.row.id, "", "", now), sheet, "order.disputed", facts)
