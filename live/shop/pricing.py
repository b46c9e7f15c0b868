"""What a bag costs. Pure: every price comes in from the server's own books."""

from __future__ import annotations

from collections.abc import Iterable

from live.money import Money


def total(lines: Iterable[tuple[Money, int]], currency: str) -> Money:
    """The sum of unit price × units; nothing is 0 of `currency`. Raises ValueError for a mix of currencies."""
    amount = Money(0, currency)
    for unit, qty in lines:
        amount = amount + unit * qty
    return amount
