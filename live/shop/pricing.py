"""What a bag costs, and what a price may be said to have been. Pure: every price is from the server's own books."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from live.money import Money

PRIOR_MS = 30 * 86_400_000  # how far back a struck-through price looks
PriceSince = tuple[int, int]  # from ms, minor units


def total(lines: Iterable[tuple[Money, int]], currency: str) -> Money:
    """The sum of unit price × units; nothing is 0 of `currency`. Raises ValueError for a mix of currencies."""
    amount = Money(0, currency)
    for unit, qty in lines:
        amount = amount + unit * qty
    return amount


def struck_through(history: Sequence[PriceSince], price_minor: int, now_ms: int) -> int | None:
    """The price that may be shown struck through beside `price_minor`; None when there is nothing to strike.

    `history` is what was charged, oldest first. When its last price is `price_minor`, the reduction began with it, else
    it begins now. The answer is the lowest price in force in the 30 days before the reduction, if that is higher.
    Source: Directive 98/6/EC, Article 6a (the lowest price of at least the last 30 days)
    """
    earlier, began_ms = list(history), now_ms
    while earlier and earlier[-1][1] == price_minor:
        began_ms = earlier.pop()[0]
    opens_ms = began_ms - PRIOR_MS
    before = [price for since_ms, price in earlier if since_ms <= opens_ms][-1:]
    within = [price for since_ms, price in earlier if opens_ms < since_ms < began_ms]
    lowest = min([*before, *within], default=None)
    return lowest if lowest is not None and lowest > price_minor else None
