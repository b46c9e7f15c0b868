"""Coupon rain: a budget that falls in exact cents on those who stood in it. Pure.

Whoever tapped within the window has the same chance; nobody's finger or line decides. Where more tapped than there are
portions, the lot chooses (as in draws.py, with a committed seed); the same order gives away the odd cents.
"""

from __future__ import annotations

from collections.abc import Iterable

from live.errors import Invalid
from live.money import Money
from live.play import draws

BUDGET_MAX_MINOR = 1_000_000
PORTIONS = range(1, 10_001)
SECONDS = range(3, 61)


def check(budget: Money, portions: int, seconds: int) -> None:
    """Raises: Invalid."""
    if not 1 <= budget.minor <= BUDGET_MAX_MINOR:
        raise Invalid("budget", f"1 to {BUDGET_MAX_MINOR} minor units")
    if not (len(budget.currency) == 3 and budget.currency.isascii() and budget.currency.isupper()):
        raise Invalid("budget", "currency is three capital letters")
    if portions not in PORTIONS or portions > budget.minor:
        raise Invalid("portions", f"1 to {PORTIONS.stop - 1}, and at least one minor unit each")
    if seconds not in SECONDS:
        raise Invalid("seconds", f"{SECONDS.start} to {SECONDS.stop - 1}")


def fall(seed: bytes, taps: Iterable[str], budget_minor: int, portions: int) -> dict[str, int]:
    """Who gets how many minor units: parts that differ by at most one, and together are the budget to the cent. Empty
    when nobody tapped."""
    lucky = draws.winners(seed, taps, min(portions, budget_minor))
    if not lucky:
        return {}
    each, odd = divmod(budget_minor, len(lucky))
    return {person: each + (place < odd) for place, person in enumerate(lucky)}
