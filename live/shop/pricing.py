"""What a bag costs, and what a price may be said to have been. Pure: every price is from the server's own books."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from live.money import Money

PRIOR_MS = 30 * 86_400_000  # how far back a struck-through price looks
PriceSince = tuple[int, int]  # from ms, minor units
FOR_EVER_MS = 4_102_444_800_000  # 2100: the end of a sale that nobody gave one


class Sale(msgspec.Struct, frozen=True):
    """A price for a while: from `from_ms` until just before `until_ms`, both server time."""

    minor: int
    from_ms: int
    until_ms: int = FOR_EVER_MS


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


def schedule(price_minor: int, sale: Sale | None, now_ms: int) -> list[PriceSince]:
    """What is charged from now on, and what changes by itself: the price's and the sale's own moments."""
    if sale is None or sale.until_ms <= max(now_ms, sale.from_ms):
        return [(now_ms, price_minor)]
    turns = [(max(now_ms, sale.from_ms), sale.minor)]
    if sale.from_ms > now_ms:
        turns.insert(0, (now_ms, price_minor))
    return turns if sale.until_ms >= FOR_EVER_MS else [*turns, (sale.until_ms, price_minor)]


def struck_through_in(history: Sequence[PriceSince], price_minor: int, sale: Sale, now_ms: int) -> int | None:
    """As `struck_through`, of a sale: the lowest price of the 30 days before its window opens.

    `history` is what was charged so far. Before the window, `price_minor` is what will be charged until then.
    """
    begins_ms = max(sale.from_ms, now_ms)
    if sale.from_ms > now_ms and (not history or history[-1][1] != price_minor):
        history = [*history, (now_ms, price_minor)]
    return struck_through(history, sale.minor, begins_ms)
