"""One order with its whole story: what its staff may do, where each line was bought, what happened and by whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from live.money import Money
from live.shop.order_sheet import units_of, version
from live.shop.order_state import Act, Units, allowed
from live.shop.orders import Order, OrderLine
from live.store.tables import api_tokens, ledger, looks, payments, refunds, staff, timeline


class Origin(msgspec.Struct, frozen=True):
    """Where a line was bought: the look on the runway, its drop (an id of the timeline), the media time of the tap."""

    look: int | None
    title: str
    drop: int | None
    at_ms: int | None


class Entry(msgspec.Struct, frozen=True):
    """A change of an order. `actor` is a name; empty: the buyer, the provider or the shop itself."""

    id: int
    kind: str
    wall_ms: int
    actor: str
    facts: dict[str, Any]


class StaffRefund(msgspec.Struct, frozen=True):
    """A refund with what only staff read."""

    id: str
    amount: Money
    status: str
    why: str
    note: str
    answer: str
    actor: str
    created_ms: int
    done_ms: int | None


class StaffOrder(msgspec.Struct, frozen=True):
    """One order, whole. `version` is what an act names as seen; `left` what can still be given back; `units` what
    became of each line, and what was paid for it."""

    order: Order
    version: int
    acts: list[Act]
    left: Money
    units: dict[str, Units]
    origins: dict[str, Origin]
    refunds: list[StaffRefund]
    ledger: list[Entry]


def whole(connection: Connection, order: Order) -> StaffOrder:
    """Everything of an order that staff see."""
    pay = connection.execute(select(payments).where(payments.c.order_id == order.id)).one()
    owed = connection.execute(select(refunds).where(refunds.c.order_id == order.id).order_by(refunds.c.id)).all()
    units = units_of(connection, order.id)
    under_way = any(one.status == "asked" for one in owed)
    left = pay.captured_minor - pay.refunded_minor - sum(one.amount_minor for one in owed if one.status == "asked")
    sold = order.paid_ms is not None
    acts = allowed(units.values(), left_minor=left, under_way=under_way) if sold else frozenset[Act]()
    if order.status == "pending":
        acts = frozenset[Act]({"cancel"})
    currency = order.total.currency
    story = connection.execute(select(ledger).where(ledger.c.order_id == order.id).order_by(ledger.c.id)).all()
    names = _names(connection, {one.actor for one in owed} | {one.actor for one in story})
    return StaffOrder(
        order=order,
        version=version(connection, order.id),
        acts=sorted(acts),
        left=Money(left if sold else 0, currency),
        units=units,
        origins=Drops(connection, {order.show}).of(order),
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
            )
            for one in owed
        ],
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


class Drops:
    """The looks of shows and when each dropped. Both a line's tap and the timeline are written once and never changed,
    so the drop that a line came from is read off them: the last one of its look before the tap."""

    def __init__(self, connection: Connection, show_ids: Collection[str]) -> None:
        of_looks = select(looks.c.id, looks.c.number, looks.c.title).where(looks.c.show_id.in_(show_ids))
        self._looks = {row.id: row for row in connection.execute(of_looks)}
        self._drops: dict[str, list[tuple[int, int]]] = {}
        dropped = select(timeline.c.id, timeline.c.at_ms, timeline.c.body).where(
            timeline.c.show_id.in_(show_ids), timeline.c.kind == "card.dropped"
        )
        for row in connection.execute(dropped.order_by(timeline.c.id)):
            look = msgspec.json.decode(row.body).get("look", "")
            self._drops.setdefault(look, []).append((row.at_ms, row.id))

    def of(self, order: Order) -> dict[str, Origin]:
        return {line.sku: self._of_line(line) for line in order.lines}

    def _of_line(self, line: OrderLine) -> Origin:
        look = self._looks.get(line.look)
        before = [
            drop for at_ms, drop in self._drops.get(line.look, []) if line.at_ms is not None and at_ms <= line.at_ms
        ]
        return Origin(
            look.number if look else None, look.title if look else "", before[-1] if before else None, line.at_ms
        )
