"""How an order reads: to its buyer, and to the brand's staff. Templates print what is built here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from live.errors import Invalid
from live.money import Money, typed_minor
from live.shop import addresses
from live.shop.order_list import VIEWS, Row
from live.shop.order_sheet import DISPUTED, LOST, OWED
from live.shop.order_state import STATUSES, Units, is_whole, repaid_by
from live.shop.order_story import Entry, Origin, StaffOrder
from live.shop.orders import Order, OrderLine, Shipment
from live.web.refund_words import DISPUTE_WORDS, bank_words, dispute_view, refund_view, troubles_of
from live.web.words import order_view, when

STATUS_WORDS = {
    "pending": "Waiting for payment",
    "paid": "Paid",
    "part_fulfilled": "Shipped in part",
    "fulfilled": "Shipped",
    "part_returned": "Returned in part",
    "returned": "Returned",
    "part_refunded": "Refunded in part",
    "refunded": "Refunded",
    "cancelled": "Cancelled",
}
VIEW_WORDS = {
    "": "All that were sold",
    "to_ship": "To ship",
    "refund_open": "Refunds under way",
    "refund_refused": "Refunds that were refused",
    "refund_failed": "Refunds that came back",
    "disputed": "Disputed payments",
    "all": "Everything, unpaid too",
}
DONE_WORDS = {  # what a page says after an act
    "fulfil": "Noted. The buyer hears of it in two minutes; until then it can be taken back unseen.",
    "void": "Taken back. Its pieces are to be shipped again.",
    "return": "Noted.",
    "refund": "The refund is decided.",
    "again": "The refund is decided anew.",
    "cancel": "Cancelled.",
    "note": "Written down.",
}
WHY_WORDS = {  # of a Conflict
    "too_many_units": "Somebody was there first: not that many are left. Look again.",
    "order_moved": "{who} {did} a moment ago. Nothing was done; look at the order as it is now, then decide.",
    "refund_under_way": "A refund of this order is under way. Wait until the provider has answered.",
    "more_than_is_left": "That is more than is left to give back: {left}.",
    "sent_again": "That refund was sent again already.",
    "disputed": "The payment is disputed: the buyer's bank has its money. Nothing is refunded until it decides.",
    "came_back": "A piece of that parcel came back: it did leave.",
}
_UNSOLD_WORDS = {  # to a buyer whose payment was taken and not used
    OWED: "Your payment could not be sent back to your card. We owe it to you, and will be in touch.",
    DISPUTED: "Your payment was not used. Your bank has asked for it back; what it leaves with us is sent to you.",
    LOST: "Your payment was not used, and you have it back from your bank.",
}
_DID = {
    "order.paid": "paid for it",
    "order.fulfilled": "shipped a part of it",
    "order.unfulfilled": "took a parcel back",
    "order.returned": "took something back",
    "order.cancelled": "cancelled of it",
    "refund.asked": "refunded of it",
    "refund.refused": "refused a refund",
    "refund.failed": "sent a refund back",
    "dispute.opened": "disputed the payment",
    "dispute.withdrawn": "took the disputed money",
    "dispute.closed": "decided on a dispute",
    "dispute.returned": "gave the disputed money back",
}


def statuses() -> list[tuple[str, str]]:
    """What the list can be narrowed to."""
    views = [(view, VIEW_WORDS[view]) for view in VIEWS if view != "all"]
    return [*views, *((status, STATUS_WORDS[status]) for status in STATUSES), ("all", VIEW_WORDS["all"])]


def row_view(row: Row) -> dict[str, Any]:
    """A line of the list."""
    to_ship = f"{row.to_ship} to ship" if row.to_ship else ""
    back = f"{row.refunded.words()} back" if row.refunded.minor else ""
    lost = f"{row.lost.words()} lost" if row.lost.minor else ""
    return {
        "number": row.number,
        "status": row.status,
        "status_words": STATUS_WORDS[row.status],
        "name": row.name,
        "email": row.email,
        "show": row.show_title,
        "when_ms": row.created_ms,
        "when": when(row.created_ms),
        "total": row.total.words(),
        "units": f"{row.units} piece" + ("" if row.units == 1 else "s"),
        "more": " · ".join(part for part in (to_ship, back, lost) if part),
        "troubles": [
            *(["a refund came back"] if row.came_back else []),
            *(["a refund was refused"] if row.trouble else []),
            *([DISPUTE_WORDS[row.dispute].lower()] if row.dispute else []),
        ],
        "to_ship": row.to_ship,
    }


def what_of(line: OrderLine) -> str:
    return " · ".join(part for part in (line.size, line.colour) if part)


def address_of(order: Order) -> list[str]:
    """The lines of a label: where it goes, without the name."""
    return addresses.lines(order.address)


def parcel_view(parcel: Shipment, lines: Mapping[str, OrderLine]) -> dict[str, Any]:
    """A parcel, to its buyer and to staff."""
    inside = ((lines[sku], qty) for sku, qty in parcel.lines.items() if sku in lines)
    return {
        "id": parcel.id,
        "how": ", ".join(part for part in (parcel.carrier, parcel.tracking) if part),
        "url": parcel.tracking_url,
        "when_ms": parcel.created_ms,
        "when": when(parcel.created_ms),
        "pieces": [
            " · ".join(part for part in (line.title, what_of(line)) if part) + (f" × {qty}" if qty > 1 else "")
            for line, qty in inside
        ],
    }


def became_of(line: OrderLine) -> str:
    """What became of a line's units, where that is not the same for all that is plain: `2 shipped, 1 returned`."""
    parts = ((line.shipped, "shipped"), (line.returned, "returned"), (line.struck, "cancelled"))
    if line.qty == 1:
        return next((words.capitalize() for units, words in reversed(parts) if units), "")
    return ", ".join(f"{units} {words}" for units, words in parts if units)


