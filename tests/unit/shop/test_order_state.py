"""An order's status is what its units and its money say, and its parts add up to the whole, to the cent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.errors import Conflict, Invalid, WrongState
from live.shop.order_state import MOVES, STATUSES, Units, after, allowed, amount_within, chosen, standing, worth


@st.composite
def some_lines(draw: st.DrawFn) -> list[Units]:
    lines = []
    for n in range(draw(st.integers(1, 4))):
        qty = draw(st.integers(1, 5))
        shipped = draw(st.integers(0, qty))
        struck = draw(st.integers(0, qty - shipped))
        returned = draw(st.integers(0, shipped))
        restocked = draw(st.integers(0, struck + returned))
        lines.append(Units(f"S{n}", qty, draw(st.integers(0, 50_000)), shipped, struck, returned, restocked))
    return lines


@pytest.mark.parametrize(
    ("shipped", "struck", "returned", "refunded", "status"),
    [
        (0, 0, 0, 0, "paid"),
        (1, 0, 0, 0, "part_fulfilled"),
        (3, 0, 0, 0, "fulfilled"),
        (2, 1, 0, 0, "fulfilled"),
        (3, 0, 1, 0, "part_returned"),
        (3, 0, 3, 0, "returned"),
        (2, 1, 2, 0, "returned"),
        (2, 0, 2, 0, "part_returned"),
        (3, 0, 0, 50, "part_refunded"),
        (3, 0, 1, 50, "part_refunded"),
        (0, 0, 0, 50, "part_refunded"),
        (3, 0, 0, 300, "refunded"),
        (0, 0, 0, 300, "refunded"),
        (3, 0, 3, 300, "refunded"),
        (0, 3, 0, 0, "cancelled"),
        (0, 3, 0, 300, "cancelled"),
    ],
)
def test_the_status_is_read_off_what_happened(
    shipped: int, struck: int, returned: int, refunded: int, status: str
) -> None:
    assert standing([Units("S", 3, 100, shipped, struck, returned)], captured=300, refunded=refunded) == status


def test_a_free_order_is_never_refunded_and_can_be_shipped_and_cancelled() -> None:
    assert standing([Units("S", 1, 0)], captured=0, refunded=0) == "paid"
    assert standing([Units("S", 1, 0, shipped=1)], captured=0, refunded=0) == "fulfilled"
    assert standing([Units("S", 1, 0, struck=1)], captured=0, refunded=0) == "cancelled"
    assert "refund" not in allowed([Units("S", 1, 0)], left_minor=0, under_way=False)


@given(some_lines(), st.integers(0, 1000), st.integers(0, 1000))
def test_every_state_has_a_name_and_what_is_allowed_fits_it(lines: list[Units], captured: int, refunded: int) -> None:
    refunded = min(refunded, captured)
    status = standing(lines, captured=captured, refunded=refunded)
    assert status in STATUSES
    acts = allowed(lines, left_minor=captured - refunded, under_way=False)
    if status == "cancelled":
        assert acts <= {"refund"}, "nothing is left but money"
    assert ("fulfil" in acts) == any(line.open for line in lines)
    assert ("return" in acts) == any(line.out for line in lines)
    assert not allowed(lines, left_minor=captured - refunded, under_way=True) & {"refund", "cancel"}


def test_an_unsold_order_moves_by_its_payment_alone() -> None:
    assert {after(status, move) for status, move in MOVES} == {"paid", "cancelled", "refunded"}
    for status in ("paid", "fulfilled", "refunded"):
        with pytest.raises(WrongState):
            after(status, "cancel")


@given(some_lines(), st.data())
def test_however_an_order_is_taken_apart_its_parts_add_up_to_the_cent(lines: list[Units], data: st.DataObject) -> None:
    left, total = {line.sku: Units(line.sku, line.qty, line.paid_minor) for line in lines}, 0
    while open_ := [line for line in left.values() if line.repaid < line.qty]:
        line = data.draw(st.sampled_from(open_))
        units = data.draw(st.integers(1, line.qty - line.repaid))
        part = worth(left.values(), {line.sku: units})
        assert part >= 0
        total += part
        left[line.sku] = Units(line.sku, line.qty, line.paid_minor, repaid=line.repaid + units)
    assert total == sum(line.paid_minor for line in lines)


def test_a_third_of_ten_euro_is_given_back_whole_over_three_returns() -> None:
    parts = [worth([Units("S", 3, 1000, repaid=repaid)], {"S": 1}) for repaid in range(3)]
    assert (parts, sum(parts)) == ([333, 333, 334], 1000)


def test_what_is_not_there_can_not_be_taken() -> None:
    lines = {"S": Units("S", 3, 100, shipped=1)}
    assert chosen(lines, {"S": 2}, "open") == {"S": 2}
    with pytest.raises(Conflict) as told:
        chosen(lines, {"S": 3}, "open")
    assert told.value.facts == {"why": "too_many_units", "sku": "S", "left": 2}
    for wrong in ({}, {"S": 0}, {"S": -1}, {"T": 1}):
        with pytest.raises(Invalid):
            chosen(lines, wrong, "open")
    with pytest.raises(Conflict):
        amount_within(101, 100)
    with pytest.raises(Invalid):
        amount_within(0, 100)
