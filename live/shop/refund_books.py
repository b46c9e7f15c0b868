"""What the provider says of refunds, written into our books: each function is one transaction or a part of one.

    asked ──► accepted ──► done       accepted: gone from the brand's balance, and on its way through the banks
      │           ▼          │
      └► refused  failed ◄───┘        failed: a bank sent it back, also weeks after it was done

None is left for an earlier one, so what is told twice, late or out of order moves nothing. The money of those that are
accepted or done counts as given back; a failure takes its cents out again, by an entry of its own in the ledger.
Source: docs/decisions/0173-a-refund-that-comes-back-is-owed-again.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from live.ids import new_id
from live.money import Money
from live.shop.order_sheet import (
    LOST,
    NEVER_MS,
    OWED,
    UNSOLD,
    Act,
    Sheet,
    Why,
    decide,
    mail,
    sheet_of,
    stand,
    tell,
    write,
)
from live.shop.outbox import MAIL_REPAID
from live.shop.payments.port import Charge, Repaid, RepaidStatus
from live.store.tables import payments, refunds

DAY_MS = 86_400_000
FIRST_LOOK_MS, LONGEST_LOOK_MS = 60_000, 6 * 3_600_000  # between looks at one that is accepted
LOOKS = 5  # at one that is done: after 1, 3, 7, 15 and 31 days; later than that no card's bank sends it back

_OURS: dict[RepaidStatus, str] = {"pending": "accepted", "done": "done", "failed": "failed"}
_ORDER = ("accepted", "done", "failed")


def next_look_ms(status: str, looks: int, now: int) -> int:
    """When the worker looks again what became of a refund, after so many looks in this status."""
    if status == "accepted":
        return now + min(FIRST_LOOK_MS * (1 << min(looks, 20)), LONGEST_LOOK_MS)
    if status == "done" and looks < LOOKS:
        return now + DAY_MS * (1 << looks)
    return NEVER_MS


def settle(
    connection: Connection, refund_id: str, now: int, *, said: Repaid | None = None, refused: str | None = None
) -> bool:
    """One that was asked is in the provider's books (`said`; None: that it is, is all we know), or (`refused`, in its
    words) never will be. False: it was settled before."""
    owed = connection.execute(select(refunds).where(refunds.c.id == refund_id)).first()
    if owed is None:
        return False
    sheet = sheet_of(connection, owed.order_id)
    if said is not None and said.status == "failed":  # it is heard of only now: nothing of it was counted
        refused = said.reason
    status = "refused" if refused is not None else _OURS[said.status] if said is not None else "done"
    closed = connection.execute(
        update(refunds)
        .where(refunds.c.id == refund_id, refunds.c.status == "asked")
        .values(_now_is(status, now, said) | ({} if refused is None else {"answer": refused}))
    )
    if not closed.rowcount:
        return False
    sheet.under_way = False
    act = Act(owed.order_id, owed.actor, "", now)
    facts = {"refund": refund_id, "amount_minor": owed.amount_minor}
    if refused is not None:
        write(connection, act, "refund.refused", {**facts, "why": refused}, by_op=False)
        return True
    _money_went_back(connection, act, sheet, owed.amount_minor, facts)
    if owed.why in ("asked", "unsold"):  # of the others a letter spoke already
        mail(connection, act, MAIL_REPAID, refund_minor=owed.amount_minor)
    return True


def follow(connection: Connection, payment_id: str, charge: Charge, now: int) -> bool:
    """Bring our refunds of a payment to where the provider's books have them. False: nothing moved.

    One that is still asked is its asker's (refunds.py). What the books have and ours lack, the brand refunded on the
    provider's own site: it is noted while none of ours is under way, since then nobody can tell whose the sum is. So is
    what it refunded there of an order that was never sold, once its payment waits for a bank or for staff (unsold.py):
    until then checkout.py sends all of it back, and reads it off the charge.
    """
    order_id = connection.execute(select(payments.c.order_id).where(payments.c.id == payment_id)).scalar_one()
    sheet = sheet_of(connection, order_id)
    rows = connection.execute(select(refunds).where(refunds.c.payment_id == payment_id).order_by(refunds.c.id)).all()
    pairs, strange = _matched(rows, charge.refunds)
    moved = False
    for row, one in pairs:
        moved |= _move(connection, order_id, row, one, now)
    if not sheet.under_way and (sheet.row.paid_ms is not None or sheet.pay.status in UNSOLD):
        moved |= _note_outside(connection, sheet_of(connection, order_id), charge, strange, now)
    return moved


def note_unsold(connection: Connection, order_id: str, payment_id: str, charge: Charge, now: int) -> int:
    """The whole refund of an order that was never sold, so that it is looked after as others are. Answers its minor
    units. One that a bank has sent back already counts until the worker looks, which is at once."""
    said = next((one for one in reversed(charge.refunds) if one.key == f"refund:{payment_id}"), None)
    said = said or (charge.refunds[-1] if charge.refunds else None)
    failed = said is not None and said.status == "failed"
    amount = charge.captured_minor if failed else charge.refunded_minor
    if amount <= 0:  # it cost nothing
        return 0
    why: Why = "unsold"
    row = {"id": new_id("rfd"), "order_id": order_id, "payment_id": payment_id, "amount_minor": amount, "why": why}
    row |= _now_is("accepted" if failed else "done" if said is None else _OURS[said.status], now, said)
    connection.execute(insert(refunds).values(**row | ({"due_ms": now} if failed else {}), created_ms=now))
    return amount


# ---- one refund's way --------------------------------------------------------------------------


def _matched(rows: Sequence[Any], said: Sequence[Repaid]) -> tuple[list[tuple[Any, Repaid]], list[Repaid]]:
    """Our rows with what the books say of each, and what they say of none of ours.

    By the provider's id, or by the key we asked under; what was noted before either was kept, by its amount.
    """
    ours = [row for row in rows if row.status != "refused"]
    by_name = {f"refund:{row.id}": row for row in ours} | {row.provider_ref: row for row in ours if row.provider_ref}
    pairs: list[tuple[Any, Repaid]] = []
    strange: list[Repaid] = []
    for one in said:
        row = by_name.get(one.ref) or by_name.get(one.key)
        if row is None:
            strange.append(one)
        else:
            pairs.append((row, one))
    nameless = [row for row in ours if row.status == "done" and not row.provider_ref]
    nameless = [row for row in nameless if all(row is not known for known, _ in pairs)]
    for one in sorted(strange, key=lambda one: one.status == "failed"):
        for row in nameless:
            if row.amount_minor == one.amount_minor:
                pairs.append((row, one))
                nameless.remove(row)
                strange.remove(one)
                break
    return pairs, strange


def _move(connection: Connection, order_id: str, row: Any, one: Repaid, now: int) -> bool:
    status = _OURS[one.status]
    if row.status not in _ORDER:
        return False
    onward = _ORDER.index(status) > _ORDER.index(row.status)
    if onward:
        values = _now_is(status, now, one)
    elif (row.provider_ref, row.status, row.answer) != (one.ref, status, one.reason) and row.status == status:
        values = {"provider_ref": one.ref, "answer": one.reason}
    else:
        return False
    # Who else had the same books in hand may have written it meanwhile: its status decides.
    of = (refunds.c.id == row.id, refunds.c.status == row.status)
    if not connection.execute(update(refunds).where(*of).values(values)).rowcount:
        return False
    if onward and status == "failed":
        _money_came_back(connection, order_id, row, one.reason, now)
    return onward


def _now_is(status: str, now: int, said: Repaid | None) -> dict[str, Any]:
    return {
        "status": status,
        "provider_ref": "" if said is None else said.ref,
        "answer": "" if said is None else said.reason,
        "done_ms": None if status == "accepted" else now,
        "due_ms": next_look_ms(status, 0, now),
        "attempts": 0,
    }


def _note_outside(connection: Connection, sheet: Sheet, charge: Charge, strange: Sequence[Repaid], now: int) -> bool:
    lacking = min(charge.refunded_minor, sheet.pay.captured_minor) - sheet.pay.refunded_minor
    found: list[tuple[int, Repaid | None]] = []
    for one in strange:
        if one.status != "failed" and lacking > 0:
            found.append((min(one.amount_minor, lacking), one))
            lacking -= found[-1][0]
    if lacking > 0 and not charge.refunds:  # books that know no more than the sum
        found.append((lacking, None))
    act = Act(sheet.row.id, "", "", now)
    for amount, said in found:
        refund_id = decide(connection, act, sheet, amount, "outside", {})
        status = "done" if said is None else _OURS[said.status]
        connection.execute(update(refunds).where(refunds.c.id == refund_id).values(_now_is(status, now, said)))
        facts = {"refund": refund_id, "amount_minor": amount, "outside": True}
        _money_went_back(connection, act, sheet, amount, facts)
        mail(connection, act, MAIL_REPAID, refund_minor=amount)
        sheet = sheet_of(connection, sheet.row.id)
    return bool(found)


def _money_went_back(connection: Connection, act: Act, sheet: Sheet, amount: int, facts: Mapping[str, Any]) -> None:
    captured, back = sheet.pay.captured_minor, sheet.pay.refunded_minor + amount
    status = "refunded" if back == captured else sheet.pay.status
    if sheet.pay.status == OWED and captured - sheet.lost_minor <= back < captured:
        status = LOST  # the bank gave her the rest
    moved = _count(connection, sheet, back, status, act.now)
    write(connection, act, "order.refunded", {**facts, **moved}, by_op=False)
    tell(connection, act, sheet, "order.refunded", {**facts, "refunded": Money(back, sheet.row.currency)})


def _money_came_back(connection: Connection, order_id: str, row: Any, reason: str, now: int) -> None:
    sheet, act = sheet_of(connection, order_id), Act(order_id, "", "", now)
    back = sheet.pay.refunded_minor - row.amount_minor
    moved = _count(connection, sheet, back, "captured" if sheet.row.paid_ms is not None else OWED, now)
    facts = {"refund": row.id, "amount_minor": row.amount_minor}
    write(connection, act, "refund.failed", {**facts, "why": reason, **moved}, by_op=False)
    told = {**facts, "reason": reason, "status": moved["to"], "refunded": Money(back, sheet.row.currency)}
    tell(connection, act, sheet, "order.refund_failed", told)


def _count(connection: Connection, sheet: Sheet, back: int, status: str, now: int) -> Mapping[str, str]:
    books = {"refunded_minor": back, "status": status, "updated_ms": now}
    connection.execute(update(payments).where(payments.c.id == sheet.pay.id).values(books))
    return stand(connection, sheet, captured=sheet.pay.captured_minor, refunded=back)
