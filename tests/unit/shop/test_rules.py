"""The shop's pure rules."""

from __future__ import annotations

import msgspec
import pytest

from live.errors import Invalid, WrongState
from live.money import Money
from live.shop import order_state, orders, pricing
from live.shop.contact import Address, Contact, checked

ADA = Contact("Ada Lovelace", "ada@example.org", Address("12 St James's Square", "London", "gb", "SW1Y 4JH"))


def test_an_order_moves_only_forward() -> None:
    assert order_state.after("pending", "pay") == "paid"
    assert order_state.after("pending", "cancel") == "cancelled"
    for status in ("pending", "cancelled"):
        assert order_state.after(status, "refund") == "refunded"
    for status, act in (
        ("paid", "pay"),
        ("paid", "refund"),
        ("cancelled", "pay"),
        ("refunded", "refund"),
        ("paid", "cancel"),
    ):
        with pytest.raises(WrongState):
            order_state.after(status, act)  # type: ignore[arg-type]


def test_an_order_number_can_be_read_out() -> None:
    numbers = {orders.new_number() for _ in range(200)}
    assert len(numbers) == 200
    assert not set("".join(numbers)) & set("01IO")
    assert all(len(number) == 12 and number.startswith("FR-") for number in numbers)


def test_a_total_is_the_sum_of_its_lines_in_one_currency() -> None:
    assert pricing.total([(Money(1999, "EUR"), 3), (Money(1, "EUR"), 1)], "EUR") == Money(5998, "EUR")
    assert pricing.total([], "JPY") == Money(0, "JPY")
    with pytest.raises(ValueError, match="do not add up"):
        pricing.total([(Money(1, "USD"), 1)], "EUR")


def test_a_contact_is_taken_without_stray_blanks() -> None:
    clean = checked(msgspec.structs.replace(ADA, name="  Ada \t Lovelace "))
    assert (clean.name, clean.address.country) == ("Ada Lovelace", "GB")


@pytest.mark.parametrize(
    ("field", "contact"),
    [
        ("name", msgspec.structs.replace(ADA, name="  ")),
        ("name", msgspec.structs.replace(ADA, name="x" * 121)),
        ("name", msgspec.structs.replace(ADA, name="Ada\u202e")),
        ("email", msgspec.structs.replace(ADA, email="")),
        ("email", msgspec.structs.replace(ADA, email="ada@localhost")),
        ("email", msgspec.structs.replace(ADA, email="ada@@example.org")),
        ("email", msgspec.structs.replace(ADA, email="ada lovelace@example.org")),
        ("address.line1", msgspec.structs.replace(ADA, address=Address("", "London", "GB"))),
        ("address.city", msgspec.structs.replace(ADA, address=Address("1", "", "GB"))),
        ("address.postcode", msgspec.structs.replace(ADA, address=Address("1", "London", "GB", "1" * 17))),
        ("address.country", msgspec.structs.replace(ADA, address=Address("1", "London", "XX"))),
        ("address.country", msgspec.structs.replace(ADA, address=Address("1", "London", ""))),
    ],
)
def test_the_first_wrong_field_is_named(field: str, contact: Contact) -> None:
    with pytest.raises(Invalid) as told:
        checked(contact)
    assert told.value.facts["field"] == field
