"""How a total comes about: to the cent, whatever is in the bag."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.errors import Invalid
from live.shop import taxes, totals
from live.shop.taxes import Taxes
from live.shop.totals import Method, Promotion

GERMANY = taxes.default("DE")
POST = Method("shm_1", "Post", ("DE",), 490, 10_000, 2, 4)
TENTH = Promotion("pro_1", "TENTH", "percent", 1000, stacks=True)
FIVER = Promotion("pro_2", "FIVER", "amount", 500, stacks=True)
GRATIS = Promotion("pro_3", "GRATIS", "free_shipping", 0, stacks=True)


def test_vat_is_contained_in_a_european_price_and_told() -> None:
    sums = totals.compute([(12_900, 1)], method=None, codes=[], tax=GERMANY, country="DE")
    assert (sums.total_minor, sums.tax_minor, sums.tax_included, sums.tax_bp) == (12_900, 2_060, True, 1_900)


def test_the_rate_is_that_of_where_it_goes_and_the_price_stays() -> None:
    sums = totals.compute([(12_900, 1)], method=None, codes=[], tax=GERMANY, country="FR")
    assert (sums.total_minor, sums.tax_minor, sums.tax_place) == (12_900, 2_150, "FR")
    abroad = totals.compute([(12_900, 1)], method=None, codes=[], tax=GERMANY, country="JP")
    assert (abroad.total_minor, abroad.tax_minor, abroad.tax_place) == (12_900, 0, "")


def test_canadas_tax_is_added_by_province_on_shipping_too() -> None:
    method = Method("shm_1", "Post", ("*",), 1_000, None, 2, 4)
    sums = totals.compute([(9_999, 1)], method=method, codes=[], tax=taxes.default("CA"), country="CA", area="ON")
    assert (sums.tax_minor, sums.tax_place, sums.tax_included) == (1_300 + 130, "CA-ON", False)
    assert sums.total_minor == 9_999 + 1_000 + 1_430
    elsewhere = totals.compute([(9_999, 1)], method=None, codes=[], tax=taxes.default("CA"), country="CA", area="BC")
    assert (elsewhere.tax_minor, elsewhere.tax_place) == (500, "CA")


def test_halves_of_a_cent_are_rounded_up() -> None:
    assert taxes.part(50, 100, included=False) == 1  # 0.5 of a cent
    assert taxes.part(49, 100, included=False) == 0
    assert taxes.part(119, 1_900, included=True) == 19


def test_codes_take_off_percentages_first_and_never_more_than_there_is() -> None:
    sums = totals.compute([(1_005, 1)], method=POST, codes=[FIVER, TENTH], tax=GERMANY, country="DE")
    assert sums.taken == {"TENTH": 101, "FIVER": 500}
    assert (sums.discount_minor, sums.shipping_minor, sums.total_minor) == (601, 490, 894)
    tiny = totals.compute([(300, 1)], method=None, codes=[FIVER], tax=GERMANY, country="DE")
    assert (tiny.discount_minor, tiny.total_minor) == (300, 0)


def test_shipping_is_free_above_its_line_or_by_a_code() -> None:
    assert totals.compute([(10_000, 1)], method=POST, codes=[], tax=GERMANY, country="DE").shipping_minor == 0
    # What counts is what the goods cost after codes.
    assert totals.compute([(10_000, 1)], method=POST, codes=[FIVER], tax=GERMANY, country="DE").shipping_minor == 490
    free = totals.compute([(5_000, 1)], method=POST, codes=[GRATIS], tax=GERMANY, country="DE")
    assert (free.shipping_minor, free.taken) == (0, {"GRATIS": 490})


def test_codes_stand_together_only_when_each_says_so_and_none_is_of_a_kind() -> None:
    alone = Promotion("pro_4", "ALONE", "amount", 100)
    assert totals.together([TENTH, FIVER, GRATIS]) is None
    assert totals.together([alone]) is None
    assert totals.together([TENTH, alone]) is alone
    assert totals.together([TENTH, Promotion("pro_5", "FIFTH", "percent", 2000, stacks=True)]) is not None


def test_a_way_to_everywhere_else_is_offered_only_where_no_other_goes() -> None:
    world = Method("shm_2", "World", ("*",), 1_900, None, 5, 9)
    union = Method("shm_3", "Union", ("EU",), 900, None, 3, 6)
    assert totals.methods_to([world, union, POST], "DE") == [POST, union]
    assert totals.methods_to([world, union, POST], "FR") == [union]
    assert totals.methods_to([world, union, POST], "JP") == [world]
    assert totals.methods_to([union], "JP") == []


def test_rates_that_can_not_be_meant_are_refused() -> None:
    for place, rate in (("Germany", 1_900), ("DE", 190_000), ("DE", -1)):
        with pytest.raises(Invalid):
            taxes.checked(Taxes(True, {place: rate}))


lines = st.lists(st.tuples(st.integers(0, 1_000_000), st.integers(1, 20)), min_size=1, max_size=8)
codes = st.lists(
    st.sampled_from([TENTH, FIVER, GRATIS, Promotion("pro_6", "ALL", "percent", 10_000, stacks=True)]),
    max_size=3,
    unique_by=lambda one: one.kind,
)


@given(lines, codes, st.sampled_from(["DE", "FI", "JP", "CA", "US"]), st.booleans(), st.integers(0, 5_000))
def test_the_parts_are_the_whole_to_the_cent(lines, codes, country, included, rate) -> None:  # type: ignore[no-untyped-def]
    tax = Taxes(included, {country: rate})
    sums = totals.compute(lines, method=POST, codes=codes, tax=tax, country=country)
    added = 0 if included else sums.tax_minor
    assert sums.total_minor == sums.goods_minor - sums.discount_minor + sums.shipping_minor + added
    assert sums.total_minor >= 0
    assert sum(part.discount_minor for part in sums.parts) == sums.discount_minor
    for (unit, qty), part in zip(lines, sums.parts, strict=True):
        assert 0 <= part.discount_minor <= unit * qty
    shipping_tax = sums.tax_minor - sum(part.tax_minor for part in sums.parts)
    assert 0 <= shipping_tax <= sums.shipping_minor + 1
    assert sum(sums.taken.values()) == sums.discount_minor + sums.taken.get("GRATIS", 0)