def buyer_view(order: Order) -> dict[str, Any]:
    """An order as pages/order.html prints it: what is so from its placing on, and what became of it since."""
    view, lines = order_view(order), {line.sku: line for line in order.lines}
    if order.status == "cancelled" and order.paid_ms is not None:
        back = sum(one.amount.minor for one in order.refunds)
        view["title"] = "Cancelled."
        view["lede"] = f"{Money(back, order.total.currency).words()} is on its way back to you." if back else ""
    if order.payment in _UNSOLD_WORDS:
        view["lede"] = _UNSOLD_WORDS[order.payment]
    for shown, line in zip(view["lines"], order.lines, strict=True):
        shown["became"] = became_of(line)
    return {
        **view,
        "parcels": [parcel_view(one, lines) for one in order.shipments],
        "refunds": [
            {
                "amount": one.amount.words(),
                "words": "On its way to you" if one.done_ms is None else "Sent back to where it came from",
                "when_ms": one.done_ms or one.created_ms,
                "when": when(one.done_ms or one.created_ms),
            }
            for one in order.refunds
        ],
    }


def staff_view(found: StaffOrder) -> dict[str, Any]:
    """One order as studio/order.html prints it."""
    order, lines = found.order, {line.sku: line for line in found.order.lines}
    acts = set(found.acts)
    return {
        "number": order.number,
        "token": order.token,
        "status": order.status,
        "status_words": STATUS_WORDS[order.status],
        "version": found.version,
        "name": order.name,
        "email": order.email,
        "address": address_of(order),
        "show": order.show_title,
        "show_slug": order.show_slug,
        "when_ms": order.created_ms,
        "when": when(order.created_ms),
        "acts": acts,
        "lines": [_line_view(line, found.units[line.sku], found.origins[line.sku]) for line in order.lines],
        "sums": sums_of(order),
        "left": found.left.words() if "refund" in acts else "",
        "left_plain": found.left.plain(),
        "currency": order.total.currency,
        "parcels": [parcel_view(one, lines) for one in order.shipments],
        "refunds": [refund_view(one, can="refund" in acts) for one in found.refunds],
        "refused": bool(found.refunds) and found.refunds[-1].status == "refused",
        "troubles": troubles_of(found),
        "disputes": [dispute_view(one) for one in found.disputes],
        "under_way": any(one.status == "asked" for one in found.refunds),
        "story": [entry_view(one, order, lines) for one in reversed(found.ledger)],
    }


def sums_of(order: Order) -> list[tuple[str, str]]:
    """The rows above the total, and what went back of it."""
    sums = order.sums
    rows = [("Pieces", sums.goods.words())]
    if sums.discount.minor:
        rows.append((", ".join(sums.codes) or "Discount", f"−{sums.discount.words()}"))
    if sums.shipping.minor or sums.shipping_title:
        rows.append((sums.shipping_title or "Shipping", sums.shipping.words() if sums.shipping.minor else "Free"))
    if sums.tax.minor and not sums.tax_included:
        rows.append(("Tax", sums.tax.words()))
    rows.append(("Total", order.total.words()))
    if sums.tax.minor and sums.tax_included:
        rows.append(("Tax in it", sums.tax.words()))
    if order.refunded is not None and order.refunded.minor:
        rows.append(("Refunded", f"−{order.refunded.words()}"))
    return rows


def _line_view(line: OrderLine, units: Units, origin: Origin) -> dict[str, Any]:
    return {
        "sku": line.sku,
        "title": line.title,
        "what": what_of(line),
        "qty": line.qty,
        "price": Money(units.paid_minor, line.unit.currency).words(),
        "picture": line.picture,
        "became": became_of(line),
        "open": units.open,
        "out": units.out,
        "unpaid": units.qty - units.repaid,
        "origin": origin_words(origin),
    }


def origin_words(origin: Origin) -> str:
    """`Look 2, Evening coat · dropped 0:12:00 into the show · bought at 0:12:34`; what nobody knows is left out."""
    look = f"Look {origin.look}" if origin.look is not None else ""
    title = origin.title if origin.title != look else ""
    drop = drop_words(origin)
    tap = "" if origin.at_ms is None else f"bought at {clock_of(origin.at_ms)}" + ("" if drop else " into the show")
    named = ", ".join(part for part in (look, title) if part)
    return " · ".join(part for part in (named, f"dropped {drop}" if drop else "", tap) if part)


