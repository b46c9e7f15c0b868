"""Every kind of event that a merchant's system can hear, and the shape of its `data`. docs/webhooks.md lists them.

A row of the outbox of another kind is told to nobody.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from live.money import Money

Kind = Literal[
    "order.paid",
    "order.fulfilled",
    "order.unfulfilled",
    "order.returned",
    "order.cancelled",
    "order.refunded",
    "order.refund_failed",
    "order.disputed",
    "hold.lapsed",
    "stock.changed",
    "show.opened",
    "show.ended",
    "drop.opened",
    "drop.closed",
    "drop.withdrawn",
    "line.held",
    "line.reported",
    "line.removed",
    "person.timed_out",
    "person.banned",
    "webhook.test",
]


class PieceTold(msgspec.Struct, frozen=True):
    """Units of a SKU that were sold, and where: the look, its drop (`drop.opened` names the same; None where it is not
    known), the media time of the tap."""

    sku: str
    qty: int
    look: str
    drop: int | None
    at_ms: int | None


class OrderTold(msgspec.Struct, frozen=True, omit_defaults=True):
    """`show` is the show's id; `GET /api/merchant/orders/{order}` has the rest. `pieces` are what was sold, `lines`
    units by SKU, `refunded` all that was given back so far, `amount_minor` what was given back now, or came back now;
    `reason` why, in the bank's word. `dispute_status`: open, won (by the brand), lost, or closed without either;
    `due_ms`: until when the provider takes evidence."""

    order: str
    number: str
    show: str
    total: Money
    pieces: list[PieceTold] = []
    status: str = ""
    shipment: str = ""
    lines: dict[str, Any] = {}
    refund: str = ""
    amount_minor: int = 0
    refunded: Money | None = None
    reason: str = ""
    dispute: str = ""
    dispute_status: str = ""
    due_ms: int | None = None


class HoldTold(msgspec.Struct, frozen=True):
    """A hold that ran out unpaid: its units are for sale again."""

    show: str
    sku: str
    qty: int


class StockTold(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a SKU stands: `on_hand` counts sold units too. `change` and `by` where somebody changed it by hand."""

    brand: str
    sku: str
    on_hand: int
    sold: int
    change: int = 0
    by: str = ""


class ShowTold(msgspec.Struct, frozen=True):
    show: str
    slug: str


class DropTold(msgspec.Struct, frozen=True):
    """A look's drop; `drop` is its entry in the timeline. `at_ms` is media time; between `opens_ms` and `closes_ms`,
    server times, its pieces can be held; None: from its card on, and until it is closed or the show is over."""

    show: str
    look: str
    number: int
    title: str
    drop: int
    at_ms: int
    opens_ms: int | None
    closes_ms: int | None


class LineHeldTold(msgspec.Struct, frozen=True):
    """`case` is decided by `case.decide` (docs/protocol.md), `why` what it was held for."""

    show: str
    case: str
    why: str
    person: str
    name: str
    text: str


class LineReportedTold(msgspec.Struct, frozen=True):
    show: str
    line: str
    person: str
    name: str
    text: str
    why: str


class LineRemovedTold(msgspec.Struct, frozen=True):
    """`by` took it out: a moderator, a program, or who wrote it."""

    show: str
    line: str
    person: str
    by: str


class SilenceTold(msgspec.Struct, frozen=True):
    """`until_ms` is server time; `shadow`: she does not know."""

    show: str
    person: str
    name: str
    reason: str
    until_ms: int
    shadow: bool
    by: str


class TestTold(msgspec.Struct, frozen=True):
    """Sent by hand, to see that it arrives."""

    brand: str
    endpoint: str


SHAPES: dict[Kind, type[msgspec.Struct]] = {
    "order.paid": OrderTold,
    "order.fulfilled": OrderTold,
    "order.unfulfilled": OrderTold,
    "order.returned": OrderTold,
    "order.cancelled": OrderTold,
    "order.refunded": OrderTold,
    "order.refund_failed": OrderTold,
    "order.disputed": OrderTold,
    "hold.lapsed": HoldTold,
    "stock.changed": StockTold,
    "show.opened": ShowTold,
    "show.ended": ShowTold,
    "drop.opened": DropTold,
    "drop.closed": DropTold,
    "drop.withdrawn": DropTold,
    "line.held": LineHeldTold,
    "line.reported": LineReportedTold,
    "line.removed": LineRemovedTold,
    "person.timed_out": SilenceTold,
    "person.banned": SilenceTold,
    "webhook.test": TestTold,
}
WORDS: dict[Kind, str] = {
    "order.paid": "An order is paid: the units are sold",
    "order.fulfilled": "A parcel of an order left",
    "order.unfulfilled": "A parcel was taken back before it left",
    "order.returned": "Units of an order came back",
    "order.cancelled": "An order, or what was left of it, was cancelled",
    "order.refunded": "Money of an order was given back, all or part",
    "order.refund_failed": "A refund that the provider had taken came back: its money is owed again",
    "order.disputed": "A buyer's bank wants the money of an order back, and again when that is decided",
    "hold.lapsed": "A hold ran out unpaid",
    "stock.changed": "What is on hand or sold of a SKU changed; several changes at once are told as one",
    "show.opened": "A show went on air",
    "show.ended": "A show is over",
    "drop.opened": "A look's card came out; it says from when on its pieces can be held",
    "drop.closed": "A drop was ended by hand, before its time",
    "drop.withdrawn": "A look's card was taken back",
    "line.held": "A line waits for a moderator",
    "line.reported": "Viewers reported a line",
    "line.removed": "A line was taken out",
    "person.timed_out": "Somebody was asked to stay silent for a while",
    "person.banned": "Somebody was banned",
    "webhook.test": "Sent by hand from the studio or the command line",
}
# Who may read the like over the API: a program's endpoint hears no more than the program itself may read.
READ_BY: dict[Kind, str] = {
    "order.paid": "orders:read",
    "order.fulfilled": "orders:read",
    "order.unfulfilled": "orders:read",
    "order.returned": "orders:read",
    "order.cancelled": "orders:read",
    "order.refunded": "orders:read",
    "order.refund_failed": "orders:read",
    "order.disputed": "orders:read",
    "hold.lapsed": "stock:read",
    "stock.changed": "stock:read",
    "show.opened": "shows:read",
    "show.ended": "shows:read",
    "drop.opened": "shows:read",
    "drop.closed": "shows:read",
    "drop.withdrawn": "shows:read",
    "line.held": "room:read",
    "line.reported": "room:read",
    "line.removed": "room:read",
    "person.timed_out": "room:read",
    "person.banned": "room:read",
    "webhook.test": "webhooks:write",
}
TEST: Kind = "webhook.test"
CHOSEN: tuple[Kind, ...] = tuple(kind for kind in SHAPES if kind != TEST)  # what an endpoint may choose from
