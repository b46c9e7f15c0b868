"""Money is an integer of minor units and an ISO 4217 currency; nothing here ever sees a float."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

import msgspec
from babel.numbers import format_currency, get_currency_precision


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


@lru_cache(maxsize=4096)  # a page says the same few prices again and again, and Babel takes 0.1 ms for each
def _words(minor: int, currency: str, locale: str) -> str:
    # Babel's signature takes a Decimal; an exact one is built from the minor units.
    exact = Decimal(minor).scaleb(-get_currency_precision(currency))
    return format_currency(exact, currency, locale=locale)
