"""What tax a brand's prices contain, or are added to. Pure.

A brand sells either with the tax in its prices (where consumers must be shown the whole price: the EU, the United
Kingdom, Japan, Australia …) or adds it at the checkout (the United States, Canada). Which rate, the place decides to
which the order goes. Where the table has no rate, none is taken: a price that contains tax then stays the price it is,
and contains none.

DEFAULTS are standard rates as of RATES_AS_OF. What they do not know: reduced rates by kind of goods, regions of their
own within a country (the Canaries, Åland, Büsingen), the threshold below which a small EU seller may charge its home
rate everywhere, and the sales taxes of the United States and of Canada's PST and QST provinces, which depend on where a
seller is registered. A brand sets those itself: `frontrow tax set`.
Source: Directive 2006/112/EC, Articles 33 and 97; rates as the EU and the national tax offices publish them
"""

from __future__ import annotations

import re

import msgspec

from live.errors import Invalid

RATES_AS_OF = "2026-01-01"
RATE_MAX_BP = 5_000  # 50 %
PLACE = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")  # a country, or one area of it: ISO 3166-1, ISO 3166-2

_EU = {
    "AT": 2000, "BE": 2100, "BG": 2000, "HR": 2500, "CY": 1900, "CZ": 2100, "DK": 2500, "EE": 2400, "FI": 2550,
    "FR": 2000, "DE": 1900, "GR": 2400, "HU": 2700, "IE": 2300, "IT": 2200, "LV": 2100, "LT": 2100, "LU": 1700,
    "MT": 1800, "NL": 2100, "PL": 2300, "PT": 2300, "RO": 2100, "SK": 2300, "SI": 2200, "ES": 2100, "SE": 2500,
}  # fmt: skip
_HOME = {
    "GB": 2000, "NO": 2500, "CH": 810, "LI": 810, "IS": 2400, "AU": 1000, "NZ": 1500, "JP": 1000, "KR": 1000, "SG": 900,
}  # fmt: skip
_CANADA = {"CA": 500, "CA-ON": 1300, "CA-NB": 1500, "CA-NL": 1500, "CA-PE": 1500, "CA-NS": 1400}
EU = frozenset(_EU)
ADDED_IN = frozenset(("US", "CA"))  # prices are told without it


class Taxes(msgspec.Struct, frozen=True):
    """How a brand charges tax. `rates`: a place (`DE`, `CA-ON`) to hundredths of a percent."""

    included: bool
    rates: dict[str, int]


def default(country: str) -> Taxes:
    """What a brand at home in `country` starts with."""
    if country in EU:
        return Taxes(True, dict(_EU))
    if country == "CA":
        return Taxes(False, dict(_CANADA))
    return Taxes(country not in ADDED_IN, {country: _HOME[country]} if country in _HOME else {})


def of_brand(kept: str, country: str) -> Taxes:
    """The brand's own, as SQL keeps it, or its country's."""
    return msgspec.json.decode(kept, type=Taxes) if kept else default(country)


def checked(taxes: Taxes) -> Taxes:
    """Raises Invalid(place, why)."""
    for place, rate in taxes.rates.items():
        if not PLACE.fullmatch(place):
            raise Invalid(place, "is not a place like DE or CA-ON")
        if not 0 <= rate <= RATE_MAX_BP:
            raise Invalid(place, f"has a rate that is not 0 to {RATE_MAX_BP // 100} %")
    return taxes


def rate(taxes: Taxes, country: str, area: str = "") -> tuple[str, int]:
    """The place whose rate an order goes by, and the rate: an area's own before its country's. ("", 0): none."""
    for place in (f"{country}-{area}", country):
        if place in taxes.rates:
            return place, taxes.rates[place]
    return "", 0


def part(amount_minor: int, rate_bp: int, *, included: bool) -> int:
    """The tax of an amount in minor units: contained in it, or to be added to it. Halves are rounded up, as invoices
    do; the amount is never negative."""
    whole = 10_000 + rate_bp if included else 10_000
    return (2 * amount_minor * rate_bp + whole) // (2 * whole)
