"""Where an order stands, and what may be done with it: the one state machine, pure.

    pending ──pay──► paid ──fulfil──► part_fulfilled ──► fulfilled ──return──► part_returned ──► returned
       │              │                  (a parcel noted by mistake goes back one step)
       ├─cancel─► cancelled ◄──cancel── (all units, before any was shipped)
       └─refund─► refunded ◄── part_refunded ◄──refund── any sold order with money left

Until it is sold an order moves by MOVES: the payment alone decides. From the sale on its status is no memory of its own
but the sum of what happened: `standing` reads it off the units and the money, so that no order of acts, no crash and no
repeat can leave a status that contradicts them. What came last decides where several hold: money that went back is said
before goods that came back, and these before goods that left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from live.errors import Conflict, Invalid, WrongState
from live.events import OrderStatus

Move = Literal["pay", "cancel", "refund"]
Act = Literal["fulfil", "unfulfil", "return", "cancel", "refund"]

# A cancelled order whose payment arrives after all is refunded, never revived: its buyer may have bought anew.
MOVES: dict[tuple[str, Move], OrderStatus] = {
    ("pending", "pay"): "paid",
    ("pending", "cancel"): "cancelled",
    ("pending", "refund"): "refunded",
    ("cancelled", "refund"): "refunded",
}
# Of a refund: its money left the brand, or stayed with it after all.
WENT_BACK, STAYED = ("accepted", "done"), ("refused", "failed")
STATUSES: tuple[OrderStatus, ...] = (
    "pending",
    "paid",
    "part_fulfilled",
    "fulfilled",
    "part_returned",
    "returned",
    "part_refunded",
    "refunded",
    "cancelled",
)


def after(status: str, move: Move) -> OrderStatus:
    """The status a move leads to, of an order that is not sold. Raises WrongState."""
    try:
        return MOVES[status, move]
    except KeyError:
        raise WrongState(status, " or ".join(s for s, m in MOVES if m == move)) from None


class Units(msgspec.Struct, frozen=True):
    """What became of a sold line's `qty` units, for which `paid_minor` was paid. `struck`: cancelled before they were
    shipped; `restocked`: for sale again, of the struck and the returned; `repaid`: their worth was refunded, or is
    about to be."""

    sku: str
    qty: int
    paid_minor: int
    shipped: int = 0
    struck: int = 0
    returned: int = 0
    restocked: int = 0
    repaid: int = 0

    @property
    def open(self) -> int:
        """Units that are still to be shipped."""
        return self.qty - self.shipped - self.struck

    @property
    def out(self) -> int:
        """Units that the buyer has."""
        return self.shipped - self.returned


def standing(lines: Iterable[Units], *, captured: int, refunded: int) -> OrderStatus:
    """The status of a sold order: minor units captured, and those that went back."""
    lines = list(lines)
    to_ship, out = sum(line.open for line in lines), sum(line.out for line in lines)
    shipped, returned = sum(line.shipped for line in lines), sum(line.returned for line in lines)
    if not shipped and not to_ship:
        return "cancelled"
    if captured and refunded >= captured:
        return "refunded"
    if returned and not out and not to_ship:
        return "returned"
    if refunded:
        return "part_refunded"
    if returned:
        return "part_returned"
    if not to_ship:
        return "fulfilled"
    return "part_fulfilled" if shipped else "paid"


def allowed(lines: Iterable[Units], *, left_minor: int, under_way: bool) -> frozenset[Act]:
    """What may be done with a sold order. `left_minor`: captured and not given back; `under_way`: a refund is."""
    lines = list(lines)
    acts: set[Act] = set()
    if any(line.open for line in lines):
        acts |= {"fulfil"} if under_way else {"fulfil", "cancel"}
    if any(line.out for line in lines):
        acts |= {"return", "unfulfil"}
    if left_minor > 0 and not under_way:
        acts.add("refund")
    return frozenset(acts)


# ---- how many units --------------------------------------------------------------------------------


def chosen(
    lines: Mapping[str, Units], wanted: Mapping[str, int], of: Literal["open", "out", "unpaid"]
) -> dict[str, int]:
    """The units that an act takes, checked against those that are there.

    Raises: Invalid (nothing, fewer than one, no such line), Conflict (`left`: someone was there first).
    """
    if not wanted:
        raise Invalid("lines", "name at least one piece")
    for sku, qty in wanted.items():
        if sku not in lines:
            raise Invalid("sku", "is not in this order")
        if qty < 1:
            raise Invalid("qty", "must be 1 or more")
        line = lines[sku]
        left = {"open": line.open, "out": line.out, "unpaid": line.qty - line.repaid}[of]
        if qty > left:
            raise Conflict("too_many_units", sku=sku, left=left)
    return dict(wanted)


# ---- how much money --------------------------------------------------------------------------------


def worth(lines: Iterable[Units], units: Mapping[str, int]) -> int:
    """What the buyer paid for `units` (SKU -> how many), beyond those that were repaid already: minor units.

    A unit's share of its line is a difference of sums that are rounded down, so the parts of a line add up to the
    whole, to the cent, whichever way it is taken apart.
    """
    amount = 0
    for line in lines:
        more = units.get(line.sku, 0)
        amount += line.paid_minor * (line.repaid + more) // line.qty - line.paid_minor * line.repaid // line.qty
    return amount


def is_whole(lines: Iterable[Units], struck: Mapping[str, int]) -> bool:
    """Whether cancelling these units cancels the order: none of it was shipped, and nothing of it is left to be."""
    return all(not line.shipped and line.open == struck.get(line.sku, 0) for line in lines)


def repaid_by(lines: Mapping[str, Units], units: Mapping[str, int], *, left_minor: int) -> tuple[int, dict[str, int]]:
    """What goes back for `units`, and for which of them: those that were repaid already are not repaid again, and
    nothing goes back beyond what is left."""
    unpaid = {sku: min(qty, lines[sku].qty - lines[sku].repaid) for sku, qty in units.items()}
    unpaid = {sku: qty for sku, qty in unpaid.items() if qty > 0}
    return min(worth(lines.values(), unpaid), left_minor), unpaid


def amount_within(amount_minor: int, left_minor: int) -> int:
    """`amount_minor`, if as much is left to give back. Raises: Invalid (less than 1), Conflict (`left_minor`)."""
    if amount_minor < 1:
        raise Invalid("amount_minor", "must be 1 or more")
    if amount_minor > left_minor:
        raise Conflict("more_than_is_left", left_minor=left_minor)
    return amount_minor