def drop_words(origin: Origin) -> str:
    """Which of a look's drops it was, as people name it: by its time. `0:12:00 into the show`."""
    return "" if origin.dropped_at_ms is None else f"{clock_of(origin.dropped_at_ms)} into the show"


def clock_of(at_ms: int) -> str:
    """Media time as a clock: hours, minutes, seconds."""
    at_s = at_ms // 1000
    return f"{at_s // 3600}:{at_s // 60 % 60:02}:{at_s % 60:02}"


def entry_view(entry: Entry, order: Order, lines: Mapping[str, OrderLine]) -> dict[str, Any]:
    """An entry of the ledger as a sentence, and what there is to say beside it."""
    facts = entry.facts

    def amount(name: str) -> str:
        return Money(int(facts.get(name, 0)), order.total.currency).words()

    pieces = ", ".join(
        f"{qty} × {lines[sku].title}" + (f" {lines[sku].size}" if lines[sku].size else "")
        for sku, qty in (facts.get("lines") or {}).items()
        if sku in lines
    )
    again = sum((facts.get("restocked") or {}).values())
    reason = str(facts.get("reason", "")).replace("_", " ")
    words, more = {
        "order.placed": ("Placed", ""),
        "order.paid": (f"Paid, {amount('captured_minor')}", ""),
        "order.fulfilled": (
            f"Shipped {pieces}",
            ", ".join(part for part in (facts.get("carrier", ""), facts.get("tracking", "")) if part),
        ),
        "order.unfulfilled": (f"Parcel taken back: {pieces}", "It was noted by mistake."),
        "order.returned": (
            f"Came back: {pieces}",
            (f"{again} for sale again" if again else "Not for sale again")
            + (f", {amount('refund_minor')} to be refunded" if facts.get("refund_minor") else ""),
        ),
        "order.cancelled": (
            f"Cancelled: {pieces}" if pieces else "Cancelled",
            facts.get("note") or reason,
        ),
        "refund.asked": (f"Refund of {amount('amount_minor')} decided", facts.get("note", "")),
        "refund.decided": ("Refund decided", reason),
        "order.refunded": (
            f"Refunded {amount('amount_minor' if 'amount_minor' in facts else 'refunded_minor')}",
            "On the provider's own site." if facts.get("outside") else "",
        ),
        "refund.refused": (f"Refund of {amount('amount_minor')} refused", str(facts.get("why", ""))),
        "refund.failed": (f"Refund of {amount('amount_minor')} came back", bank_words(str(facts.get("why", "")))),
        "order.noted": ("Note", facts.get("note", "")),
        "dispute.opened": (f"{amount('amount_minor')} disputed by the buyer's bank", reason),
        "dispute.withdrawn": (f"The bank took the disputed {amount('amount_minor')}", ""),
        "dispute.returned": (f"The bank gave the disputed {amount('amount_minor')} back", ""),
        "dispute.closed": (DISPUTE_WORDS.get(facts.get("status", ""), ""), ""),
    }.get(entry.kind, (entry.kind, ""))
    return {
        "words": words,
        "more": more,
        "by": entry.actor,
        "when_ms": entry.wall_ms,
        "when": when(entry.wall_ms),
        "trouble": entry.kind in ("refund.refused", "refund.failed", "dispute.opened"),
    }


# ---- money as people type it -------------------------------------------------------------------


def minor_of(text: str, currency: str) -> int:
    """`129`, `129.5`, `129,50` → minor units, above 0. Raises Invalid."""
    try:
        minor = typed_minor(text, currency)
    except ValueError as why:
        raise Invalid("amount", str(why)) from None
    if minor == 0:
        raise Invalid("amount", "must be above 0")
    return minor


# ---- what an act would do ----------------------------------------------------------------------


def repays(found: StaffOrder, units: Mapping[str, int]) -> Money:
    """What giving units back would give back of the money."""
    known = {sku: qty for sku, qty in units.items() if sku in found.units}
    amount, _ = repaid_by(found.units, known, left_minor=found.left.minor)
    return Money(amount, found.left.currency)


def cancelling_repays(found: StaffOrder, units: Mapping[str, int]) -> Money:
    """The same, of units that won't be shipped: with the whole order goes all that is left."""
    return found.left if is_whole(found.units.values(), units) else repays(found, units)


def refused(why: str, facts: Mapping[str, Any]) -> str:
    """A Conflict in words."""
    kind = str(facts.get("kind"))
    nobody = "A bank" if kind == "refund.failed" or kind.startswith("dispute.") else "Somebody"
    who, did = facts.get("name") or nobody, _DID.get(kind, "changed it")
    return WHY_WORDS.get(why, "Somebody was there first. Look again.").format(
        who=who, did=did, left=facts.get("left", "")
    )
