import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.errors import Error, NotFound, NotLive, WrongState
from live.stage.runsheet import Look, Runsheet, drop, next_in_order, withdraw

LIVE = Runsheet("shw_1", "live", (Look("a", 1, "One"), Look("b", 2, "Two"), Look("c", 3, "Three")))


def test_a_dropped_look_is_out_and_pinned():
    sheet, look = drop(LIVE, "b", at_ms=500, now_ms=9_000)
    assert (look.state, look.at_ms, look.dropped_ms) == ("dropped", 500, 9_000)
    assert sheet.pinned == "b"
    assert [each.state for each in sheet.looks] == ["waiting", "dropped", "waiting"]


def test_a_look_drops_once():
    sheet, _ = drop(LIVE, "b", at_ms=0, now_ms=1)
    with pytest.raises(WrongState):
        drop(sheet, "b", at_ms=0, now_ms=2)


def test_nothing_drops_before_the_show_or_after_it():
    for status in ("scheduled", "ended"):
        with pytest.raises(NotLive):
            drop(Runsheet("shw_1", status, LIVE.looks), "a", at_ms=0, now_ms=1)


def test_an_unknown_look_is_not_found_also_when_the_show_is_not_live():
    with pytest.raises(NotFound):
        drop(Runsheet("shw_1", "scheduled", LIVE.looks), "nope", at_ms=0, now_ms=1)


def test_withdrawing_pins_the_card_dropped_before_it():
    sheet, _ = drop(LIVE, "c", at_ms=0, now_ms=1)
    sheet, _ = drop(sheet, "a", at_ms=0, now_ms=2)
    sheet, _ = withdraw(sheet, "a")
    assert sheet.pinned == "c"


def test_a_withdrawn_look_may_be_dropped_again_and_is_pinned_again():
    sheet, _ = drop(LIVE, "a", at_ms=0, now_ms=1)
    sheet, _ = withdraw(sheet, "a")
    sheet, _ = drop(sheet, "b", at_ms=0, now_ms=2)
    sheet, _ = drop(sheet, "a", at_ms=0, now_ms=3)
    assert sheet.pinned == "a"


def test_only_what_is_out_can_be_withdrawn():
    with pytest.raises(WrongState):
        withdraw(LIVE, "a")


def test_two_drops_in_one_millisecond_keep_their_order():
    sheet, _ = drop(LIVE, "c", at_ms=0, now_ms=5)
    sheet, look = drop(sheet, "a", at_ms=0, now_ms=5)
    assert (sheet.pinned, look.dropped_ms) == ("a", 6)


def test_next_is_the_first_that_waits_whatever_was_dropped_out_of_order():
    sheet, _ = drop(LIVE, "b", at_ms=0, now_ms=1)
    assert next_in_order(sheet).id == "a"
    for look in ("a", "c"):
        sheet, _ = drop(sheet, look, at_ms=0, now_ms=2)
    with pytest.raises(NotFound):
        next_in_order(sheet)


@given(st.lists(st.tuples(st.sampled_from(["drop", "withdraw"]), st.sampled_from("abc")), max_size=30))
def test_the_pinned_card_is_always_the_one_dropped_last_among_those_out(acts):
    sheet, order = LIVE, []
    for now_ms, (act, look) in enumerate(acts):
        try:
            sheet, _ = drop(sheet, look, at_ms=0, now_ms=now_ms // 3) if act == "drop" else withdraw(sheet, look)
        except Error:
            continue
        order = [each for each in order if each != look] + ([look] if act == "drop" else [])
    assert [each.id for each in sheet.out] == order
    assert sheet.pinned == (order[-1] if order else None)
