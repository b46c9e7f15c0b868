"""One order with its whole story: what its staff may do, where each line was bought, what happened and by whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from live.money import Money
from live.shop.order_sheet import OWED, acts_of, disputed_of, left_of, units_of, version
from live.shop.order_state import STAYED, Act, Units
from live.shop.orders import Order
from live.store.tables import api_tokens, disputes, ledger, looks, payments, refunds, staff, timeline


class Origin(msgspec.Struct, frozen=True):
    """Where a line was bought: the look on the runway, its drop (an id of the timeline), the media time of the tap;
    and of that drop, None where the timeline has it no more."""

    look: int | None
    title: str
    drop: int | None
    at_ms: int | None
    dropped_at_ms: int | None = None


class Entry(msgspec.Struct, frozen=True):
    """A change of an order. `actor` is a name; empty: the buyer, the provider or the shop itself."""

    id: int
    kind: str
    wall_ms: int
    actor: str
    facts: dict[str, Any]


class StaffRefund(msgspec.Struct, frozen=True):
    """A refund with what only staff read (refund_books.py has its ways). `answer`: why the provider refused it, or a
    bank sent it back. `sent_again`: one that was refused or failed was made anew, and stands; `owed`: it came back,
    was not made anew, and staff noted nothing since."""

    id: str
    amount: Money
    status: str
    why: str
    note: str
    answer: str
    actor: str
    created_ms: int
    done_ms: int | None
    provider_ref: str = ""
    again_of: str = ""
    sent_again: bool = False
    owed: bool = False


class StaffDispute(msgspec.Struct, frozen=True):
    """A dispute of the payment (dispute_books.py has its ways). `status`: open, won, lost or closed; `due_ms`: until
    when the provider takes evidence; `withdrawn`: the brand is without the money now."""

    id: str
    provider_ref: str
    amount: Money
    status: str
    reason: str
    due_ms: int | None
    opened_ms: int
    closed_ms: int | None
    withdrawn: bool


class StaffOrder(msgspec.Struct, frozen=True):
    """One order, whole. `version` is what an act names as seen; `left` what can still be given back, nothing while its
    payment is disputed; `units` what became of each line, and what was paid for it."""

    order: Order
    version: int
    acts: list[Act]
    left: Money
    units: dict[str, Units]
    origins: dict[str, Origin]
    refunds: list[StaffRefund]
    ledger: list[Entry]
    disputes: list[StaffDispute] = []


def whole(connection: Connection, order: Order) -> StaffOrder:
    """Everything of an order that staff see."""
    pay = connection.execute(select(payments).where(payments.c.order_id == order.id)).one()
    owed = connection.execute(select(refunds).where(refunds.c.order_id == order.id).order_by(refunds.c.id)).all()
    units = units_of(connection, order.id)
    under_way = any(one.status == "asked" for one in owed)
    disputed, lost_minor = disputed_of(connection, order.id)
    left = left_of(pay, disputed=disputed, lost_minor=lost_minor)
    left = max(0, left - sum(one.amount_minor for one in owed if one.status == "asked"))
    acts = acts_of(order, pay, units, left_minor=left, under_way=under_way)
    if order.status == "pending":
        acts = frozenset[Act]({"cancel"})
    currency = order.total.currency
    story = connection.execute(select(ledger).where(ledger.c.order_id == order.id).order_by(ledger.c.id)).all()
    anew = {one.again_of for one in owed if one.status not in STAYED}
    noted_ms = max((one.wall_ms for one in story if one.kind == "order.noted"), default=0)
    names = _names(connection, {one.actor for one in owed} | {one.actor for one in story})
    return StaffOrder(
        order=order,
        version=version(connection, order.id),
        acts=sorted(acts),
        left=Money(left if order.paid_ms is not None or pay.status == OWED else 0, currency),
        units=units,
        origins=origins(connection, [order])[order.id],
        refunds=[
            StaffRefund(
                one.id,
                Money(one.amount_minor, currency),
                one.status,
                one.why,
                one.note,
                one.answer,
                names.get(one.actor, ""),
                one.created_ms,
                one.done_ms,
                one.provider_ref,
                one.again_of,
                one.id in anew,
                one.status == "failed" and one.id not in anew and one.done_ms > noted_ms,
            )
            for one in owed
        ],
        disputes=_disputes(connection, order.id),
        ledger=[
            Entry(
                one.id,
                one.kind,
                one.wall_ms,
                names.get(one.actor, ""),
                _without_digest(msgspec.json.decode(one.facts)),
            )
            for one in story
        ],
    )


def _disputes(connection: Connection, order_id: str) -> list[StaffDispute]:
    rows = connection.execute(select(disputes).where(disputes.c.order_id == order_id).order_by(disputes.c.id))
    return [
        StaffDispute(
            one.id,
            one.provider_ref,
            Money(one.amount_minor, one.currency),
            one.status,
            one.reason,
            one.due_ms,
            one.opened_ms,
            one.closed_ms,
            one.withdrawn_ms is not None and one.returned_ms is None,
        )
        for one in rows
    ]


def _names(connection: Connection, actors: Collection[str]) -> dict[str, str]:
    """Of members of staff, and of tokens: a program acts by its token's name."""
    found: dict[str, str] = {}
    for table in (staff, api_tokens):
        found |= {
            row.id: row.name
            for row in connection.execute(select(table.c.id, table.c.name).where(table.c.id.in_(actors)))
        }
    return found


def _without_digest(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if name != "asked"}


def origins(connection: Connection, of: Sequence[Order]) -> dict[str, dict[str, Origin]]:
    """Order id -> SKU -> where it was bought."""
    query = select(looks.c.id, looks.c.number, looks.c.title).where(looks.c.show_id.in_({order.show for order in of}))
    named = {look_id: (number, title) for look_id, number, title in connection.execute(query)}
    drops = {line.drop for order in of for line in order.lines if line.drop is not None}
    moments = select(timeline.c.id, timeline.c.at_ms).where(timeline.c.id.in_(drops))
    dropped = {row.id: row.at_ms for row in connection.execute(moments)}
    return {
        order.id: {
            line.sku: Origin(*named.get(line.look, (None, "")), line.drop, line.at_ms, dropped.get(line.drop))
            for line in order.lines
        }
        for order in of
    }
