"""Money is an integer of minor units and an ISO 4217 currency; nothing here ever sees a float."""

from __future__ import annotations

import re
from decimal import Decimal, DecimalException
from functools import lru_cache

import msgspec
from babel.numbers import format_currency, get_currency_precision

_THOUSAND = re.compile(r"([1-9]\d{0,2}),(\d{3})")


class Money(msgspec.Struct, frozen=True, order=True):
    """An amount: `Money(12900, "EUR")` is 129.00 euro. On the wire `{"minor": 12900, "currency": "EUR"}`."""

    minor: int
    currency: str

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __mul__(self, qty: int) -> Money:
        return Money(self.minor * qty, self.currency)

    def _same(self, other: Money) -> None:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")

    def words(self, locale: str = "en") -> str:
        """The amount as people of `locale` write it: `€129.00`. Whole amounts keep their decimals."""
        return _words(self.minor, self.currency, locale)

    def plain(self) -> str:
        """`129.00`: what stands in a field for an amount, and what programs read."""
        return f"{Decimal(self.minor).scaleb(-(places := get_currency_precision(self.currency))):.{places}f}"


def typed_minor(text: str, currency: str) -> int:
    """What somebody typed as an amount, in minor units: `129`, `129.5`, `129,50`. Raises: ValueError (why)."""
    # Where a currency has three decimals, 1,000 may be a thousand and may be one.
    if get_currency_precision(currency) == 3 and (told := _THOUSAND.fullmatch(text.strip())):
        raise ValueError(f"may be {told[1]}{told[2]} or {told[1]}.{told[2]}: write it so")
    return _typed(text, get_currency_precision(currency))


def typed_hundredths(text: str) -> int:
    """What somebody typed as a percentage, in hundredths of a percent: `20`, `12.5`. Raises: ValueError (why)."""
    return _typed(text, 2)


def _typed(text: str, places: int) -> int:
    try:
        typed = Decimal(text.strip().replace(",", "."))
        whole = int(typed.scaleb(places))
    except (DecimalException, ValueError, OverflowError):
        raise ValueError("is not a number like 4.90") from None
    # More decimals than there are is a thousand's mark: 1,000 must not be taken for 1.
    if -int(typed.as_tuple().exponent) > places:
        raise ValueError(f"takes at most {places} decimals")
    if not 0 <= whole < 2**53:
        raise ValueError("must be 0 or more, and not beyond counting")
    return whole


@lru_cache(maxsize=4096)  # a page says the same few prices again and again, and Babel takes 0.1 ms for each
def _words(minor: int, currency: str, locale: str) -> str:
    # Babel's signature takes a Decimal; an exact one is built from the minor units.
    exact = Decimal(minor).scaleb(-get_currency_precision(currency))
    return format_currency(exact, currency, locale=locale)
