"""Amounts as people type them."""

from __future__ import annotations

import pytest

from live.money import Money, typed_hundredths, typed_minor


def test_an_amount_is_read_to_the_minor_unit_with_point_or_comma() -> None:
    assert [typed_minor(text, "EUR") for text in ("129", " 129.5", "129,50", "0")] == [12_900, 12_950, 12_950, 0]
    assert typed_minor("1000", "JPY") == 1_000
    assert [typed_minor(text, "KWD") for text in ("1.000", "1000", "0,500", "1,5")] == [1_000, 1_000_000, 500, 1_500]
    assert typed_minor(Money(1_000, "KWD").plain(), "KWD") == 1_000
    assert typed_hundredths("12,5") == 1_250


@pytest.mark.parametrize(
    ("text", "currency", "why"),
    [
        ("1,000", "EUR", "at most 2 decimals"),
        ("1.000", "EUR", "at most 2 decimals"),
        ("1,000", "JPY", "at most 0 decimals"),
        ("1,000", "KWD", "may be 1000 or 1.000"),
        ("12,345", "KWD", "may be 12345 or 12.345"),
        ("1,000.5", "KWD", "number"),
        ("-1", "EUR", "0 or more"),
    ],
)
def test_what_may_be_a_thousand_is_refused_in_every_currency(text: str, currency: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        typed_minor(text, currency)
