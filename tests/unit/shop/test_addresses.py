"""Addresses as each country writes them."""

from __future__ import annotations

import re

import pytest

from live.errors import Invalid
from live.shop import addresses
from live.shop.contact import Address, Contact, checked


def test_every_country_has_a_form_with_a_street_and_patterns_that_browsers_can_read() -> None:
    for country in addresses.countries():
        form = addresses.form(country)
        assert "line1" in {field.name for field in form.fields()}, country
        for field in form.fields():
            assert not re.search(r"\(\?[<P]", field.pattern), f"{country}: no look-behind, no named groups"
            assert not field.example or re.fullmatch(field.pattern, field.example, re.IGNORECASE), country


def test_a_form_has_its_countrys_fields_in_its_order() -> None:
    def rows(country: str) -> list[list[str]]:
        return [[field.name for field in row] for row in addresses.form(country).rows]

    assert rows("DE") == [["line1"], ["line2"], ["postcode", "city"]]
    assert rows("US") == [["line1"], ["line2"], ["city", "area"], ["postcode"]]
    state = next(field for field in addresses.form("US").fields() if field.name == "area")
    assert (state.label, state.required) == ("State", True)
    assert ("NY", "New York") in state.choices


@pytest.mark.parametrize(
    ("address", "field"),
    [
        (Address("1 Main St", "Albany", "US", "12207"), "address.area"),
        (Address("1 Main St", "Albany", "US", "12207", area="Bavaria"), "address.area"),
        (Address("1 Main St", "Albany", "US", "SW1Y 4JH", area="NY"), "address.postcode"),
        (Address("Weg 1", "Bonn", "DE"), "address.postcode"),
        (Address("Weg 1", "", "DE", "53111"), "address.city"),
    ],
)
def test_what_a_country_needs_is_asked_for_by_its_field(address: Address, field: str) -> None:
    with pytest.raises(Invalid) as told:
        checked(Contact("Ada", "ada@example.org", address))
    assert told.value.facts["field"] == field
    assert set(told.value.facts["fields"]) == {field}


def test_every_wrong_field_is_told_at_once() -> None:
    with pytest.raises(Invalid) as told:
        checked(Contact("", "ada", Address("", "", "DE", "x")))
    assert list(told.value.facts["fields"]) == [
        "name", "email", "address.line1", "address.postcode", "address.city"
    ]  # fmt: skip


def test_an_address_is_kept_as_its_country_writes_it() -> None:
    kept = checked(
        Contact("Ada", "a@b.de", Address("1 Main St", "Albany", "us", "12207-1234", area="new york"))
    ).address
    assert (kept.country, kept.area) == ("US", "NY")
    kept = checked(
        Contact("Ada", "a@b.de", Address("12 St James's Sq", "London", "GB", "sw1y 4jh", area="Kent"))
    ).address
    assert (kept.postcode, kept.area) == ("SW1Y 4JH", ""), "a county is no part of a British address"


def test_an_address_is_written_as_on_a_parcel() -> None:
    there = {
        "line1": "1 Main St",
        "line2": "Flat 2",
        "city": "Albany",
        "area": "NY",
        "postcode": "12207",
        "country": "US",
    }
    assert addresses.lines(there, "Ada") == ["Ada", "1 Main St", "Flat 2", "ALBANY, NY 12207", "United States"]
